/* system: F14. libc's own takes the shell's environment from `environ` itself, which is not ours to change,
 * not even for a moment. So this is what libc does, done here, with the environment that posix_spawn is
 * given.
 *
 * As POSIX has it: while a command runs, SIGINT and SIGQUIT are ignored and SIGCHLD is blocked; the shell
 * gets them as they were. Calls that run at the same time share the two dispositions: the first saves them,
 * the last puts them back. libc counts by itself, so it must never be called beside us: once the shim is
 * ready, all calls are made here, with a context or without. A cancelled call kills its shell and takes its
 * status. */
#include "hook.h"

#include "../ctxstore/lock.h"

#include <errno.h>
#include <sys/wait.h>

extern char **environ;

#define SHELL "/bin/sh"

/* Guarded by the lock: how many calls are under way, and what the signals were before the first. */
static struct lock ignored_lock;
static unsigned ignored;
static struct sigaction before_int, before_quit;

static void ignored_take(void) {
    if (!lock_take(&ignored_lock))
        ignored = 0;
}

static void ignore_begin(void) {
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    ignored_take();
    if (ignored++ == 0) {
        REAL(sigaction)(SIGINT, &ignore, &before_int);
        REAL(sigaction)(SIGQUIT, &ignore, &before_quit);
    }
    lock_give(&ignored_lock);
}

static void ignore_end(void) {
    ignored_take();
    if (ignored > 0 && --ignored == 0) {
        REAL(sigaction)(SIGINT, &before_int, NULL);
        REAL(sigaction)(SIGQUIT, &before_quit, NULL);
    }
    lock_give(&ignored_lock);
}

struct command {
    pid_t shell;
    sigset_t mask; /* before */
};

static pid_t wait_for(pid_t shell, int *status) {
    pid_t result;
    do
        result = waitpid(shell, status, 0);
    while (result < 0 && errno == EINTR);
    return result;
}

static void cancelled(void *argument) {
    const struct command *command = argument;
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    kill(command->shell, SIGKILL);
    wait_for(command->shell, NULL);
    pthread_setcancelstate(state, &state);
    ignore_end();
    pthread_sigmask(SIG_SETMASK, &command->mask, NULL);
}

/* 0, or an error number. */
static int shell_start(struct command *command, const char *line) {
    char *const arguments[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)line,
                               NULL};
    posix_spawnattr_t attributes;
    sigset_t reset;
    sigemptyset(&reset);
    if (before_int.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGINT);
    if (before_quit.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGQUIT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &command->mask);
    posix_spawnattr_setsigdefault(&attributes, &reset);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    struct parting parting;
    rules_exec_begin(&parting, environ);
    char *copy[parting.slots];
    char *const *given = rules_exec_environment(&parting, environ, copy);
    int error = REAL(posix_spawn)(&command->shell, SHELL, NULL, &attributes, arguments, given);
    if (given != environ && error == E2BIG)
        error = REAL(posix_spawn)(&command->shell, SHELL, NULL, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* The shell's status, or -1. */
static int finish(struct command *command) {
    int status = -1;
    pthread_cleanup_push(cancelled, command);
    if (wait_for(command->shell, &status) != command->shell)
        status = -1;
    pthread_cleanup_pop(0);
    return status;
}

static int run(const char *line) {
    enum { NO_SHELL = 127 << 8 };
    struct command command;
    sigset_t block;
    ignore_begin();
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &block, &command.mask);
    int error = shell_start(&command, line);
    int status = error == 0 ? finish(&command) : NO_SHELL;
    int kept = error != 0 ? error : errno;
    ignore_end();
    pthread_sigmask(SIG_SETMASK, &command.mask, NULL);
    errno = kept;
    return status;
}

HOOK(int, system, (const char *line)) {
    if (!process_started() || !rules_exec_wanted())
        return REAL(system)(line);
    return line != NULL ? run(line) : run("exit 0") == 0;
}
