/* Planted leaks: each is found, named by its kind, and located at its line; its clean twin is silent. And
 * what holds of records and of the supervisor. Run from the root of the tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLANTED BUILD "/tests/leaks/planted"
#define COMMAND BUILD "/ctxshim"

static struct {
    char *out, *err;
    int status; /* as a shell has it */
} seen;

static void run(char *const *arguments, char **environment) {
    int status;
    GError *error = NULL;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, environment, G_SPAWN_SEARCH_PATH, NULL, NULL, &seen.out,
                           &seen.err, &status, &error),
              "%s", error != NULL ? error->message : "");
    seen.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#define RUN(...) run((char *const[]){__VA_ARGS__, NULL}, NULL)

/* --- planted leaks ---------------------------------------------------------------------------------- */

static void planted(const char *name, const char *mode) {
    RUN("timeout", "60", COMMAND, "run", "--leaks", "--stacks=1", "--leaks-after=0", "--", PLANTED,
        (char *)name, (char *)mode);
}

/* The place that says so: "planted_timers.c:12\n"; to be freed. */
static char *place_of(const char *name) {
    static const char *const files[] = {"planted_timers.c", "planted_carriers.c", "planted_threads.c",
                                        "planted_scopes.c"};
    char *mark = g_strdup_printf("/* HERE %s */", name), *place = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        char *path = g_build_filename("tests/leaks", files[i], NULL), *source = NULL;
        cr_assert(g_file_get_contents(path, &source, NULL, NULL));
        const char *found = strstr(source, mark);
        int line = 1;
        for (const char *at = source; found != NULL && at < found; at++)
            line += *at == '\n';
        if (found != NULL)
            place = g_strdup_printf("%s:%d\n", files[i], line);
        g_free(source);
        g_free(path);
    }
    cr_assert(place != NULL, "no line says %s", mark);
    g_free(mark);
    return place;
}

/* Is there a leak of this kind whose stack has this place? */
static gboolean reports(const char *text, const char *kind, const char *place) {
    char **leaks = g_strsplit(text, "\n\n", -1), *begin = g_strconcat(kind, " of '", NULL);
    gboolean found = FALSE;
    for (char **leak = leaks; *leak != NULL; leak++)
        found |= g_str_has_prefix(*leak, begin) && strstr(*leak, place) != NULL;
    g_free(begin);
    g_strfreev(leaks);
    return found;
}

static void expect_leak(const char *name, const char *kind) {
    char *place = place_of(name);
    planted(name, "leak");
    cr_expect(seen.status == 23, "%s: status %d\n%s", name, seen.status, seen.err);
    cr_expect(reports(seen.err, kind, place), "%s: no %s at %s in:\n%s", name, kind, place, seen.err);
    g_free(place);
}

static void expect_clean(const char *name) {
    planted(name, "clean");
    cr_expect(seen.status == 0, "%s: status %d\n%s", name, seen.status, seen.err);
    cr_expect_str_empty(seen.err);
}

#define LEAK(name, kind, api)                                                                                \
    Test(leaks, name, .timeout = 100) {                                                                      \
        expect_leak(#name, kind);                                                                            \
    }                                                                                                        \
    Test(clean, name, .timeout = 100) {                                                                      \
        expect_clean(#name);                                                                                 \
    }
#include "cases.def"
#undef LEAK

/* It is the parent's leak, and not each child's. */
Test(leaks, what_was_left_before_a_fork_is_reported_once, .timeout = 100) {
    planted("timer_before_fork", "leak");
    char **parts = g_strsplit(seen.err, "SUMMARY: ", -1);
    cr_expect(g_strv_length(parts) == 2, "%s", seen.err);
    g_strfreev(parts);
}

static void expect_peer(const char *name, const char *peer) {
    planted(name, "leak");
    cr_expect(g_regex_match_simple(peer, seen.err, 0, 0), "no %s in:\n%s", peer, seen.err);
}

Test(leaks, connections_are_named_by_their_peers, .timeout = 100) {
    expect_peer("pool_connected", "outbound connection, fd [0-9]+ \\(127\\.0\\.0\\.1:[0-9]+\\)");
    expect_peer("pool_by_ipv6", "outbound connection, fd [0-9]+ \\(\\[::1\\]:[0-9]+\\)");
}

/* --- without the command ------------------------------------------------------------------------------ */

static char **preloaded(const char *options) {
    char *library = g_canonicalize_filename(BUILD "/libctxshim.so", NULL);
    return g_environ_setenv(g_environ_setenv(g_get_environ(), "LD_PRELOAD", library, TRUE), "CTXSHIM_OPTIONS",
                            options, TRUE);
}

Test(preload, prints_itself_and_alters_no_status) {
    run((char *const[]){PLANTED, "push_at_end", "leak", NULL}, preloaded("leaks=1"));
    cr_expect(seen.status == 0);
    cr_expect(strstr(seen.err, "ERROR: ctxshim: detected context leaks") != NULL, "%s", seen.err);
    cr_expect(strstr(seen.err, "\nunpopped scope of 'Forgotten', 1 time") != NULL, "%s", seen.err);
    cr_expect(strstr(seen.err, "tests/leaks/planted+0x") != NULL, "%s", seen.err);
    cr_expect(strstr(seen.err, "\nSUMMARY: ctxshim: 1 context leak at 1 place") != NULL, "%s", seen.err);
}

Test(preload, is_silent_without_leaks) {
    run((char *const[]){PLANTED, "push_at_end", "clean", NULL}, preloaded("leaks=1"));
    cr_expect(seen.status == 0);
    cr_expect_str_empty(seen.err);
}

Test(preload, writes_to_log_path) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL);
    char *options = g_strdup_printf("leaks=1:log_path=%s/log", directory);
    run((char *const[]){PLANTED, "push_at_end", "leak", NULL}, preloaded(options));
    cr_expect_str_empty(seen.err);
    GDir *entries = g_dir_open(directory, 0, NULL);
    char *path = g_build_filename(directory, g_dir_read_name(entries), NULL), *text = NULL;
    cr_assert(g_file_get_contents(path, &text, NULL, NULL));
    cr_expect(strstr(text, "unpopped scope") != NULL, "%s", text);
    g_unlink(path);
    g_rmdir(directory);
    g_dir_close(entries);
}

