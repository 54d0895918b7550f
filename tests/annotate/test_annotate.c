/* Criterion tests: annotated log lines. The strategy: a program (program.c) does one thing, plain and under
 * the shim. What its calls returned must be the same; what it wrote must be the same but for the prefixes,
 * which the test puts in by itself, the simplest way there is. Where stderr is a socket of packets, each call
 * that reaches the kernel is one packet. To be run from the root of the tree. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef BUILD
#    define BUILD "build"
#endif

static const char *const ways[] = {"plain", "fortified"};
enum { WAYS = G_N_ELEMENTS(ways) };

/* --- running the program ----------------------------------------------------------------------------------
 */

/* What stderr is. */
enum place { PACKETS, PIPE, NOBODY, FULL, FILE_ITSELF };

/* What the program was, and what it did. */
struct outcome {
    GString *out, *err, *notes;
    guint out_packets, err_packets;
    int status;
};

static void outcome_free(struct outcome *outcome) {
    g_string_free(outcome->out, TRUE);
    g_string_free(outcome->err, TRUE);
    g_string_free(outcome->notes, TRUE);
}

static void channel(enum place place, int ends[2]) {
    if (place == PACKETS) {
        cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    } else if (place == PIPE || place == NOBODY) {
        cr_assert(pipe(ends) == 0);
    } else {
        cr_assert(pipe(ends) == 0);
        close(ends[1]);
        FILE *const unnamed = place == FILE_ITSELF ? tmpfile() : NULL;
        ends[1] = place == FULL ? open("/dev/full", O_WRONLY) : dup(fileno(unnamed));
        if (unnamed != NULL)
            fclose(unnamed);
    }
    cr_assert(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0);
    if (place == NOBODY) {
        close(ends[0]);
        ends[0] = -1;
    }
}

/* In the child: the program's world. `options` NULL: without the shim. */
static void become(const char *way, const char *options, char *const arguments[], int out, int err,
                   int notes) {
    char shim[4096];
    char *const program = g_build_filename(BUILD, "tests", "annotate", way, NULL);
    cr_assert(realpath(BUILD "/libctxshim.so", shim) != NULL);
    notes = fcntl(notes, F_DUPFD, 20);
    out = fcntl(out, F_DUPFD, 20);
    err = fcntl(err, F_DUPFD, 20);
    dup2(out, 1);
    dup2(err, 2);
    dup2(notes, 9);
    for (int fd = 3; fd < 40; fd++)
        if (fd != 9)
            close(fd);
    if (options != NULL) {
        g_setenv("LD_PRELOAD", shim, TRUE);
        g_setenv("CTXSHIM_OPTIONS", options, TRUE);
    }
    execv(program, arguments);
    _exit(98);
}

/* Reads a channel once. False at its end. */
static bool drain(int fd, GString *into, guint *packets) {
    static char piece[1 << 20];
    const ssize_t size = read(fd, piece, sizeof piece);
    if (size <= 0)
        return false;
    g_string_append_len(into, piece, size);
    ++*packets;
    return true;
}

static void collect(struct outcome *outcome, struct pollfd from[3]) {
    GString *const into[] = {outcome->out, outcome->err, outcome->notes};
    guint unused;
    guint *const packets[] = {&outcome->out_packets, &outcome->err_packets, &unused};
    for (int open = 3; open > 0;) {
        open = 0;
        cr_assert(poll(from, 3, 30000) > 0, "the program hangs");
        for (int i = 0; i < 3; i++) {
            if (from[i].fd >= 0 && from[i].revents != 0 && !drain(from[i].fd, into[i], packets[i])) {
                close(from[i].fd);
                from[i].fd = -1;
            }
            open += from[i].fd >= 0;
        }
    }
}

static struct outcome run(const char *way, const char *options, enum place place, ...) {
    struct outcome outcome = {g_string_new(NULL), g_string_new(NULL), g_string_new(NULL), 0, 0, 0};
    char *arguments[8] = {(char *)"program"};
    int out[2], err[2], notes[2];
    va_list more;
    va_start(more, place);
    for (int i = 1; (arguments[i] = va_arg(more, char *)) != NULL; i++)
        ;
    va_end(more);
    channel(PACKETS, out);
    channel(place, err);
    channel(PIPE, notes);
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0)
        become(way, options, arguments, out[1], err[1], notes[1]);
    close(out[1]);
    close(notes[1]);
    if (place != FILE_ITSELF)
        close(err[1]);
    collect(&outcome, (struct pollfd[]){{out[0], POLLIN, 0}, {err[0], POLLIN, 0}, {notes[0], POLLIN, 0}});
    cr_assert(waitpid(child, &outcome.status, 0) == child);
    if (place == FILE_ITSELF) {
        lseek(err[1], 0, SEEK_SET);
        while (drain(err[1], outcome.err, &outcome.err_packets))
            ;
        close(err[1]);
    }
    return outcome;
}

