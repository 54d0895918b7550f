/* Criterion tests: the witness and the judge themselves. Three questions:
 *  - Does the witness write down what happened, all of it, and nothing else? (scene.c says what it should.)
 *  - Does the judge keep each of its rules? (Records written by hand.)
 *  - Do both refuse a library that does not know which request it is? (Real servers with fakes for a shim;
 * the verdict must be reached, so a server that did not start is no refusal.) To be run from the root of the
 * tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#ifndef BUILD
#    define BUILD "build"
#endif

/* Runs a shell command; its stdout and stderr in *output, owned by the caller. Returns its exit status. */
static int run(char **output, const char *format, ...) G_GNUC_PRINTF(2, 3);

static int run(char **output, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *const command = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    char *argv[] = {"/bin/sh", "-c", command, NULL};
    char *out = NULL;
    char *err = NULL;
    int status = -1;
    const bool ran = g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, NULL);
    cr_assert(ran, "cannot run %s", command);
    cr_assert(WIFEXITED(status), "%s was killed: %s", command, err);
    *output = g_strconcat(out, err, NULL);
    g_free(command);
    g_free(out);
    g_free(err);
    return WEXITSTATUS(status);
}

static char *make_directory(void) {
    char *const path = g_dir_make_tmp("witness-XXXXXX", NULL);
    cr_assert(path != NULL, "cannot make a directory");
    return path;
}

/* Removes the directory and the files in it. */
static void remove_directory(char *path) {
    char *output = NULL;
    cr_expect(run(&output, "rm -rf '%s'", path) == 0);
    g_free(output);
    g_free(path);
}

/* ---- The witness: what it writes down ---- */

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted(const char *text) {
    char **const lines = g_strsplit(text, "\n", -1);
    qsort(lines, g_strv_length(lines), sizeof *lines, compare_lines);
    char *const joined = g_strjoinv("\n", lines);
    g_strfreev(lines);
    return joined;
}

/* The records as the scene tells them: without thread and fd, markers as their numbers. */
static char *records_as_told(const char *directory) {
    char *output = NULL;
    const int status = run(&output,
                           "cat '%s'/*.witness 2>&- | cut -f 1,3,4,6,7 | tr '\\t' ' ' |"
                           " sed -E 's/CTXM-5ce00000-([0-9a-f]{8})-E/0x\\1/g'",
                           directory);
    cr_assert(status == 0, "%s", output);
    GRegex *const hex = g_regex_new("0x([0-9a-f]{8})", 0, 0, NULL);
    GString *const told = g_string_new(NULL);
    char **const parts = g_regex_split(hex, output, 0);
    for (guint i = 0; parts[i] != NULL; i++) {
        if (i % 2 == 1)
            g_string_append_printf(told, "%lu", strtoul(parts[i], NULL, 16));
        else
            g_string_append(told, parts[i]);
    }
    g_strfreev(parts);
    g_regex_unref(hex);
    g_free(output);
    return g_string_free(told, FALSE);
}

/* Each file holds the records of the one process that it is named for. */
static void one_file_per_process(const char *directory) {
    char *output = NULL;
    const int status = run(&output,
                           "for f in '%s'/*.witness; do [ ! -e $f ] || "
                           "[ $(cut -f 1 $f | sort -u) = $(basename $f | cut -d - -f 1) ] || exit 1; done",
                           directory);
    cr_expect(status == 0, "a record in another process's file: %s", output);
    g_free(output);
}

static void play(const char *scene) {
    char *const directory = make_directory();
    char *output = NULL;
    const int status =
        run(&output,
            "WITNESS_DIR='%s' LD_PRELOAD=" BUILD "/tests/libwitness.so timeout 60 " BUILD "/tests/scene %s",
            directory, scene);
    cr_assert(status == 0, "scene %s: status %d: %s", scene, status, output);
    one_file_per_process(directory);
    char *const told = records_as_told(directory);
    char *const expected = sorted(output);
    char *const got = sorted(told);
    cr_expect(strcmp(expected, got) == 0, "scene %s:\n-- expected --\n%s\n-- got --\n%s", scene, expected,
              got);
    g_free(got);
    g_free(expected);
    g_free(told);
    g_free(output);
    remove_directory(directory);
}

