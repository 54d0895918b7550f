/* `ctxshim ps` on live processes, stopped ones and core files. What must be seen is known beforehand: the
 * subject says what it does (subject.c). Run from the root of the tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUBJECT BUILD "/tests/ps/subject"
#define COMMAND BUILD "/ctxshim"

static struct {
    char *out, *err;
    int status;
} seen;

static GPid subject;

/* Starts the subject, and waits until it stands. */
static void stand(const char *mode, gboolean preloaded) {
    const char *const under[] = {COMMAND, "run", "--", SUBJECT, mode, NULL};
    const char *const plain[] = {SUBJECT, mode, NULL};
    int out;
    char line[16] = "";
    cr_assert(g_spawn_async_with_pipes(NULL, (char **)(preloaded ? under : plain), NULL,
                                       G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &subject, NULL, &out, NULL,
                                       NULL));
    FILE *said = fdopen(out, "r");
    cr_assert(fgets(line, sizeof line, said) != NULL && strcmp(line, "ready\n") == 0, "it does not start");
}

static void end(void) {
    if (subject == 0)
        return;
    kill(subject, SIGKILL);
    waitpid(subject, NULL, 0);
}

static void ps(const char *option, const char *whom) {
    const char *arguments[] = {COMMAND, "ps", option, whom, NULL};
    if (option == NULL)
        arguments[2] = whom, arguments[3] = NULL;
    int status;
    cr_assert(
        g_spawn_sync(NULL, (char **)arguments, NULL, 0, NULL, NULL, &seen.out, &seen.err, &status, NULL));
    cr_assert(WIFEXITED(status), "the command was killed");
    seen.status = WEXITSTATUS(status);
}

static void ps_subject(const char *option) {
    char *pid = g_strdup_printf("%d", subject);
    ps(option, pid);
    g_free(pid);
    cr_assert(seen.status == 0, "status %d: %s", seen.status, seen.err);
}

/* The table's row of the thread that has this name; to be freed. */
static char *row_of(const char *name) {
    char *pattern = g_strdup_printf("(?m)^ +[0-9]+  %s +.*$", name);
    GRegex *regex = g_regex_new(pattern, 0, 0, NULL);
    GMatchInfo *match;
    char *row = g_regex_match(regex, seen.out, 0, &match) ? g_match_info_fetch(match, 0) : NULL;
    cr_assert(row != NULL, "no thread %s in:\n%s", name, seen.out);
    g_match_info_unref(match);
    g_regex_unref(regex);
    return row;
}

static void expect_still(void) {
    char *idler = row_of("idler"), *scoped = row_of("scoped"), *server = row_of("server");
    char *waiter = row_of("waiter"), *worker = row_of("worker"),
         *from = g_strdup_printf(" from %d ", subject);
    cr_expect(g_str_has_suffix(worker, " handed over"), "%s", worker);
    cr_expect(strstr(worker, "read eventfd ") != NULL && strstr(worker, from) != NULL, "%s", worker);
    cr_expect(g_str_has_suffix(idler, " -"), "%s", idler);
    cr_expect(
        g_str_has_suffix(scoped, " Main an operation of more than twenty-four bytes \\u001b[31mred\\u000a"),
        "%s", scoped);
    cr_expect(g_str_has_suffix(server, " conn#1 req#1"), "%s", server);
    cr_expect(strstr(server, "read connection ") != NULL, "%s", server);
    cr_expect(g_str_has_suffix(waiter, " armed"), "%s", waiter);
    cr_expect(strstr(waiter, "event timerfd ") != NULL && strstr(waiter, from) != NULL, "%s", waiter);
}

TestSuite(ps, .fini = end, .timeout = 100);

Test(ps, each_thread_is_shown_with_its_context_and_what_told_so) {
    stand("still", TRUE);
    ps_subject(NULL);
    expect_still();
}