/* --- comparing --------------------------------------------------------------------------------------------
 */

/* The text as it should be: each line begins with the prefix. */
static char *annotated(const char *text, const char *prefix) {
    GString *const result = g_string_new(NULL);
    for (bool start = true; *text != '\0'; start = *text++ == '\n') {
        if (start)
            g_string_append(result, prefix);
        g_string_append_c(result, *text);
    }
    return g_string_free(result, FALSE);
}

#define expect_same(a, b, ...) expect_text((a)->str, (b), g_strdup_printf(__VA_ARGS__))

static void expect_text(const char *is, const char *should, char *where) {
    cr_expect(strcmp(is, should) == 0, "%s: is\n%.2000s\nand not\n%.2000s", where, is, should);
    g_free(where);
}

static void expect_calls(const struct outcome *is, const struct outcome *plain, const char *where) {
    expect_same(is->notes, plain->notes->str, "%s: results", where);
    cr_expect(is->status == plain->status, "%s: status %x and not %x", where, (unsigned)is->status,
              (unsigned)plain->status);
}

static void expect_unchanged(const struct outcome *is, const struct outcome *plain, const char *where) {
    expect_calls(is, plain, where);
    expect_same(is->out, plain->out->str, "%s: stdout", where);
    expect_same(is->err, plain->err->str, "%s: stderr", where);
    cr_expect(is->err_packets == plain->err_packets, "%s: %u writes and not %u", where, is->err_packets,
              plain->err_packets);
}

static void expect_annotated(const struct outcome *is, const struct outcome *plain, const char *where) {
    char *const out = annotated(plain->out->str, "[job] "), *const err = annotated(plain->err->str, "[job] ");
    expect_calls(is, plain, where);
    expect_same(is->out, out, "%s: stdout", where);
    expect_same(is->err, err, "%s: stderr", where);
    g_free(out);
    g_free(err);
}

/* Runs a story in both ways, and expects stderr to be this, and the results to be the plain run's. */
static void expect_story(const char *options, enum place place, const char *story, const char *argument,
                         const char *expected) {
    for (int i = 0; i < WAYS; i++) {
        struct outcome plain = run(ways[i], NULL, place, story, argument, NULL);
        struct outcome shimmed = run(ways[i], options, place, story, argument, NULL);
        expect_calls(&shimmed, &plain, story);
        expect_same(shimmed.err, expected, "%s, %s", ways[i], story);
        outcome_free(&plain);
        outcome_free(&shimmed);
    }
}

static void expect_story_annotated(enum place place, const char *story, const char *argument) {
    for (int i = 0; i < WAYS; i++) {
        struct outcome plain = run(ways[i], NULL, place, story, argument, NULL);
        struct outcome shimmed = run(ways[i], "annotate=stderr", place, story, argument, NULL);
        expect_annotated(&shimmed, &plain, story);
        outcome_free(&plain);
        outcome_free(&shimmed);
    }
}

/* --- each function ----------------------------------------------------------------------------------------
 */

/* How many calls a scene makes on stderr that write: one, but for these. */
static guint calls_of(const char *way, const char *scene) {
    static const struct {
        const char *scene;
        guint calls;
    } others[] = {
        {"perror_bare", 2},    {"psignal", 3}, {"warn", 2},          {"warnx", 3},
        {"error_progname", 3}, {"error", 2},   {"error_at_line", 2}, {"error_one_per_line", 3},
    };
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        if (strcmp(others[i].scene, scene) == 0)
            return others[i].calls;
    if (strcmp(way, "fortified") == 0 && strcmp(scene, "fwrite_unlocked") == 0)
        return 8; /* inlined: byte by byte, with or without the shim */
    return 1;
}

