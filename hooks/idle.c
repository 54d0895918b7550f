/* Where a thread waits for other threads: condition variables and semaphores. For now they only tell a
 * worker from a thread that belongs to one piece of work (F1). What they hand over is F9's and F10's.
 *
 * The whole families are bound, in their default versions: dlsym never finds an older one (H7). */
#include "hook.h"

HOOK(int, pthread_cond_wait, (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex)) {
    rules_idle_begin(HERE);
    return REAL(pthread_cond_wait)(condition, mutex);
}

HOOK(int, pthread_cond_timedwait,
     (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
      const struct timespec *restrict until)) {
    rules_idle_begin(HERE);
    return REAL(pthread_cond_timedwait)(condition, mutex, until);
}

HOOK(int, pthread_cond_clockwait,
     (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
      const struct timespec *restrict until)) {
    rules_idle_begin(HERE);
    return REAL(pthread_cond_clockwait)(condition, mutex, clock, until);
}

HOOK(int, cnd_wait, (cnd_t * condition, mtx_t *mutex)) {
    rules_idle_begin(HERE);
    return REAL(cnd_wait)(condition, mutex);
}

HOOK(int, cnd_timedwait,
     (cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)) {
    rules_idle_begin(HERE);
    return REAL(cnd_timedwait)(condition, mutex, until);
}

HOOK(int, sem_wait, (sem_t * semaphore)) {
    rules_idle_begin(HERE);
    return REAL(sem_wait)(semaphore);
}

HOOK(int, sem_timedwait, (sem_t *restrict semaphore, const struct timespec *restrict until)) {
    rules_idle_begin(HERE);
    return REAL(sem_timedwait)(semaphore, until);
}

HOOK(int, sem_clockwait,
     (sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)) {
    rules_idle_begin(HERE);
    return REAL(sem_clockwait)(semaphore, clock, until);
}