/* --- while it runs ------------------------------------------------------------------------------------ */

static GPid subject;
static int subject_out, subject_err;

static void stand_as(const char *name, const char *mode, const char *options) {
    char *arguments[] = {PLANTED, (char *)name, (char *)mode, NULL}, byte;
    cr_assert(g_spawn_async_with_pipes(NULL, arguments, preloaded(options), G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                       NULL, &subject, NULL, &subject_out, &subject_err, NULL));
    cr_assert(read(subject_out, &byte, 1) == 1, "it does not start");
}

static void stand(const char *name, const char *options) {
    stand_as(name, "stay", options);
}

static void fall(void) {
    if (subject == 0)
        return;
    kill(subject, SIGKILL);
    waitpid(subject, NULL, 0);
}

static void ask(const char *verb) {
    char *pid = g_strdup_printf("%d", subject);
    RUN(COMMAND, (char *)verb, pid);
    g_free(pid);
}

static void expect_retained_outside(const char *name, const char *options, const char *holder) {
    char *place = place_of(name);
    stand(name, options);
    ask("leaks");
    cr_expect(seen.status == 23, "%d: %s", seen.status, seen.err);
    cr_expect(reports(seen.out, "retained context", place), "no %s in:\n%s", place, seen.out);
    cr_expect(strstr(seen.out, holder) != NULL, "%s", seen.out);
}

Test(running, retained_contexts_are_seen_from_outside, .fini = fall, .timeout = 30) {
    expect_retained_outside("timer_repeats", "leaks=1:leaks_after=0:stacks=1",
                            "held by a repeating timer, fd ");
}

Test(running, what_was_let_go_is_seen_from_outside, .fini = fall, .timeout = 30) {
    expect_retained_outside("timer_repeats_after_firing", "leaks=1:leaks_after=0", "its name alone");
}

static void expect_named_outside(const char *name, const char *holder) {
    stand(name, "leaks=1:leaks_after=0:stacks=1");
    ask("leaks");
    cr_expect(g_regex_match_simple(holder, seen.out, 0, 0), "no %s in:\n%s", holder, seen.out);
}

#define NAMED(name, holder)                                                                                  \
    Test(running, name##_is_named_from_outside, .fini = fall, .timeout = 30) {                               \
        expect_named_outside(#name,                                                                          \
                             "retained context of '[^']+', 1 time, thread [0-9]+ \\(planted\\), from:"       \
                             "(\n.*)+held by an? " holder);                                                  \
    }
NAMED(pool_connected, "outbound connection, fd [0-9]+ \\(127\\.0\\.0\\.1:[0-9]+\\)")
NAMED(pool_by_ipv6, "outbound connection, fd [0-9]+ \\(\\[::1\\]:[0-9]+\\)")
NAMED(timer_of_posix, "timer\n")
NAMED(queue_item, "item of a work queue\n")
NAMED(coroutine_parked, "coroutine started inside it\n")
NAMED(datagram_asked, "datagram that nobody has answered, fd ")