static void check_function(const char *way, const char *scene) {
    char *const where = g_strdup_printf("%s, %s", way, scene);
    struct outcome plain = run(way, NULL, PACKETS, scene, NULL);
    struct outcome idle = run(way, "", PACKETS, scene, NULL);
    struct outcome free_of = run(way, "annotate=\"stderr,stdout\"", PACKETS, "--no-context", scene, NULL);
    struct outcome full = run(way, "annotate=stdout:annotate=stderr", PACKETS, scene, NULL);
    cr_expect(plain.notes->len + (guint)plain.status > 0, "%s does nothing", where);
    expect_unchanged(&idle, &plain, where);
    expect_unchanged(&free_of, &plain, where);
    expect_annotated(&full, &plain, where);
    cr_expect(full.err->len == 0 || full.err_packets == calls_of(way, scene), "%s: %u writes", where,
              full.err_packets);
    outcome_free(&plain);
    outcome_free(&idle);
    outcome_free(&free_of);
    outcome_free(&full);
    g_free(where);
}

static void check_functions(const char *way) {
    struct outcome list = run(way, NULL, PACKETS, "--list", NULL);
    char **const scenes = g_strsplit(g_strchomp(list.out->str), "\n", -1);
    cr_expect(g_strv_length(scenes) > 50);
    for (char **scene = scenes; *scene != NULL; scene++)
        check_function(way, *scene);
    g_strfreev(scenes);
    outcome_free(&list);
}

Test(annotate, each_function_by_its_plain_name) {
    check_functions("plain");
}

Test(annotate, each_function_fortified_and_inlined) {
    check_functions("fortified");
}

/* --- lines ------------------------------------------------------------------------------------------------
 */

Test(annotate, a_line_in_pieces_has_one_prefix) {
    expect_story("annotate=stderr", PIPE, "pieces", NULL, "[job] a1bcde\n[job] fg\n");
}

Test(annotate, the_middle_of_a_line_is_known_without_a_context_too) {
    expect_story("annotate=stderr", PIPE, "without_context_between", NULL,
                 "free\nhalf line\n[job] abcd\nxy\n[job] z\n");
}

Test(annotate, nothing_written_is_nothing_put_in_front) {
    expect_story("annotate=stderr", PIPE, "nothing", NULL, "[job] end\n");
}

Test(annotate, a_name_cannot_break_a_line) {
    expect_story(
        "annotate=stderr", PIPE, "name", "a]b\\c\nd\x7f\x1b[0m",
        "[job a\\x5db\\x5cc\\x0ad\\x7f\\x1b[0m] line\n[job a\\x5db\\x5cc\\x0ad\\x7f\\x1b[0m] line\n");
    expect_story("annotate=stderr", PIPE, "name", "\xc3\xa9 \xc2\x85 \xff",
                 "[job \xc3\xa9 \\xc2\\x85 \xff] line\n[job \xc3\xa9 \\xc2\\x85 \xff] line\n");
}

Test(annotate, a_name_may_be_long) {
    char *const name = g_strnfill(2999, 'n');
    char *const prefix = g_strdup_printf("[job %s] ", name);
    char *const expected = annotated("line\nline\nline\n", prefix);
    expect_story("annotate=stderr", PIPE, "long_name", NULL, expected);
    g_free(name);
    g_free(prefix);
    g_free(expected);
}

/* --- sizes, shortages, errors -----------------------------------------------------------------------------
 */

Test(annotate, a_megabyte_in_each_way) {
    expect_story_annotated(PIPE, "megabyte", NULL);
}

/* Whatever part of a prefix a short write has let out, the rest follows. */
Test(annotate, short_writes_lose_and_repeat_nothing) {
    expect_story_annotated(PIPE, "nonblocking", NULL);
}

Test(annotate, a_write_cut_anywhere_goes_on_where_it_was_cut) {
    const char *const whole = "[job] hello\n[job] world\n";
    for (size_t limit = 0; limit <= strlen(whole); limit++) {
        char *const argument = g_strdup_printf("%zu", limit);
        struct outcome outcome = run("plain", "annotate=stderr", FILE_ITSELF, "cut", argument, NULL);
        const size_t begun = limit < 6 ? 0 : limit < 12 ? limit - 6 : limit < 18 ? 6 : limit - 12;
        char *const note =
            begun == 0 ? g_strdup("cut: -1 errno 27\n") : g_strdup_printf("cut: %zu errno 34\n", begun);
        expect_same(outcome.err, whole, "cut at %zu", limit);
        cr_expect(g_str_has_prefix(outcome.notes->str, note), "cut at %zu: %s and not %s", limit,
                  outcome.notes->str, note);
        outcome_free(&outcome);
        g_free(argument);
        g_free(note);
    }
}