Test(witness, sees_every_call_and_keeps_errno) {
    play("calls");
}

Test(witness, finds_markers_across_pieces_and_tells_mixed_buffers) {
    play("pieces");
}

Test(witness, finds_markers_in_long_formats_and_keeps_percent_m) {
    play("formats");
}

Test(witness, counts_only_bytes_that_moved) {
    play("nothing");
}

Test(witness, records_survive_fork_cleared_environment_closed_fds_and_kill) {
    play("fork");
}

Test(witness, threads_lose_nothing) {
    play("threads");
}

Test(witness, without_a_directory_it_only_looks_on) {
    char *output = NULL;
    const int status =
        run(&output, "env -u WITNESS_DIR LD_PRELOAD=" BUILD "/tests/libwitness.so " BUILD "/tests/scene "
                     "calls");
    cr_expect(status == 0, "status %d: %s", status, output);
    g_free(output);
}

/* ---- The judge: each rule, on records written by hand ---- */

#define A "CTXM-00000001-0000000a-E"
#define B "CTXM-00000001-0000000b-E"

static void write_file(const char *directory, const char *name, const char *text) {
    char *const path = g_build_filename(directory, name, NULL);
    cr_assert(g_file_set_contents(path, text, -1, NULL), "cannot write %s", path);
    g_free(path);
}

/* A record of process 41, or of another one. */
#define RECORD_OF(pid, station, marker, context)                                                             \
    pid "\t" pid "\t" station "\tcall\tsocket:5\t" marker "\t" context "\n"
#define RECORD(station, marker, context) RECORD_OF("41", station, marker, context)

/* Judges records (and a log, when there is one): the exit status and the beginning of the verdict line after
 * "verdict: " are as given. */
static void judged(const char *records, const char *log, const char *arguments, int status,
                   const char *verdict) {
    char *const directory = make_directory();
    char *output = NULL;
    write_file(directory, "41-1.witness", records);
    if (log != NULL)
        write_file(directory, "annotated.log", log);
    const int got =
        run(&output, BUILD "/tests/judge %s %s%s%s '%s'", arguments, log != NULL ? "--annotated=" : "",
            log != NULL ? directory : "", log != NULL ? "/annotated.log" : "", directory);
    cr_expect(got == status, "exit status %d, expected %d: %s", got, status, output);
    char *const line = g_strconcat("verdict: ", verdict, NULL);
    cr_expect(g_str_has_prefix(output, line), "expected %s\ngot %s", line, output);
    g_free(line);
    g_free(output);
    remove_directory(directory);
}

Test(judge, accepts_one_context_per_marker) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("read", B, "conn#2 req#1") RECORD("log", A, "conn#1 req#1")
            RECORD("write", B, "conn#2 req#1") RECORD("write", A, "conn#1 req#1")
                RECORD("log", B, "conn#2 req#1"),
        NULL, "--requests 2 --stations 3", 0,
        "2 requests, 6 sightings (2 reads, 2 writes, 2 log lines): 6 right, 0 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, first_sighting_fixes_the_context) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("write", A, "conn#1 req#2"), NULL, "", 1,
        "1 requests, 2 sightings (1 reads, 1 writes, 0 log lines): 1 right, 1 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, empty_and_ambiguous_are_unknown) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("write", A, "") RECORD("write", A, "conn#1 req#1?"), NULL,
        "", 1,
        "1 requests, 3 sightings (1 reads, 2 writes, 0 log lines): 1 right, 0 wrong, 2 unknown, 0 mixed\n");
}

