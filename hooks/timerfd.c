/* timerfd: F5. */
#include "hook.h"

HOOK(int, timerfd_create, (clockid_t clock, int flags)) {
    int fd = REAL(timerfd_create)(clock, flags);
    rules_timerfd_created(fd);
    return fd;
}

HOOK(int, timerfd_settime,
     (int fd, int flags, const struct itimerspec *new_value, struct itimerspec *old_value)) {
    struct arming arming = rules_timer_begin(fd, HERE);
    int result = REAL(timerfd_settime)(fd, flags, new_value, old_value);
    rules_timer_end(&arming, result, new_value);
    return result;
}
