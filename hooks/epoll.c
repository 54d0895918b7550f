/* The epoll family: F2, E0 to E3, E7, E8. */
#include "hook.h"

HOOK(int, epoll_create, (int size)) {
    int fd = REAL(epoll_create)(size);
    rules_epoll_created(fd);
    return fd;
}

HOOK(int, epoll_create1, (int flags)) {
    int fd = REAL(epoll_create1)(flags);
    rules_epoll_created(fd);
    return fd;
}

HOOK(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event)) {
    struct registration registration = rules_register_begin(epoll, operation, fd, event, HERE);
    int result = REAL(epoll_ctl)(epoll, operation, fd, event);
    rules_register_end(&registration, operation, fd, event, result);
    return result;
}

HOOK(int, epoll_wait, (int epoll, struct epoll_event *events, int max_events, int timeout)) {
    struct wait wait = rules_wait_begin(epoll, max_events, timeout, HERE);
    int count = wait.quiet ? 0 : REAL(epoll_wait)(epoll, events, wait.max_events, timeout);
    rules_wait_end(&wait, events, count);
    return count;
}

HOOK(int, epoll_pwait,
     (int epoll, struct epoll_event *events, int max_events, int timeout, const sigset_t *mask)) {
    struct wait wait = rules_wait_begin(epoll, max_events, timeout, HERE);
    int count = wait.quiet ? 0 : REAL(epoll_pwait)(epoll, events, wait.max_events, timeout, mask);
    rules_wait_end(&wait, events, count);
    return count;
}

HOOK(int, epoll_pwait2,
     (int epoll, struct epoll_event *events, int max_events, const struct timespec *timeout,
      const sigset_t *mask)) {
    struct wait wait = rules_wait_begin(epoll, max_events, rules_milliseconds(timeout), HERE);
    int count = wait.quiet ? 0 : REAL(epoll_pwait2)(epoll, events, wait.max_events, timeout, mask);
    rules_wait_end(&wait, events, count);
    return count;
}