Test(judge, unknown_first_sighting_fixes_nothing) {
    judged(
        RECORD("read", A, "conn#9 req#9?") RECORD("read", A, "") RECORD("write", A, "conn#1 req#1")
            RECORD("log", A, "conn#1 req#1"),
        NULL, "--allow-unknown 2", 0,
        "1 requests, 4 sightings (2 reads, 1 writes, 1 log lines): 2 right, 0 wrong, 2 unknown, 0 mixed\n");
}

Test(judge, allows_no_more_unknown_than_it_was_told) {
    judged(
        RECORD("read", A, "") RECORD("write", A, "") RECORD("log", A, "conn#1 req#1"), NULL,
        "--allow-unknown 1", 1,
        "1 requests, 3 sightings (1 reads, 1 writes, 1 log lines): 1 right, 0 wrong, 2 unknown, 0 mixed\n");
}

Test(judge, two_markers_in_one_context_are_wrong) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("read", B, "conn#1 req#1") RECORD("write", A, "conn#1 req#1")
            RECORD("write", B, "conn#1 req#1"),
        NULL, "", 1,
        "2 requests, 4 sightings (2 reads, 2 writes, 0 log lines): 2 right, 2 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, what_is_pushed_below_a_request_is_still_it) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("write", A, "conn#1 req#1 parse")
            RECORD("log", A, "conn#1 req#1 send") RECORD("read", B, "conn#1 req#1 parse"),
        NULL, "", 1,
        "2 requests, 4 sightings (2 reads, 1 writes, 1 log lines): 3 right, 1 wrong, 0 unknown, 0 mixed\n");
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("write", A, "conn#2") RECORD("log", A, "conn#1 req#12"),
        NULL, "", 1,
        "1 requests, 3 sightings (1 reads, 1 writes, 1 log lines): 1 right, 2 wrong, 0 unknown, 0 mixed\n");
    judged(
        RECORD("read", A, "Main 1 A") RECORD("write", A, "Main 1 B") RECORD("log", A, "Main 1 A"), NULL, "",
        1,
        "1 requests, 3 sightings (1 reads, 1 writes, 1 log lines): 2 right, 1 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, the_connection_of_a_request_is_unknown) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("log", A, "conn#1") RECORD("write", A, "conn#1 req#1"), NULL,
        "", 1,
        "1 requests, 3 sightings (1 reads, 1 writes, 1 log lines): 2 right, 0 wrong, 1 unknown, 0 mixed\n");
    judged(
        RECORD("read", A, "conn#11 req#1") RECORD("log", A, "conn#1") RECORD("write", A, "conn#11 req"), NULL,
        "", 1,
        "1 requests, 3 sightings (1 reads, 1 writes, 1 log lines): 1 right, 2 wrong, 0 unknown, 0 mixed\n");
    judged(
        RECORD("read", A, "conn#1") RECORD("write", A, "conn#1 req#1"), NULL, "", 1,
        "1 requests, 2 sightings (1 reads, 1 writes, 0 log lines): 1 right, 1 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, processes_are_apart) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD_OF("42", "read", B, "conn#1 req#1")
            RECORD("write", A, "conn#1 req#1") RECORD_OF("42", "read", A, "conn#2 req#1")
                RECORD_OF("42", "write", B, "conn#1 req#1"),
        NULL, "", 0,
        "2 requests, 5 sightings (3 reads, 2 writes, 0 log lines): 5 right, 0 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, mixed_buffers_are_counted_apart) {
    judged(
        RECORD("read", A, "conn#1 req#1") RECORD("log", A "," B, "conn#7 req#7"), NULL, "", 0,
        "1 requests, 1 sightings (1 reads, 0 writes, 0 log lines): 1 right, 0 wrong, 0 unknown, 1 mixed\n");
}

