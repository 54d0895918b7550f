/* A test's own directory: see room.h. */
#include "room.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char *room, *command, *show;
struct result result;

char *in_room(const char *name) {
    return g_build_filename(room, name, NULL);
}

char *write_room(const char *name, const void *data, size_t size, mode_t mode) {
    char *path = in_room(name);
    cr_assert(g_file_set_contents(path, data, (gssize)size, NULL));
    cr_assert(chmod(path, mode) == 0);
    return path;
}

char *script(const char *name, const char *text) {
    return write_room(name, text, strlen(text), 0755);
}

char *copy(const char *source, const char *name, mode_t mode) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(source, &data, &size, NULL), "%s is not built", source);
    char *path = write_room(name, data, size, mode);
    g_free(data);
    return path;
}

char *program(const char *name) {
    char *built = g_build_filename(PROGRAMS, name, NULL);
    char *path = copy(built, name, 0755);
    g_free(built);
    return path;
}

void open_room(void) {
    room = g_dir_make_tmp("ctxshim-command-XXXXXX", NULL);
    cr_assert(room && chmod(room, 0755) == 0);
    char *bin = in_room("bin");
    cr_assert(g_mkdir(bin, 0755) == 0);
    command = copy(BUILD "/ctxshim", "bin/ctxshim", 0755);
    g_free(copy(PROGRAMS "stand_in.so", "bin/libctxshim.so", 0644));
    show = program("show");
    g_free(bin);
}

void close_room(void) {
    char *arguments[] = {"rm", "-rf", room, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

static void become_nobody(gpointer unused) {
    (void)unused;
    if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        _exit(99);
}

void start(char **arguments, char **environment, GSpawnChildSetupFunc in_child) {
    int status;
    GError *error = NULL;
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_LEAVE_DESCRIPTORS_OPEN;
    gboolean ran = g_spawn_sync(room, arguments, environment, flags, in_child, NULL, &result.out, &result.err,
                                &status, &error);
    cr_assert(ran, "%s", error ? error->message : "");
    result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* argv of `ctxshim ARG…`; ends with NULL. */
static char **arguments_of(const char *first, va_list rest) {
    GPtrArray *arguments = g_ptr_array_new();
    g_ptr_array_add(arguments, command);
    for (const char *argument = first; argument; argument = va_arg(rest, const char *))
        g_ptr_array_add(arguments, (gpointer)argument);
    g_ptr_array_add(arguments, NULL);
    return (char **)g_ptr_array_free(arguments, FALSE);
}

void ctxshim(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    start(arguments_of(first, rest), NULL, NULL);
    va_end(rest);
}

void ctxshim_as_nobody(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    start(arguments_of(first, rest), NULL, become_nobody);
    va_end(rest);
}

/* `ctxshim ARG…` with one variable set before. */
void ctxshim_with(const char *variable, const char *value, const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    char **environment = g_environ_setenv(g_get_environ(), variable, value, TRUE);
    start(arguments_of(first, rest), environment, NULL);
    va_end(rest);
}

/* The line of stdout that begins so, or "". */
char *line_of(const char *output, const char *beginning) {
    char **lines = g_strsplit(output, "\n", -1);
    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, beginning))
            return g_strdup(*line + strlen(beginning));
    return g_strdup("");
}

void expect_status(int status) {
    cr_expect_eq(result.status, status, "status %d, not %d: %s", result.status, status, result.err);
}

void expect_started(void) {
    expect_status(7);
    cr_expect_str_empty(result.err);
    cr_expect(strstr(result.out, "loaded yes\n") != NULL, "%s", result.out);
}

/* One line on stderr, "ctxshim: SUBJECT: … WORDS … ; WHAT TO DO"; nothing was started. */
void expect_refusal(int status, const char *subject, const char *words) {
    char *beginning = g_strdup_printf("ctxshim: %s: ", subject);
    expect_status(status);
    cr_expect(g_str_has_prefix(result.err, beginning), "%s", result.err);
    cr_expect(strstr(result.err, words) != NULL, "%s", result.err);
    cr_expect(strstr(result.err, "; ") != NULL, "%s", result.err);
    cr_expect_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1);
    cr_expect_str_empty(result.out);
}

void skip_unless_root(void) {
    if (getuid() != 0)
        cr_skip_test("needs root, to be another user");
}