Test(annotate, a_cut_prefix_is_closed_when_another_follows) {
    const char *const whole = "[job] hello\n[job] world\n", *const lines[] = {"hello\n", "world\n"};
    for (size_t limit = 0; limit < strlen(whole); limit++) {
        char *const argument = g_strdup_printf("%zu other", limit);
        struct outcome outcome = run("plain", "annotate=stderr", FILE_ITSELF, "cut", argument, NULL);
        const size_t line = limit / 12, in = limit % 12;
        GString *const expected = g_string_new_len(whole, (gssize)limit);
        if (in > 0 && in < 6)
            g_string_append(expected, "?] ");
        if (in < 6)
            g_string_append(expected, "[other] ");
        g_string_append(expected, &lines[line][in < 6 ? 0 : in - 6]);
        if (line == 0)
            g_string_append(expected, "[other] world\n");
        expect_same(outcome.err, expected->str, "cut at %zu", limit);
        g_string_free(expected, TRUE);
        outcome_free(&outcome);
        g_free(argument);
    }
}

Test(annotate, bad_addresses_are_the_kernels_to_refuse) {
    expect_story_annotated(PIPE, "bad_memory", NULL);
    expect_story_annotated(FILE_ITSELF, "bad_memory", NULL);
    expect_story_annotated(PACKETS, "bad_memory", NULL);
}

Test(annotate, errors_are_the_programs) {
    expect_story("annotate=stderr", PIPE, "closed", NULL, "");
    expect_story("annotate=stderr", FULL, "refused", NULL, "");
    expect_story("annotate=stderr", NOBODY, "refused", "ignore SIGPIPE", "");
    expect_story("annotate=stderr", NOBODY, "refused", NULL, "");
}

Test(annotate, a_datagram_that_would_be_too_long_goes_without) {
    for (int i = 0; i < WAYS; i++) {
        struct outcome plain = run(ways[i], NULL, PACKETS, "datagram_full", NULL);
        struct outcome shimmed = run(ways[i], "annotate=stderr", PACKETS, "datagram_full", NULL);
        expect_unchanged(&shimmed, &plain, ways[i]);
        outcome_free(&plain);
        outcome_free(&shimmed);
    }
}

/* --- files ------------------------------------------------------------------------------------------------
 */

/* Runs a story on a file of this name; gives its contents. */
static GString *file_after(const char *options, const char *story, const char *name) {
    char *const directory = g_dir_make_tmp("annotate-XXXXXX", NULL);
    char *const path = g_build_filename(directory, name, NULL);
    char *text = NULL;
    gsize size = 0;
    struct outcome outcome = run("fortified", options, PIPE, story, path, NULL);
    cr_expect(outcome.status == 0, "%s: status %x", story, (unsigned)outcome.status);
    cr_assert(g_file_get_contents(path, &text, &size, NULL), "%s made no file", story);
    GString *const contents = g_string_new_len(text, (gssize)size);
    g_free(text);
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    g_free(directory);
    outcome_free(&outcome);
    return contents;
}

static void expect_file(const char *options, const char *story, const char *name, const char *expected) {
    GString *const is = file_after(options, story, name);
    expect_same(is, expected, "%s, %s on %s", options, story, name);
    g_string_free(is, TRUE);
}

Test(annotate, an_appended_file_is_a_log) {
    expect_file("annotate=*.log", "file_append", "a.log", "[job] one\n[job] two\n[job] three!\n[job] four");
    expect_file("annotate=stderr", "file_append", "a.log", "one\ntwo\nthree!\nfour");
    GString *const plain = file_after(NULL, "file_fdopen", "a.log");
    char *const expected = annotated(plain->str, "[job] ");
    expect_file("annotate=*.log", "file_fdopen", "a.log", expected);
    g_free(expected);
    g_string_free(plain, TRUE);
}

