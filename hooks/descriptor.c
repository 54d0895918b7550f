/* The life of descriptors: H5, H6, F15. Their slots are emptied before the real close, and again when a
 * call makes a new one, since libc closes some where no hook sees it. */
#include "../shim/annotate.h"
#include "hook.h"

#include <errno.h>
#include <stdarg.h>

#ifndef CLOSE_RANGE_UNSHARE
#    define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

static int created(int fd) {
    rules_fd_created(fd);
    annotate_born(fd);
    return fd;
}

static int pipe_created(const int fds[2], int flags) {
    rules_pipe_created(fds[0], fds[1], flags);
    annotate_born(fds[0]);
    annotate_born(fds[1]);
    return 0;
}

static int opened(int fd, const char *path) {
    rules_fd_created(fd);
    annotate_opened(fd, path);
    return fd;
}

/* The third argument is there only when a file may be made. */
static mode_t mode_argument(int flags, va_list arguments) {
    bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return has_mode ? va_arg(arguments, mode_t) : 0;
}

HOOK(int, open, (const char *path, int flags, ...)) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return opened(REAL(open)(path, flags, mode), path);
}

HOOK(int, open64, (const char *path, int flags, ...)) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return opened(REAL(open64)(path, flags, mode), path);
}

HOOK(int, openat, (int directory, const char *path, int flags, ...)) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return opened(REAL(openat)(directory, path, flags, mode), path);
}

HOOK(int, openat64, (int directory, const char *path, int flags, ...)) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return opened(REAL(openat64)(directory, path, flags, mode), path);
}

HOOK(int, __open_2, (const char *path, int flags)) {
    return opened(REAL(__open_2)(path, flags), path);
}

HOOK(int, __open64_2, (const char *path, int flags)) {
    return opened(REAL(__open64_2)(path, flags), path);
}

HOOK(int, __openat_2, (int directory, const char *path, int flags)) {
    return opened(REAL(__openat_2)(directory, path, flags), path);
}

HOOK(int, __openat64_2, (int directory, const char *path, int flags)) {
    return opened(REAL(__openat64_2)(directory, path, flags), path);
}

HOOK(int, creat, (const char *path, mode_t mode)) {
    return opened(REAL(creat)(path, mode), path);
}

HOOK(int, creat64, (const char *path, mode_t mode)) {
    return opened(REAL(creat64)(path, mode), path);
}

HOOK(int, pipe, (int fds[2])) {
    int result = REAL(pipe)(fds);
    return result == 0 ? pipe_created(fds, 0) : result;
}

HOOK(int, pipe2, (int fds[2], int flags)) {
    int result = REAL(pipe2)(fds, flags);
    return result == 0 ? pipe_created(fds, flags) : result;
}

HOOK(int, memfd_create, (const char *name, unsigned flags)) {
    return created(REAL(memfd_create)(name, flags));
}

HOOK(int, mkstemp, (char *pattern)) {
    return created(REAL(mkstemp)(pattern));
}

HOOK(int, mkstemp64, (char *pattern)) {
    return created(REAL(mkstemp64)(pattern));
}

HOOK(int, mkostemp, (char *pattern, int flags)) {
    return created(REAL(mkostemp)(pattern, flags));
}

HOOK(int, mkostemp64, (char *pattern, int flags)) {
    return created(REAL(mkostemp64)(pattern, flags));
}

HOOK(int, posix_openpt, (int flags)) {
    return created(REAL(posix_openpt)(flags));
}

HOOK(int, shm_open, (const char *name, int flags, mode_t mode)) {
    return created(REAL(shm_open)(name, flags, mode));
}

HOOK(int, signalfd, (int fd, const sigset_t *mask, int flags)) {
    int result = REAL(signalfd)(fd, mask, flags);
    return fd == -1 ? created(result) : result;
}

HOOK(int, inotify_init, (void)) {
    return created(REAL(inotify_init)());
}

HOOK(int, inotify_init1, (int flags)) {
    return created(REAL(inotify_init1)(flags));
}

HOOK(int, dup, (int fd)) {
    annotate_copied(fd);
    int copy = REAL(dup)(fd);
    rules_fd_duplicated(fd, copy);
    return copy;
}

/* The number that dup2 closes on the way is over before the call, as for close. */
HOOK(int, dup2, (int fd, int copy)) {
    annotate_copied(fd);
    struct open_file *before = fd != copy ? rules_fd_closing(copy) : NULL;
    int result = REAL(dup2)(fd, copy);
    rules_fd_closed(copy, before, result < 0);
    rules_fd_duplicated(fd, result);
    return result;
}

HOOK(int, dup3, (int fd, int copy, int flags)) {
    annotate_copied(fd);
    struct open_file *before = fd != copy ? rules_fd_closing(copy) : NULL;
    int result = REAL(dup3)(fd, copy, flags);
    rules_fd_closed(copy, before, result < 0);
    rules_fd_duplicated(fd, result);
    return result;
}

/* A copy of a log is a log; a file that is no longer appended to is none. */
static void fcntl_begins(int fd, int command, void *argument) {
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        annotate_copied(fd);
    else if (command == F_SETFL && annotate_on)
        annotate_flags_set(fd, (int)(intptr_t)argument);
}

/* fcntl's third argument may be an int, a pointer or absent: it is passed on as the register it came in. */
HOOK(int, fcntl, (int fd, int command, ...)) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    fcntl_begins(fd, command, argument);
    int result = REAL(fcntl)(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        rules_fd_duplicated(fd, result);
    return result;
}

HOOK(int, fcntl64, (int fd, int command, ...)) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    fcntl_begins(fd, command, argument);
    int result = REAL(fcntl64)(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        rules_fd_duplicated(fd, result);
    return result;
}

/* On Linux the descriptor is gone even when close fails, but for EBADF. */
HOOK(int, close, (int fd)) {
    struct open_file *file = rules_fd_closing(fd);
    int result = REAL(close)(fd);
    rules_fd_closed(fd, file, false);
    return result;
}

HOOK(int, close_range, (unsigned first, unsigned last, int flags)) {
    bool closes = ((unsigned)flags & ~CLOSE_RANGE_UNSHARE) == 0 && first <= last;
    if (closes)
        rules_fd_range_closing(first, last);
    return REAL(close_range)(first, last, flags);
}

HOOK(void, closefrom, (int first)) {
    rules_fd_range_closing(first > 0 ? (unsigned)first : 0, ~0U);
    REAL(closefrom)(first);
}
