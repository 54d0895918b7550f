/* poll and select. Timeouts behind a pointer are looked at through the kernel, where they matter. */
#include "hook.h"

HOOK(int, poll, (struct pollfd * fds, nfds_t count, int timeout)) {
    struct wait wait = rules_poll_begin(timeout, HERE);
    int result = REAL(poll)(fds, count, timeout);
    rules_poll_end(&wait, fds, count, result);
    return result;
}

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout, size_t room)) {
    struct wait wait = rules_poll_begin(timeout, HERE);
    int result = REAL(__poll_chk)(fds, count, timeout, room);
    rules_poll_end(&wait, fds, count, result);
    return result;
}

HOOK(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)) {
    struct wait wait = rules_poll_begin(rules_milliseconds(timeout), HERE);
    int result = REAL(ppoll)(fds, count, timeout, mask);
    rules_poll_end(&wait, fds, count, result);
    return result;
}

HOOK(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room)) {
    struct wait wait = rules_poll_begin(rules_milliseconds(timeout), HERE);
    int result = REAL(__ppoll_chk)(fds, count, timeout, mask, room);
    rules_poll_end(&wait, fds, count, result);
    return result;
}

HOOK(int, select,
     (int count, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
      struct timeval *restrict timeout)) {
    struct wait wait = rules_poll_begin(rules_milliseconds_of(timeout), HERE);
    int result = REAL(select)(count, reads, writes, errors, timeout);
    rules_select_end(&wait, &(struct selection){count, reads, writes, errors}, result);
    return result;
}

HOOK(int, pselect,
     (int count, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
      const struct timespec *restrict timeout, const sigset_t *restrict mask)) {
    struct wait wait = rules_poll_begin(rules_milliseconds(timeout), HERE);
    int result = REAL(pselect)(count, reads, writes, errors, timeout, mask);
    rules_select_end(&wait, &(struct selection){count, reads, writes, errors}, result);
    return result;
}