Test(judge, says_how_late_the_last_unknown_was) {
    judged(RECORD("read", A, "") RECORD("read", A, "conn#1 req#1") RECORD("write", A, "conn#1 req#1?")
               RECORD("log", A, "conn#1 req#1"),
           NULL, "", 1,
           "1 requests, 4 sightings (2 reads, 1 writes, 1 log lines): 2 right, 0 wrong, 2 unknown, 0 mixed\n"
           "unknown: all within the first 3 sightings of a process\n");
}

Test(judge, too_few_sightings_fail) {
    judged(RECORD("read", A, "conn#1 req#1") RECORD("log", A, "conn#1 req#1"), NULL,
           "--requests 1 --stations 3", 1,
           "1 requests, 2 sightings (1 reads, 0 writes, 1 log lines): 2 right, 0 wrong, 0 unknown, 0 mixed; "
           "too few: "
           "3 sightings expected\n");
}

Test(judge, many_sightings_of_one_request_do_not_hide_a_missing_one) {
    judged(RECORD("read", A, "conn#1 req#1") RECORD("log", A, "conn#1 req#1"), NULL,
           "--requests 2 --stations 1", 1,
           "1 requests, 2 sightings (1 reads, 0 writes, 1 log lines): 2 right, 0 wrong, 0 unknown, 0 mixed; "
           "too few: "
           "2 requests were made\n");
}

Test(judge, many_sightings_at_one_station_do_not_hide_a_missing_one) {
    judged(RECORD("read", A, "conn#1 req#1") RECORD("read", A, "conn#1 req#1")
               RECORD("log", A, "conn#1 req#1"),
           NULL, "--requests 1 --stations 1,1,1", 1,
           "1 requests, 3 sightings (2 reads, 0 writes, 1 log lines): 3 right, 0 wrong, 0 unknown, 0 mixed; "
           "too few: 1 "
           "at station write expected\n");
}

Test(judge, seeing_nothing_fails) {
    judged("", NULL, "", 1,
           "0 requests, 0 sightings (0 reads, 0 writes, 0 log lines): 0 right, 0 wrong, 0 unknown, 0 mixed; "
           "too few: "
           "nothing was seen\n");
}

#define SEEN "1 requests, 1 sightings (1 reads, 0 writes, 0 log lines): 1 right, 0 wrong, 0 unknown, 0 mixed"

