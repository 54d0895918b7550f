/* Mutexes: the sections of F9's queues. These are the hottest functions there are: unless the mutex may be a
 * known queue's, each is a load, a branch and a jump to the real one (shim/queue.h), and allocators may call
 * them from wherever they like (H1, H2).
 *
 * The mutex is never looked into, so it may be of any kind: recursive, error-checking, robust, in shared
 * memory, made by an initialiser. */
#include "hook.h"

static bool is_held(int result) {
    return result == 0 || result == EOWNERDEAD;
}

/* What is rarely done stands apart, so that the usual case needs no stack. */
#define RARELY __attribute__((noinline, cold)) static

RARELY int lock_watched(pthread_mutex_t *mutex) {
    int result = REAL(pthread_mutex_lock)(mutex);
    if (is_held(result))
        rules_lock(mutex);
    return result;
}

HOOK(int, pthread_mutex_lock, (pthread_mutex_t * mutex)) {
    return queue_may_watch(mutex) ? lock_watched(mutex) : REAL(pthread_mutex_lock)(mutex);
}

RARELY int trylock_watched(pthread_mutex_t *mutex) {
    int result = REAL(pthread_mutex_trylock)(mutex);
    if (is_held(result))
        rules_lock(mutex);
    return result;
}

HOOK(int, pthread_mutex_trylock, (pthread_mutex_t * mutex)) {
    return queue_may_watch(mutex) ? trylock_watched(mutex) : REAL(pthread_mutex_trylock)(mutex);
}

HOOK(int, pthread_mutex_timedlock, (pthread_mutex_t *restrict mutex, const struct timespec *restrict until)) {
    int result = REAL(pthread_mutex_timedlock)(mutex, until);
    if (queue_may_watch(mutex) && is_held(result))
        rules_lock(mutex);
    return result;
}

HOOK(int, pthread_mutex_clocklock,
     (pthread_mutex_t *restrict mutex, clockid_t clock, const struct timespec *restrict until)) {
    int result = REAL(pthread_mutex_clocklock)(mutex, clock, until);
    if (queue_may_watch(mutex) && is_held(result))
        rules_lock(mutex);
    return result;
}

RARELY int unlock_watched(pthread_mutex_t *mutex, const void *site) {
    struct here here = {(uintptr_t)__builtin_frame_address(0), site};
    struct taking taking = rules_unlock_begin(mutex, here);
    int result = REAL(pthread_mutex_unlock)(mutex);
    rules_taking_end(&taking, result == 0);
    return result;
}

HOOK(int, pthread_mutex_unlock, (pthread_mutex_t * mutex)) {
    return queue_may_watch(mutex) ? unlock_watched(mutex, __builtin_return_address(0))
                                  : REAL(pthread_mutex_unlock)(mutex);
}

HOOK(int, pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes)) {
    rules_queue_memory(mutex);
    return REAL(pthread_mutex_init)(mutex, attributes);
}

HOOK(int, pthread_mutex_destroy, (pthread_mutex_t * mutex)) {
    rules_queue_memory(mutex);
    return REAL(pthread_mutex_destroy)(mutex);
}

HOOK(int, mtx_lock, (mtx_t * mutex)) {
    int result = REAL(mtx_lock)(mutex);
    if (queue_may_watch(mutex) && result == thrd_success)
        rules_lock(mutex);
    return result;
}

HOOK(int, mtx_trylock, (mtx_t * mutex)) {
    int result = REAL(mtx_trylock)(mutex);
    if (queue_may_watch(mutex) && result == thrd_success)
        rules_lock(mutex);
    return result;
}

HOOK(int, mtx_timedlock, (mtx_t *restrict mutex, const struct timespec *restrict until)) {
    int result = REAL(mtx_timedlock)(mutex, until);
    if (queue_may_watch(mutex) && result == thrd_success)
        rules_lock(mutex);
    return result;
}

HOOK(int, mtx_unlock, (mtx_t * mutex)) {
    if (!queue_may_watch(mutex))
        return REAL(mtx_unlock)(mutex);
    struct taking taking = rules_unlock_begin(mutex, HERE);
    int result = REAL(mtx_unlock)(mutex);
    rules_taking_end(&taking, result == thrd_success);
    return result;
}

HOOK(int, mtx_init, (mtx_t * mutex, int type)) {
    rules_queue_memory(mutex);
    return REAL(mtx_init)(mutex, type);
}

HOOK(void, mtx_destroy, (mtx_t * mutex)) {
    rules_queue_memory(mutex);
    REAL(mtx_destroy)(mutex);
}
