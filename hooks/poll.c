/* poll and select: a loop around them is not looked into yet (their contexts are a later rule), but what a
 * wait ends, these end: the work before is over. Timeouts behind a pointer are the kernel's to read. */
#include "hook.h"

HOOK(int, poll, (struct pollfd * fds, nfds_t count, int timeout)) {
    rules_poll_begin(HERE, timeout != 0);
    return REAL(poll)(fds, count, timeout);
}

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout, size_t room)) {
    rules_poll_begin(HERE, timeout != 0);
    return REAL(__poll_chk)(fds, count, timeout, room);
}

HOOK(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)) {
    rules_poll_begin(HERE, timeout == NULL);
    return REAL(ppoll)(fds, count, timeout, mask);
}

HOOK(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room)) {
    rules_poll_begin(HERE, timeout == NULL);
    return REAL(__ppoll_chk)(fds, count, timeout, mask, room);
}

HOOK(int, select,
     (int count, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
      struct timeval *restrict timeout)) {
    rules_poll_begin(HERE, timeout == NULL);
    return REAL(select)(count, reads, writes, errors, timeout);
}

HOOK(int, pselect,
     (int count, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
      const struct timespec *restrict timeout, const sigset_t *restrict mask)) {
    rules_poll_begin(HERE, timeout == NULL);
    return REAL(pselect)(count, reads, writes, errors, timeout, mask);
}
