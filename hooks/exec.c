/* Executed programs: F14. The child is given a copy of the environment that has the context. What has no
 * environment for an argument gets the program's `environ`, as in libc; what takes its arguments one by one
 * has them put in a row on the stack, as in libc.
 *
 * An environment that has become too large with ours is not the program's doing: then its own is used. */
#include "hook.h"
#include "versions.h"

#include <errno.h>
#include <stdarg.h>

extern char **environ;

typedef int execute(const char *, char *const *, char *const *);

static int execute_with(execute *real, const char *name, char *const *arguments, char *const *environment) {
    struct parting parting;
    rules_exec_begin(&parting, environment);
    char *copy[parting.slots];
    char *const *given = rules_exec_environment(&parting, environment, copy);
    int result = real(name, arguments, given);
    if (given != environment && errno == E2BIG)
        result = real(name, arguments, environment);
    return result;
}

HOOK(int, execve, (const char *path, char *const arguments[], char *const environment[])) {
    return execute_with(REAL(execve), path, arguments, environment);
}

HOOK(int, execv, (const char *path, char *const arguments[])) {
    return execute_with(REAL(execve), path, arguments, environ);
}

HOOK(int, execvp, (const char *file, char *const arguments[])) {
    return execute_with(REAL(execvpe), file, arguments, environ);
}

HOOK(int, execvpe, (const char *file, char *const arguments[], char *const environment[])) {
    return execute_with(REAL(execvpe), file, arguments, environment);
}

/* How many arguments there are, with `first`, up to the NULL. */
static size_t count_of(const char *first, va_list list) {
    size_t count = first != NULL;
    while (first != NULL && va_arg(list, const char *) != NULL)
        count++;
    return count;
}

static void fill(char **row, size_t count, const char *first, va_list list) {
    if (count > 0)
        row[0] = (char *)(uintptr_t)first;
    for (size_t i = 1; i <= count; i++)
        row[i] = va_arg(list, char *);
    row[count] = NULL;
}

HOOK(int, execl, (const char *path, const char *first, ...)) {
    va_list list;
    va_start(list, first);
    size_t count = count_of(first, list);
    va_end(list);
    char *row[count + 1];
    va_start(list, first);
    fill(row, count, first, list);
    va_end(list);
    return execute_with(REAL(execve), path, row, environ);
}

HOOK(int, execlp, (const char *file, const char *first, ...)) {
    va_list list;
    va_start(list, first);
    size_t count = count_of(first, list);
    va_end(list);
    char *row[count + 1];
    va_start(list, first);
    fill(row, count, first, list);
    va_end(list);
    return execute_with(REAL(execvpe), file, row, environ);
}

/* The environment comes behind the arguments' NULL. */
HOOK(int, execle, (const char *path, const char *first, ...)) {
    va_list list;
    va_start(list, first);
    size_t count = count_of(first, list);
    va_end(list);
    char *row[count + 1];
    va_start(list, first);
    fill(row, count, first, list);
    char *const *environment = va_arg(list, char *const *);
    va_end(list);
    return execute_with(REAL(execve), path, row, environment);
}

HOOK(int, fexecve, (int fd, char *const arguments[], char *const environment[])) {
    struct parting parting;
    rules_exec_begin(&parting, environment);
    char *copy[parting.slots];
    char *const *given = rules_exec_environment(&parting, environment, copy);
    int result = REAL(fexecve)(fd, arguments, given);
    if (given != environment && errno == E2BIG)
        result = REAL(fexecve)(fd, arguments, environment);
    return result;
}

HOOK(int, execveat,
     (int folder, const char *path, char *const arguments[], char *const environment[], int flags)) {
    struct parting parting;
    rules_exec_begin(&parting, environment);
    char *copy[parting.slots];
    char *const *given = rules_exec_environment(&parting, environment, copy);
    int result = REAL(execveat)(folder, path, arguments, given, flags);
    if (given != environment && errno == E2BIG)
        result = REAL(execveat)(folder, path, arguments, environment, flags);
    return result;
}

typedef __typeof__(posix_spawn) spawn;

static int spawn_with(spawn *real, pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
                      const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment) {
    struct parting parting;
    rules_exec_begin(&parting, environment);
    char *copy[parting.slots];
    char *const *given = rules_exec_environment(&parting, environment, copy);
    int error = real(pid, name, actions, attributes, arguments, given);
    if (given != environment && error == E2BIG)
        error = real(pid, name, actions, attributes, arguments, environment);
    return error;
}

HOOK(int, posix_spawn,
     (pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
      const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
      char *const environment[restrict])) {
    return spawn_with(REAL(posix_spawn), pid, path, actions, attributes, arguments, environment);
}
HOOK_VERSION(posix_spawn, "GLIBC_2.15");

HOOK(int, posix_spawnp,
     (pid_t *restrict pid, const char *restrict file, const posix_spawn_file_actions_t *restrict actions,
      const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
      char *const environment[restrict])) {
    return spawn_with(REAL(posix_spawnp), pid, file, actions, attributes, arguments, environment);
}
HOOK_VERSION(posix_spawnp, "GLIBC_2.15");