Test(ps, a_process_that_is_stopped_is_read_all_the_same) {
    stand("still", TRUE);
    kill(subject, SIGSTOP);
    ps_subject(NULL);
    expect_still();
}

Test(ps, doubt_has_a_question_mark) {
    stand("doubt", TRUE);
    ps_subject(NULL);
    cr_expect(strstr(seen.out, "  one?\n") != NULL, "%s", seen.out);
    ps_subject("--json");
    cr_expect(strstr(seen.out, "\"ambiguous\":true") != NULL, "%s", seen.out);
}

Test(ps, json_is_one_line_that_escapes_what_it_must) {
    stand("still", TRUE);
    ps_subject("--json");
    cr_expect(strchr(seen.out, '\n') == seen.out + strlen(seen.out) - 1, "%s", seen.out);
    cr_expect(strstr(seen.out, "\"name\":\"scoped\",\"context\":\"Main an operation of more than "
                               "twenty-four bytes \\u001b[31mred\\u000a\",\"ambiguous\":false") != NULL,
              "%s", seen.out);
    cr_expect(strstr(seen.out, "\"evidence\":\"read\",\"carrier\":\"connection\",\"fd\":") != NULL, "%s",
              seen.out);
}

/* A core file is written by the debugger, which needs no help of the system's. */
Test(ps, a_core_file_says_the_same) {
    stand("still", TRUE);
    char *directory = g_dir_make_tmp("ctxshim-ps-XXXXXX", NULL),
         *prefix = g_build_filename(directory, "core", NULL);
    char *pid = g_strdup_printf("%d", subject), *core = g_strdup_printf("%s.%s", prefix, pid);
    const char *const arguments[] = {"gcore", "-o", prefix, pid, NULL};
    int status;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL,
                           G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                           NULL, NULL, NULL, NULL, &status, NULL) &&
              status == 0);
    ps(NULL, core);
    cr_expect(seen.status == 0, "%s", seen.err);
    cr_expect(strstr(seen.out, "  Main an operation of more than twenty-four bytes ") != NULL, "%s",
              seen.out);
    cr_expect(strstr(seen.out, "  conn#1 req#1\n") != NULL, "%s", seen.out);
    g_remove(core);
    g_rmdir(directory);
}

/* One name: only this letter, and as many as its place says. */
static gboolean name_fits(const char *name, char letter, guint place) {
    return strlen(name) == place + 1 && strspn(name, (char[]){letter, '\0'}) == place + 1;
}

/* Under load a picture is whole or not there: never a name of another thread, a torn one or one out of place.
 */
Test(ps, no_picture_is_ever_torn) {
    enum { LOOKS = 200 };
    unsigned known = 0;
    stand("churn", TRUE);
    GRegex *threads = g_regex_new("\"name\":\"churn([a-z])\",\"context\":\"([^\"]*)\"", 0, 0, NULL);
    for (int i = 0; i < LOOKS; i++) {
        GMatchInfo *match;
        ps_subject("--json");
        g_regex_match(threads, seen.out, 0, &match);
        for (; g_match_info_matches(match); g_match_info_next(match, NULL)) {
            char *letter = g_match_info_fetch(match, 1), *stack = g_match_info_fetch(match, 2);
            char **names = g_strsplit(stack, " ", -1);
            for (guint place = 0; names[place] != NULL; place++)
                cr_assert(name_fits(names[place], *letter, place), "thread %s: %s", letter, stack);
            known++;
            g_strfreev(names);
            g_free(stack);
            g_free(letter);
        }
        g_match_info_unref(match);
        g_free(seen.out);
        g_free(seen.err);
    }
    g_regex_unref(threads);
    cr_expect(known > LOOKS, "only %u of %d pictures were whole", known, 4 * LOOKS);
}