Test(annotate, file_names_are_matched_as_in_a_shell) {
    static const struct {
        const char *patterns, *name;
        bool match;
    } cases[] = {
        {"*.log", "a.log", true},         {"*.log", "a.logs", false},   {"*", "a", true},
        {"?.log", "ab.log", false},       {"??.log", "ab.log", true},   {"[a-c]*.log", "bb.log", true},
        {"[!a-c]*.log", "bb.log", false}, {"a\\*.log", "a*.log", true}, {"a\\*.log", "ab.log", false},
        {"x,*.txt,*.log", "a.log", true}, {"/*.log", "a.log", false},   {"/*/*/*.log", "a.log", true},
        {"*/*.log", "a.log", false},      {"a*b*c", "axbxbxc", true},   {"a*b*c", "axbxbx", false},
        {"[]x].log", "].log", true},      {"[a", "[a", true},           {"*.*.log", "a.b.log", true},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *const options = g_strdup_printf("annotate=\"%s\"", cases[i].patterns);
        GString *const is = file_after(options, "file_fdopen", cases[i].name);
        cr_expect((is->str[0] == '[') == cases[i].match, "%s on %s", options, cases[i].name);
        g_string_free(is, TRUE);
        g_free(options);
    }
}

/* Byte for byte what it is without the shim. */
static void expect_untouched(const char *story, const char *name) {
    GString *const plain = file_after(NULL, story, name), *const is =
                                                              file_after("annotate=*.log", story, name);
    cr_expect(g_string_equal(is, plain), "%s: %.100s", story, is->str);
    g_string_free(plain, TRUE);
    g_string_free(is, TRUE);
}

Test(annotate, data_is_never_touched) {
    expect_untouched("file_binary", "000003.log");
    expect_untouched("file_turns_binary", "000003.log");
    expect_untouched("file_read_write", "000003.log");
    expect_untouched("file_not_append", "000003.log");
}

Test(annotate, what_is_done_to_data_ends_it_for_good) {
    static const char *const calls[] = {"lseek",
                                        "lseek64",
                                        "pwrite",
                                        "pwrite64",
                                        "pwritev",
                                        "pwritev64",
                                        "pwritev2",
                                        "pwritev64v2",
                                        "ftruncate",
                                        "ftruncate64",
                                        "fallocate",
                                        "fallocate64",
                                        "posix_fallocate",
                                        "posix_fallocate64",
                                        "mmap",
                                        "mmap64",
                                        "setfl",
                                        "sendfile",
                                        "fseek",
                                        "fseeko",
                                        "fseeko64",
                                        "rewind",
                                        "fsetpos",
                                        "fsetpos64"};
    for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
        char *const story = g_strconcat("ends_", calls[i], NULL);
        GString *const is = file_after("annotate=*.log", story, "a.log");
        const bool cut = g_str_has_prefix(calls[i], "ftruncate");
        expect_same(is, cut ? "[jobtwo\n" : "[job] one\ntwo\n", "%s", story);
        g_string_free(is, TRUE);
        g_free(story);
    }
}

Test(annotate, copies_of_a_descriptor_share_its_lines) {
    expect_file("annotate=*.log", "file_copies", "a.log", "[job] abc\n[job] de\n[job] f\ng\n");
    expect_story("annotate=stderr", PIPE, "copies", NULL, "[job] abc\n[job] d\n");
}

/* --- which descriptors ------------------------------------------------------------------------------------
 */

Test(annotate, what_is_put_onto_stderr_is_annotated_there_only) {
    expect_file("annotate=stderr", "replaced", "a", "[job] as stderr\nas itself\n");
}

Test(annotate, a_number_that_a_socket_happens_to_get_is_not_stderr) {
    expect_story("annotate=stderr", PIPE, "taken", NULL, "[job] data\n");
}

Test(annotate, stderr_may_be_asked_where_it_stands) {
    for (int i = 0; i < WAYS; i++) {
        struct outcome outcome = run(ways[i], "annotate=stderr", FILE_ITSELF, "told_but_not_moved", NULL);
        expect_same(outcome.err, "[two\n one\n", "%s", ways[i]);
        outcome_free(&outcome);
    }
}

Test(annotate, stderr_that_is_not_text_is_left_alone) {
    expect_story("annotate=stderr", PIPE, "stderr_turns_binary", NULL, "[job] one\n\1\2\3\ntwo\nthree\n");
}

Test(annotate, a_stream_without_a_descriptor_is_left_alone) {
    expect_story("annotate=stderr", PIPE, "cookie", NULL, "");
}