/* As the report at the end does: two of a kind, left there at one place, are one leak. */
Test(running, retained_contexts_are_grouped, .fini = fall, .timeout = 30) {
    stand("pool_of_several", "leaks=1:leaks_after=0:stacks=1");
    ask("leaks");
    cr_expect(
        g_regex_match_simple("\nretained context of 'conn#[0-9]+ req#1', 3 times, thread", seen.out, 0, 0),
        "%s", seen.out);
    cr_expect(strstr(seen.out, "SUMMARY: ctxshim: 3 context leaks at 1 place in") != NULL, "%s", seen.out);
}

Test(running, what_was_seen_of_an_eventfd_is_no_leak, .fini = fall, .timeout = 30) {
    stand_as("eventfd_never_read", "stay-clean", "leaks=1:leaks_after=0");
    ask("holders");
    cr_expect(strstr(seen.out, "wake-up that was seen (fd ") != NULL, "%s", seen.out);
    ask("leaks");
    cr_expect(seen.status == 0, "%s", seen.out);
}

Test(running, what_is_not_held_long_is_no_leak, .fini = fall, .timeout = 30) {
    stand("timer_repeats", "leaks=1:leaks_after=1000");
    ask("leaks");
    cr_expect(seen.status == 0, "%s", seen.out);
}

Test(running, holders_are_listed, .fini = fall, .timeout = 30) {
    stand("pool_asked", "leaks=1");
    ask("holders");
    cr_expect(seen.status == 0, "%s", seen.err);
    cr_expect(g_regex_match_simple(" 1 +[0-9.]+s  outbound connection \\(fd [0-9]+\\) +conn#1 req#1\n",
                                   seen.out, 0, 0),
              "%s", seen.out);
}

Test(running, holders_are_listed_without_leaks, .fini = fall, .timeout = 30) {
    stand("eventfd_queued", "");
    ask("holders");
    cr_expect(g_regex_match_simple(" 1 +-  queued wake-up \\(fd [0-9]+\\) +conn#1 req#1\n", seen.out, 0, 0),
              "%s", seen.out);
}

/* Of the subject's stderr, up to the end of a report. */
static void read_report(char text[4096]) {
    size_t used = 0;
    memset(text, 0, 4096);
    while (used < 4095 && strstr(text, "SUMMARY") == NULL) {
        ssize_t got = read(subject_err, text + used, 4095 - used);
        cr_assert(got > 0, "it ended: %s", text);
        used += (size_t)got;
    }
}

Test(running, a_signal_asks_for_a_report, .fini = fall, .timeout = 30) {
    char text[4096];
    stand("timer_repeats", "leaks=1:leaks_after=0:leaks_signal=12");
    kill(subject, 12);
    read_report(text);
    cr_expect(reports(text, "retained context", "repeating timer"), "%s", text);
    cr_expect(waitpid(subject, NULL, WNOHANG) == 0, "the signal has ended it");
}

static gboolean has_summaries(const char *path, int count) {
    char *text = NULL;
    gboolean got = g_file_get_contents(path, &text, NULL, NULL);
    char **parts = g_strsplit(got ? text : "", "SUMMARY: ", -1);
    gboolean has = (int)g_strv_length(parts) == count + 1;
    g_strfreev(parts);
    g_free(text);
    return has;
}

static void await_summaries(const char *path, int count) {
    for (int patience = 200; patience > 0 && !has_summaries(path, count); patience--)
        g_usleep(50000);
    cr_expect(has_summaries(path, count), "%s has not %d reports", path, count);
}

/* The second report goes on in the file of the first; not where a link leads that has taken its place. */
Test(running, a_link_in_place_of_the_report_is_not_followed, .fini = fall, .timeout = 60) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL), text[4096];
    char *options = g_strdup_printf("leaks=1:leaks_after=0:leaks_signal=12:log_path=%s/log", directory);
    stand("timer_repeats", options);
    char *log = g_strdup_printf("%s/log.%d", directory, subject), *kept = g_strconcat(log, ".kept", NULL);
    char *victim = g_build_filename(directory, "victim", NULL), *precious = NULL;
    for (int report = 1; report <= 2; report++) {
        kill(subject, 12);
        await_summaries(log, report);
    }
    cr_assert(g_file_set_contents(victim, "precious", -1, NULL) && rename(log, kept) == 0);
    cr_assert(symlink(victim, log) == 0);
    kill(subject, 12);
    read_report(text);
    cr_expect(g_file_get_contents(victim, &precious, NULL, NULL) && strcmp(precious, "precious") == 0);
    cr_expect(link(victim, kept) != 0 && unlink(log) == 0 && link(victim, log) == 0);
    kill(subject, 12);
    read_report(text);
    g_file_get_contents(victim, &precious, NULL, NULL);
    cr_expect_str_eq(precious, "precious");
    cr_expect(has_summaries(kept, 2));
    g_unlink(log);
    g_unlink(kept);
    g_unlink(victim);
    g_rmdir(directory);
}

