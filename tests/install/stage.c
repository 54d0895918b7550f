/* See stage.h. */
#include "stage.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

const char *stage = "";
static GPid started;

void stage_make(void) {
    stage = g_dir_make_tmp("ctxshim-install-XXXXXX", NULL);
    cr_assert_not_null(stage);
}

void stage_prefix(void) {
    stage_make();
    shell("$MAKE install PREFIX=$stage && strip --strip-unneeded $stage/lib/ctxshim/libctxshim.so." VERSION);
}

void stage_end(void) {
    if (started != 0) {
        kill(started, SIGKILL);
        waitpid(started, NULL, 0);
    }
    if (*stage != '\0')
        shell("rm -rf $stage");
}

/* An outer make's MAKEFLAGS would have the inner one look for its job server. */
static char **environment_of_shell(void) {
    char **environment = g_environ_unsetenv(g_get_environ(), "LD_PRELOAD");
    static const char *const unset[] = {"CTXSHIM_OPTIONS", "MAKEFLAGS", "MFLAGS",
                                        "MAKELEVEL",       "DESTDIR",   "PREFIX"};
    for (size_t i = 0; i < G_N_ELEMENTS(unset); i++)
        environment = g_environ_unsetenv(environment, unset[i]);
    environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", TRUE);
    environment = g_environ_setenv(environment, "stage", stage, TRUE);
    environment = g_environ_setenv(environment, "BUILD", BUILD, TRUE);
    return g_environ_setenv(environment, "MAKE", "make -s BUILD=" BUILD " CC=" BUILT_BY, TRUE);
}

static int run(char *command, char **output) {
    char *together = g_strdup_printf("exec 2>&1 </dev/null; set -eu; %s", command);
    const char *arguments[] = {"/bin/sh", "-c", together, NULL};
    int status;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, environment_of_shell(), 0, NULL, NULL, output, NULL,
                           &status, NULL));
    g_free(together);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

char *shell(const char *format, ...) {
    va_list arguments;
    char *output;
    va_start(arguments, format);
    char *command = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    int status = run(command, &output);
    cr_assert(status == 0, "%s: status %d\n%s", command, status, output);
    g_free(command);
    return output;
}

int shell_status(char **output, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *command = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    int status = run(command, output);
    g_free(command);
    return status;
}

/* A test that breaks off leaves nothing running. */
static void die_with_the_test(gpointer unused) {
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int stage_start(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *line = g_strdup_vprintf(format, arguments), *command = g_strconcat("exec ", line, NULL);
    va_end(arguments);
    const char *shell_arguments[] = {"/bin/sh", "-c", command, NULL};
    char said[16] = "";
    int out;
    cr_assert(started == 0, "one at a time");
    cr_assert(g_spawn_async_with_pipes(NULL, (char **)shell_arguments, environment_of_shell(),
                                       G_SPAWN_DO_NOT_REAP_CHILD, die_with_the_test, NULL, &started, NULL,
                                       &out, NULL, NULL));
    FILE *stream = fdopen(out, "r");
    cr_assert(fgets(said, sizeof said, stream) != NULL && strcmp(said, "ready\n") == 0, "%s does not start",
              line);
    return started;
}

static int by_text(gconstpointer a, gconstpointer b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *public_functions(void) {
    char *header;
    GMatchInfo *match;
    GPtrArray *names = g_ptr_array_new();
    cr_assert(g_file_get_contents("shim/ctxshim.h", &header, NULL, NULL));
    char *wrappers = strstr(header, "\n#ifndef CTXSHIM_BUILD");
    cr_assert_not_null(wrappers);
    *wrappers = '\0';
    GRegex *regex = g_regex_new("^CTXSHIM_API [^(]*\\b(ctxshim_\\w+)\\(", G_REGEX_MULTILINE, 0, NULL);
    for (g_regex_match(regex, header, 0, &match); g_match_info_matches(match); g_match_info_next(match, NULL))
        g_ptr_array_add(names, g_match_info_fetch(match, 1));
    cr_assert(names->len > 15, "only %u functions found in ctxshim.h", names->len);
    g_ptr_array_sort(names, by_text);
    return names;
}

void expect_in(const char *output, const char *text) {
    cr_expect(strstr(output, text) != NULL, "no \"%s\" in:\n%s", text, output);
}

void expect_not_in(const char *output, const char *text) {
    cr_expect(strstr(output, text) == NULL, "\"%s\" in:\n%s", text, output);
}