Test(judge, annotated_line_carries_the_fixed_context) {
    const char *const records = RECORD("read", A, "conn#1 req#1");
    judged(records, "[conn#1 req#1] got " A "\nno marker, no prefix\n", "", 0,
           SEEN "; annotated lines: 1 right, 0 wrong, 0 unknown, 0 mixed\n");
    judged(records, "[41:conn#1 req#1] got " A "\n", "", 0,
           SEEN "; annotated lines: 1 right, 0 wrong, 0 unknown, 0 mixed\n");
    judged(records, "[conn#1 req#2] got " A "\n", "", 1,
           SEEN "; annotated lines: 0 right, 1 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, annotated_pid_must_be_a_process_that_saw_the_marker) {
    judged(RECORD("read", A, "conn#1 req#1"), "[42:conn#1 req#1] got " A "\n", "", 1,
           SEEN "; annotated lines: 0 right, 0 wrong, 1 unknown, 0 mixed\n");
}

Test(judge, annotated_line_without_prefix_or_with_an_ambiguous_one_is_unknown) {
    judged(RECORD("read", A, "conn#1 req#1"), "got " A "\n[conn#1 req#1?] got " A "\n[notice] " A "\n", "", 1,
           SEEN "; annotated lines: 0 right, 0 wrong, 3 unknown, 0 mixed\n");
}

Test(judge, two_prefixes_in_a_line_are_wrong) {
    judged(RECORD("read", A, "conn#1 req#1"),
           "[conn#1 req#1] got " A "\n[conn#1 req#1] [conn#1 req#1] " A "\n[conn#1] half [conn#2] a line\n",
           "", 1, SEEN "; annotated lines: 1 right, 2 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, a_log_that_lacks_lines_fails) {
    judged(RECORD("read", A, "conn#1 req#1"), "nothing\n", "--requests 1", 1,
           SEEN
           "; annotated lines: 0 right, 0 wrong, 0 unknown, 0 mixed; too few: a log lacks annotated lines\n");
}

Test(judge, a_log_may_lack_what_its_server_drops) {
    judged(RECORD("read", A, "conn#1 req#1") RECORD("read", B, "conn#1 req#2"), "[conn#1 req#1] got " A "\n",
           "--requests 2 --lacking 1", 0,
           "2 requests, 2 sightings (2 reads, 0 writes, 0 log lines): 2 right, 0 wrong, 0 unknown, 0 mixed; "
           "annotated lines: 1 right, 0 wrong, 0 unknown, 0 mixed\n");
}

Test(judge, explains_the_offenders) {
    char *const directory = make_directory();
    char *output = NULL;
    write_file(directory, "41-1.witness",
               RECORD("read", A, "conn#1 req#1") RECORD("write", A, "conn#2 req#1")
                   RECORD("write", A, "conn#3 req#1"));
    cr_expect(run(&output, BUILD "/tests/judge --explain 1 '%s' 2>&1 >/dev/null", directory) == 1);
    cr_expect(strcmp(output, "wrong: " A " at write call (fd socket:5, process 41, thread 41): expected "
                             "\"conn#1 req#1\", got \"conn#2 req#1\"\n") == 0,
              "%s", output);
    g_free(output);
    remove_directory(directory);
}

Test(judge, bad_command_lines_and_records_are_no_verdict) {
    char *const directory = make_directory();
    const char *const arguments[] = {"",
                                     "--no-such-option .",
                                     ". .",
                                     "--stations 1,2 .",
                                     "--stations x .",
                                     "--requests -1 .",
                                     "--annotated /nonexistent/log .",
                                     "/nonexistent"};
    char *output = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(arguments); i++) {
        cr_expect(run(&output, BUILD "/tests/judge %s", arguments[i]) == 2, "judge %s: %s", arguments[i],
                  output);
        g_free(output);
    }
    const char *const records[] = {"nonsense\n", RECORD("listen", A, "conn#1 req#1"),
                                   "41\t41\tread\tcall\tfile:1\n", RECORD_OF("0", "read", A, "conn#1"),
                                   RECORD("read", A, "conn#1") "\n\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(records); i++) {
        write_file(directory, "41-1.witness", records[i]);
        cr_expect(run(&output, BUILD "/tests/judge '%s'", directory) == 2, "%s: %s", records[i], output);
        g_free(output);
    }
    remove_directory(directory);
}

/* ---- The load client ---- */

Test(load, makes_a_file_for_each_marker_with_the_marker_in_it) {
    char *const directory = make_directory();
    char *output = NULL;
    int status =
        run(&output, BUILD "/tests/load --make-files '%s' --run 2a --clients 3 --requests 4", directory);
    cr_assert(status == 0, "%s", output);
    g_free(output);
    status = run(&output,
                 "cd '%s'/p* && ls | wc -l && for f in *; do [ $(grep -o CTXM-.*-E $f) = $f ] || echo $f; "
                 "done; ls | head -n 1",
                 directory);
    cr_expect(status == 0 && strcmp(g_strstrip(output), "12\nCTXM-0000002a-00000000-E") == 0, "%s", output);
    g_free(output);
    remove_directory(directory);
}

Test(load, refuses_wrong_answers_and_silence) {
    static const char *const wrong[] = {"HTTP/1.1 404 Not Found", "+OK", "VA 7 Osomebody",
                                        "E\\0\\0\\0\\06failed"};
    static const char *const protocol[] = {"http", "redis", "memcached", "postgres"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        char *output = NULL;
        const int status =
            run(&output,
                "p=$(" BUILD "/tests/load --free-port); python3 -c 'import socket, sys\n"
                "s = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\n"
                "while True:\n"
                "    c = s.accept()[0]; c.recv(999); c.sendall(b\"%s\\r\\n\\r\\n\"); c.close()\n"
                "' $p & " BUILD "/tests/load --await --port $p; " BUILD
                "/tests/load --protocol=%s --port $p --clients 1 --timeout 5; s=$?; kill $!; exit $s",
                wrong[i], protocol[i]);
        cr_expect(status == 1, "%s: status %d: %s", protocol[i], status, output);
        g_free(output);
    }
}

Test(load, refuses_bad_command_lines) {
    const char *const arguments[] = {"",
                                     "--protocol=http",
                                     "--protocol=no --port 1",
                                     "--protocol=http --port 1 --clients 0",
                                     "--protocol=http --port 1 more",
                                     "--no-such-option"};
    for (size_t i = 0; i < G_N_ELEMENTS(arguments); i++) {
        char *output = NULL;
        cr_expect(run(&output, BUILD "/tests/load %s", arguments[i]) == 2, "load %s: %s", arguments[i],
                  output);
        g_free(output);
    }
}

/* ---- Both: a shim that does not know must fail, one that knows must pass ---- */

/* The counts of a verdict line. */
struct counts {
    unsigned requests, sightings, reads, writes, logs, right, wrong, unknown, mixed;
};

/* A server with a fake for a shim, to the verdict: with the exit status as given, and nothing unseen. redis's
 * append-only file holds many requests at once, so there may be mixed ones. */
static struct counts serve(const char *script, const char *fake, int expected) {
    struct counts n = {0};
    char *output = NULL;
    const int status = run(&output,
                           "CLIENTS=10 REQUESTS=20 EXPLAIN=0 BUILD=" BUILD " SHIM=" BUILD
                           "/tests/libfake-%s.so timeout 120 tests/servers/%s",
                           fake, script);
    cr_assert(status == expected, "%s with %s: status %d: %s", script, fake, status, output);
    const int got = sscanf(
        output,
        "verdict: %u requests, %u sightings (%u reads, %u writes, %u log lines): %u right, %u "
        "wrong, %u unknown, %u mixed",
        &n.requests, &n.sightings, &n.reads, &n.writes, &n.logs, &n.right, &n.wrong, &n.unknown, &n.mixed);
    cr_assert(got == 9, "%s with %s: %s", script, fake, output);
    cr_expect(strstr(output, "too few") == NULL, "%s with %s: %s", script, fake, output);
    cr_expect(n.requests == 200, "%s with %s: %s", script, fake, output);
    g_free(output);
    return n;
}

static const char *const scripts[] = {"memcached.sh", "nginx-proxy.sh", "nginx-files.sh", "redis.sh"};

Test(refusal, always_the_same_context, .timeout = 300) {
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const struct counts n = serve(scripts[i], "constant", 1);
        cr_expect(n.wrong > n.sightings / 2 && n.unknown == 0);
    }
}

Test(refusal, the_thread_as_context, .timeout = 300) {
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const struct counts n = serve(scripts[i], "thread", 1);
        cr_expect(n.wrong > n.sightings / 2 && n.unknown == 0);
    }
}

Test(refusal, never_a_context, .timeout = 300) {
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const struct counts n = serve(scripts[i], "empty", 1);
        cr_expect(n.unknown == n.sightings && n.wrong == 0 && n.right == 0);
    }
}

/* memcached reads, logs and writes in one go, so here the cheat is right. */
Test(acceptance, whoever_knows_is_right, .timeout = 150) {
    const struct counts n = serve("memcached.sh", "oracle", 0);
    cr_expect(n.right == n.sightings && n.wrong == 0 && n.unknown == 0 && n.mixed == 0);
}
