/* Semaphores: F10. A unit is an item; sem_post is async-signal-safe, and so is its hook (H19).
 *
 * The semaphore's value is asked for where a wait begins, through libc: it may only be done to a valid one,
 * as the wait itself. */
#include "hook.h"

static int units_of(sem_t *semaphore) {
    int units = 0;
    sem_getvalue(semaphore, &units);
    return units;
}

HOOK(int, sem_wait, (sem_t * semaphore)) {
    rules_units_begin(semaphore, units_of(semaphore), HERE);
    int result = REAL(sem_wait)(semaphore);
    rules_units_end(semaphore, result == 0, HERE);
    return result;
}

HOOK(int, sem_timedwait, (sem_t *restrict semaphore, const struct timespec *restrict until)) {
    rules_units_begin(semaphore, units_of(semaphore), HERE);
    int result = REAL(sem_timedwait)(semaphore, until);
    rules_units_end(semaphore, result == 0, HERE);
    return result;
}

HOOK(int, sem_clockwait,
     (sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)) {
    rules_units_begin(semaphore, units_of(semaphore), HERE);
    int result = REAL(sem_clockwait)(semaphore, clock, until);
    rules_units_end(semaphore, result == 0, HERE);
    return result;
}

HOOK(int, sem_trywait, (sem_t * semaphore)) {
    int result = REAL(sem_trywait)(semaphore);
    if (queue_may_watch(semaphore))
        rules_units_end(semaphore, result == 0, HERE);
    return result;
}

HOOK(int, sem_post, (sem_t * semaphore)) {
    if (!queue_may_watch(semaphore))
        return REAL(sem_post)(semaphore);
    struct queue_pending post = rules_post_begin(semaphore, HERE);
    int result = REAL(sem_post)(semaphore);
    rules_post_end(&post, result == 0);
    return result;
}

HOOK(int, sem_init, (sem_t * semaphore, int shared, unsigned value)) {
    rules_queue_memory(semaphore);
    return REAL(sem_init)(semaphore, shared, value);
}

HOOK(int, sem_destroy, (sem_t * semaphore)) {
    rules_queue_memory(semaphore);
    return REAL(sem_destroy)(semaphore);
}

HOOK(int, sem_close, (sem_t * semaphore)) {
    rules_queue_memory(semaphore);
    return REAL(sem_close)(semaphore);
}
