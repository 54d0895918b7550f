/* Where a thread waits for other threads: condition variables (F9). A wait ends one section of its mutex and
 * begins another; it tells a worker from a thread that belongs to one piece of work (F1).
 *
 * Of the first six libc has an older kind, in another layout, which is left alone (H7). */
#include "hook.h"
#include "versions.h"

HOOK(int, pthread_cond_wait, (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex)) {
    rules_sleep_begin(condition, mutex, HERE);
    int result = REAL(pthread_cond_wait)(condition, mutex);
    rules_sleep_end(condition, mutex, false, HERE);
    return result;
}
HOOK_VERSION(pthread_cond_wait, "GLIBC_2.3.2");

HOOK(int, pthread_cond_timedwait,
     (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
      const struct timespec *restrict until)) {
    rules_sleep_begin(condition, mutex, HERE);
    int result = REAL(pthread_cond_timedwait)(condition, mutex, until);
    rules_sleep_end(condition, mutex, result != 0, HERE);
    return result;
}
HOOK_VERSION(pthread_cond_timedwait, "GLIBC_2.3.2");

HOOK(int, pthread_cond_clockwait,
     (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
      const struct timespec *restrict until)) {
    rules_sleep_begin(condition, mutex, HERE);
    int result = REAL(pthread_cond_clockwait)(condition, mutex, clock, until);
    rules_sleep_end(condition, mutex, result != 0, HERE);
    return result;
}

HOOK(int, pthread_cond_signal, (pthread_cond_t * condition)) {
    if (queue_may_watch(condition) || bells_may_ring())
        rules_signal(condition);
    return REAL(pthread_cond_signal)(condition);
}
HOOK_VERSION(pthread_cond_signal, "GLIBC_2.3.2");

HOOK(int, pthread_cond_broadcast, (pthread_cond_t * condition)) {
    if (queue_may_watch(condition) || bells_may_ring())
        rules_signal(condition);
    return REAL(pthread_cond_broadcast)(condition);
}
HOOK_VERSION(pthread_cond_broadcast, "GLIBC_2.3.2");

HOOK(int, pthread_cond_init,
     (pthread_cond_t *restrict condition, const pthread_condattr_t *restrict attributes)) {
    rules_queue_memory(condition);
    return REAL(pthread_cond_init)(condition, attributes);
}
HOOK_VERSION(pthread_cond_init, "GLIBC_2.3.2");

HOOK(int, pthread_cond_destroy, (pthread_cond_t * condition)) {
    rules_queue_memory(condition);
    return REAL(pthread_cond_destroy)(condition);
}
HOOK_VERSION(pthread_cond_destroy, "GLIBC_2.3.2");

HOOK(int, cnd_wait, (cnd_t * condition, mtx_t *mutex)) {
    rules_sleep_begin(condition, mutex, HERE);
    int result = REAL(cnd_wait)(condition, mutex);
    rules_sleep_end(condition, mutex, false, HERE);
    return result;
}

HOOK(int, cnd_timedwait,
     (cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)) {
    rules_sleep_begin(condition, mutex, HERE);
    int result = REAL(cnd_timedwait)(condition, mutex, until);
    rules_sleep_end(condition, mutex, result != thrd_success, HERE);
    return result;
}

HOOK(int, cnd_signal, (cnd_t * condition)) {
    if (queue_may_watch(condition) || bells_may_ring())
        rules_signal(condition);
    return REAL(cnd_signal)(condition);
}

HOOK(int, cnd_broadcast, (cnd_t * condition)) {
    if (queue_may_watch(condition) || bells_may_ring())
        rules_signal(condition);
    return REAL(cnd_broadcast)(condition);
}

HOOK(int, cnd_init, (cnd_t * condition)) {
    rules_queue_memory(condition);
    return REAL(cnd_init)(condition);
}

HOOK(void, cnd_destroy, (cnd_t * condition)) {
    rules_queue_memory(condition);
    REAL(cnd_destroy)(condition);
}