/* --- records ------------------------------------------------------------------------------------------ */

/* A record of a program with a leak; the path is to be freed, the directory emptied. */
static char *record_make(char **directory) {
    *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL);
    char *options = g_strdup_printf("leaks=1:stacks=1:record_path=%s/record", *directory);
    run((char *const[]){PLANTED, "pop_out_of_order", "leak", NULL}, preloaded(options));
    GDir *entries = g_dir_open(*directory, 0, NULL);
    char *path = g_build_filename(*directory, g_dir_read_name(entries), NULL);
    g_dir_close(entries);
    return path;
}

static void record_drop(char *path, char *directory) {
    g_unlink(path);
    g_rmdir(directory);
}

Test(record, outlives_a_killed_process) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL);
    char *options = g_strdup_printf("leaks=1:record_path=%s/record", directory);
    run((char *const[]){"timeout", "-s", "KILL", "2", PLANTED, "killed", "leak", NULL}, preloaded(options));
    GDir *entries = g_dir_open(directory, 0, NULL);
    const char *entry;
    gboolean found = FALSE;
    while ((entry = g_dir_read_name(entries)) != NULL) {
        char *path = g_build_filename(directory, entry, NULL);
        RUN(COMMAND, "leaks", path);
        found |= strstr(seen.out, "unpopped scope of 'Killed'") != NULL &&
                 strstr(seen.out, "crashed or was killed") != NULL;
        g_unlink(path);
    }
    cr_expect(found, "%s", seen.out);
    g_dir_close(entries);
    g_rmdir(directory);
}

/* Where no record may be made, the program does not notice, and prints its report itself. */
static void expect_no_record(const char *setting, const char *directory) {
    char *library = g_canonicalize_filename(BUILD "/libctxshim.so", NULL);
    char *script = g_strdup_printf(
        "%s; LD_PRELOAD=%s CTXSHIM_OPTIONS=leaks=1:record_path=%s/record exec " PLANTED " push_at_end leak",
        setting, library, directory);
    RUN("sh", "-c", script);
    cr_expect(seen.status == 0, "%s: status %d\n%s", setting, seen.status, seen.err);
    cr_expect(strstr(seen.err, "unpopped scope of 'Forgotten'") != NULL, "%s: %s", setting, seen.err);
    g_free(script);
    g_free(library);
}

Test(record, a_limit_on_the_size_of_files_kills_nobody) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL);
    expect_no_record("ulimit -f 1", directory);
    cr_expect(g_rmdir(directory) == 0, "something was left there");
}

/* A file system of 64 KiB that is full, in a name space of its own; who may not make one does without. */
Test(record, a_full_disk_kills_nobody) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL);
    char *script = g_strdup_printf(
        "mount -t tmpfs -o size=64k none %s || exit 77; head -c 60k /dev/zero >%s/fill; "
        "LD_PRELOAD=$PWD/" BUILD "/libctxshim.so CTXSHIM_OPTIONS=leaks=1:record_path=%s/record exec " PLANTED
        " push_at_end leak",
        directory, directory, directory);
    RUN("unshare", "-rm", "sh", "-c", script);
    if (seen.status != 77 && seen.status != 1) {
        cr_expect(seen.status == 0, "status %d\n%s", seen.status, seen.err);
        cr_expect(strstr(seen.err, "unpopped scope of 'Forgotten'") != NULL, "%s", seen.err);
    }
    g_rmdir(directory);
}

static void expect_no_crash(const char *bytes, gsize size, const char *path) {
    cr_assert(g_file_set_contents(path, bytes, (gssize)size, NULL));
    RUN(COMMAND, "leaks", (char *)path);
    cr_expect(seen.status == 0 || seen.status == 2 || seen.status == 23, "status %d", seen.status);
}

Test(record, hostile_ones_crash_nobody) {
    char *directory, *path = record_make(&directory), *bytes;
    gsize size;
    GRand *random = g_rand_new_with_seed(1);
    cr_assert(g_file_get_contents(path, &bytes, &size, NULL));
    gsize used = 2048; /* what is written lies there */
    for (gsize cut = 0; cut < used; cut += 101)
        expect_no_crash(bytes, cut, path);
    for (int round = 0; round < 150; round++) {
        char *spoilt = g_memdup2(bytes, size);
        for (int byte = 0; byte < 1 + round % 8; byte++)
            spoilt[g_rand_int_range(random, 16, (gint32)used)] = (char)g_rand_int_range(random, 0, 256);
        expect_no_crash(spoilt, MIN(size, 65536), path);
        g_free(spoilt);
    }
    record_drop(path, directory);
}