Test(ps, watch_ends_with_the_process) {
    stand("still", TRUE);
    char *pid = g_strdup_printf("%d", subject);
    const char *const arguments[] = {COMMAND, "ps", "--json", "--watch", "0.05", pid, NULL};
    GPid watcher;
    int out, status;
    char line[8192];
    cr_assert(g_spawn_async_with_pipes(NULL, (char **)arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                       &watcher, NULL, &out, NULL, NULL));
    FILE *said = fdopen(out, "r");
    for (int i = 0; i < 3; i++)
        cr_expect(fgets(line, sizeof line, said) != NULL && line[0] == '{');
    end();
    subject = 0;
    while (fgets(line, sizeof line, said) != NULL)
        ;
    cr_expect(waitpid(watcher, &status, 0) == watcher && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void expect_watched(const char *first, const char *second, const char *third) {
    const char *const arguments[] = {"timeout", "2", COMMAND, "ps", first, second, third, NULL};
    char *out, *err;
    int status;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
                           &status, NULL));
    cr_expect(WEXITSTATUS(status) == 124, "%d: %s", WEXITSTATUS(status), err); /* it goes on watching */
    cr_expect(strstr(out, "subject") != NULL, "%s", out);
    g_free(out);
    g_free(err);
}

Test(ps, watch_alone_is_once_a_second_wherever_it_stands) {
    stand("still", TRUE);
    char *pid = g_strdup_printf("%d", subject);
    expect_watched("--watch", pid, NULL);
    expect_watched(pid, "--watch", NULL);
    expect_watched("-w", "--alone", pid);
    expect_watched("-w", pid, "--alone");
    expect_watched(pid, "-w", "1");
    g_free(pid);
}

/* A server's workers are its children; some in between need not be seen. */
Test(ps, child_processes_are_shown_too_unless_the_process_is_to_be_alone) {
    const char *const arguments[] = {
        COMMAND,
        "run",
        "--",
        "sh",
        "-c",
        "env -u LD_PRELOAD sh -c 'LD_PRELOAD=" BUILD "/libctxshim.so " SUBJECT " still & echo $!; wait'; :",
        NULL};
    int out;
    char line[16] = "", *pid;
    cr_assert(g_spawn_async_with_pipes(NULL, (char **)arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                       &subject, NULL, &out, NULL, NULL));
    FILE *said = fdopen(out, "r");
    cr_assert(fgets(line, sizeof line, said) != NULL);
    int child = atoi(line);
    cr_assert(fgets(line, sizeof line, said) != NULL && strcmp(line, "ready\n") == 0, "it does not start");
    ps_subject(NULL);
    char *server = row_of("server");
    cr_expect(g_str_has_suffix(server, " conn#1 req#1"), "%s", server);
    ps_subject("--json");
    pid = g_strdup_printf("\n{\"process\":\"%d\",", child);
    cr_expect(strstr(seen.out, pid) != NULL, "%s", seen.out);
    ps_subject("--alone");
    cr_expect(strstr(seen.out, "conn#1") == NULL, "%s", seen.out);
    kill(child, SIGKILL);
}

static void expect_refusal(const char *whom, const char *reason) {
    ps(NULL, whom);
    cr_expect(seen.status == 2 && strstr(seen.err, reason) != NULL, "status %d: %s", seen.status, seen.err);
}

Test(ps, nobody_is_waited_for_to_write_a_core_file) {
    char *directory = g_dir_make_tmp("ctxshim-test-XXXXXX", NULL),
         *path = g_build_filename(directory, "core", NULL);
    cr_assert(mkfifo(path, 0600) == 0);
    expect_refusal(path, "no core file");
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    g_free(directory);
}

Test(ps, what_cannot_be_read_is_refused_by_its_cause) {
    stand("idle", FALSE);
    char *pid = g_strdup_printf("%d", subject);
    expect_refusal(pid, "libctxshim is not loaded in it");
    expect_refusal("2147483646", "there is no such process");
    expect_refusal("Makefile", "it is no core file");
    expect_refusal("no-such-file", "No such file");
    expect_refusal("--watch=soon", "--watch takes seconds");
}