/* Other libraries have functions of these names, with other arguments. */
Test(annotate, another_librarys_function_of_the_name_is_its_own) {
    for (const char *const *options = (const char *[]){"", "annotate=stderr:annotate=stdout", NULL};
         *options != NULL; options++) {
        struct outcome outcome = run("owner", *options, PACKETS, NULL);
        expect_same(outcome.out, "117\n", "owner, %s", *options);
        outcome_free(&outcome);
    }
}

/* --- processes, threads, signals --------------------------------------------------------------------------
 */

Test(annotate, the_process_is_named_also_after_a_fork) {
    struct outcome outcome = run("plain", "annotate=stderr:annotate_pid=1", PIPE, "forks", NULL);
    int parent = 0, child = 0;
    sscanf(outcome.err->str, "[%d:job] parent\n[%d:job] child", &parent, &child);
    char *const expected =
        g_strdup_printf("[%d:job] parent\n[%d:job] child %d\n[%d:job] child\n[%d:job] parent %d\n", parent,
                        child, child, child, parent, parent);
    cr_expect(parent != 0 && child != parent);
    expect_same(outcome.err, expected, "forks");
    g_free(expected);
    outcome_free(&outcome);
}

Test(annotate, threads_do_not_tear_each_others_lines) {
    for (int i = 0; i < WAYS; i++) {
        struct outcome outcome = run(ways[i], "annotate=stderr", PACKETS, "threads", NULL);
        char **const lines = g_strsplit(outcome.err->str, "\n", -1);
        cr_expect(g_strv_length(lines) == 3001 && outcome.err_packets == 3000, "%u lines, %u writes",
                  g_strv_length(lines) - 1, outcome.err_packets);
        for (char **line = lines; **line != '\0'; line++)
            cr_expect((*line)[0] == '[' && (*line)[1] == (*line)[4] && strncmp(*line + 2, "] ", 2) == 0 &&
                          strncmp(*line + 5, " says", 5) == 0 && strchr(*line + 1, '[') == NULL,
                      "%s", *line);
        g_strfreev(lines);
        outcome_free(&outcome);
    }
}

Test(annotate, a_cancelled_call_leaves_nothing_behind, .timeout = 60) {
    expect_story("annotate=stderr", PIPE, "cancelled", NULL, "");
}

/* E12: what the program has gathered of several requests is in doubt, and single lines after it for a while.
 */
Test(annotate, gathered_lines_are_in_doubt) {
    GString *expected =
        g_string_new("[a] a1\n[a] a2\n[b] b1\n[b] b2\n[d?] c\n[d?] d\n[e?] ...............\n");
    for (int i = 0; i < 16; i++)
        g_string_append(expected, i < 15 ? "[e?] e\n" : "[e] e\n");
    expect_story("annotate=stderr", PIPE, "gathered", NULL, expected->str);
    g_string_free(expected, TRUE);
}

/* A hook that is entered from outside a loop ends what the loop was at. */
Test(annotate, a_line_after_the_loop_is_none_of_its_last_requests) {
    const char *const before = "[job conn#1 req#1] inside\n[job] outside";
    for (const char *const *how = (const char *[]){"fputs", "write", "perror", NULL}; *how != NULL; how++) {
        struct outcome outcome = run("plain", "annotate=stderr", PIPE, "loop_left", *how, NULL);
        cr_expect(g_str_has_prefix(outcome.err->str, before), "%s: %s", *how, outcome.err->str);
        cr_expect(outcome.status == 0 && strstr(outcome.notes->str, "served: 1") != NULL);
        outcome_free(&outcome);
    }
}

/* A handler that interrupted the shim itself writes as the program does: without. */
Test(annotate, a_signal_handler_may_write) {
    struct outcome outcome = run("plain", "annotate=stderr", PIPE, "signals", NULL);
    GRegex *const good = g_regex_new("^(\\[job loop\\] tock|(\\[job( loop)?\\] )?tick)$", 0, 0, NULL);
    char **const lines = g_strsplit(outcome.err->str, "\n", -1);
    cr_expect(outcome.status == 0 && g_strv_length(lines) > 500);
    for (char **line = lines; **line != '\0'; line++)
        cr_expect(g_regex_match(good, *line, 0, NULL), "%s", *line);
    g_strfreev(lines);
    g_regex_unref(good);
    outcome_free(&outcome);
}
