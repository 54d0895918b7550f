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

static void stand(const char *name, const char *options) {
    char *arguments[] = {PLANTED, (char *)name, "stay", NULL}, byte;
    cr_assert(g_spawn_async_with_pipes(NULL, arguments, preloaded(options), G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                       NULL, &subject, NULL, &subject_out, &subject_err, NULL));
    cr_assert(read(subject_out, &byte, 1) == 1, "it does not start");
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

Test(running, a_signal_asks_for_a_report, .fini = fall, .timeout = 30) {
    char text[4096] = "";
    size_t used = 0;
    stand("timer_repeats", "leaks=1:leaks_after=0:leaks_signal=12");
    kill(subject, 12);
    while (used < sizeof text - 1 && strstr(text, "SUMMARY") == NULL) {
        ssize_t got = read(subject_err, text + used, sizeof text - 1 - used);
        cr_assert(got > 0, "it ended: %s", text);
        used += (size_t)got;
    }
    cr_expect(reports(text, "retained context", "repeating timer"), "%s", text);
    cr_expect(waitpid(subject, NULL, WNOHANG) == 0, "the signal has ended it");
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
