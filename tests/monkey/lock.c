/* Mutexes, conditions and semaphores, pthread's and C's, each function of both. Nobody waits for long: a lock
 * is held for a call or two, and waits have limits. */
#include "ops.h"

#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

enum { LOCKS = 3 };

static pthread_mutex_t mutexes[LOCKS];
static pthread_cond_t conditions[LOCKS];
static mtx_t plain[LOCKS];
static cnd_t changed[LOCKS];
static sem_t semaphores[LOCKS];

void locks_begin(void) {
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&mutexes[i], NULL);
        pthread_cond_init(&conditions[i], NULL);
        mtx_init(&plain[i], mtx_timed);
        cnd_init(&changed[i]);
        sem_init(&semaphores[i], 0, (unsigned)i);
    }
}

void locks_end(void) {
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&mutexes[i]);
        pthread_cond_destroy(&conditions[i]);
        mtx_destroy(&plain[i]);
        cnd_destroy(&changed[i]);
        sem_destroy(&semaphores[i]);
    }
}

static struct timespec soon(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    now.tv_nsec += 500000;
    if (now.tv_nsec >= 1000000000) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000;
    }
    return now;
}

/* In a crowd who asks for a lock with a limit may not get it. */
static struct timespec later(clockid_t clock) {
    struct timespec time = soon(clock);
    time.tv_sec += asked.threads > 0 ? 0 : 5;
    return time;
}

void take_lock(void) {
    int at = (int)below(LOCKS);
    bool pthread = UNDER_TSAN || chance(60);
    long result;
    struct timespec time = later(CLOCK_REALTIME), steady = later(CLOCK_MONOTONIC);
    if (pthread) {
        switch (below(4)) {
        case 0:
            result = DO(pthread_mutex_trylock, &mutexes[at]);
            break;
        case 1:
            result = DO(pthread_mutex_timedlock, &mutexes[at], &time);
            break;
        case 2:
            result = UNDER_TSAN ? DO(pthread_mutex_trylock, &mutexes[at])
                                : DO(pthread_mutex_clocklock, &mutexes[at], CLOCK_MONOTONIC, &steady);
            break;
        default:
            result = DO(pthread_mutex_lock, &mutexes[at]);
        }
    } else {
        switch (below(3)) {
        case 0:
            result = DO(mtx_trylock, &plain[at]);
            break;
        case 1:
            result = DO(mtx_timedlock, &plain[at], &time);
            break;
        default:
            result = DO(mtx_lock, &plain[at]);
        }
    }
    if (result != 0)
        return;
    if (chance(50))
        DO(pthread_cond_signal, &conditions[at]);
    if (chance(20))
        DO(pthread_cond_broadcast, &conditions[at]);
    if (pthread)
        DO(pthread_mutex_unlock, &mutexes[at]);
    else
        DO(mtx_unlock, &plain[at]);
}

/* Nobody signals, alone: the limit runs out. */
void wait_condition(void) {
    int at = (int)below(LOCKS);
    if (UNDER_TSAN || chance(60)) {
        struct timespec time = soon(CLOCK_REALTIME), steady = soon(CLOCK_MONOTONIC);
        DO(pthread_mutex_lock, &mutexes[at]);
        if (UNDER_TSAN || chance(50))
            DO(pthread_cond_timedwait, &conditions[at], &mutexes[at], &time);
        else
            DO(pthread_cond_clockwait, &conditions[at], &mutexes[at], CLOCK_MONOTONIC, &steady);
        DO(pthread_mutex_unlock, &mutexes[at]);
    } else {
        struct timespec time = soon(CLOCK_REALTIME);
        DO(mtx_lock, &plain[at]);
        DO(cnd_timedwait, &changed[at], &plain[at], &time);
        DO(cnd_signal, &changed[at]);
        DO(cnd_broadcast, &changed[at]);
        DO(mtx_unlock, &plain[at]);
    }
}

void use_semaphore(void) {
    sem_t *semaphore = &semaphores[below(LOCKS)];
    struct timespec time = soon(CLOCK_REALTIME), steady = soon(CLOCK_MONOTONIC);
    int value = 0;
    switch (below(6)) {
    case 0:
    case 1:
        DO(sem_post, semaphore);
        break;
    case 2:
        DO(sem_trywait, semaphore);
        break;
    case 3:
        DO(sem_timedwait, semaphore, &time);
        break;
    case 4:
        DO(sem_clockwait, semaphore, CLOCK_MONOTONIC, &steady);
        break;
    default:
        sem_getvalue(semaphore, &value);
        if (value > 0 && asked.threads == 0)
            DO(sem_wait, semaphore);
    }
}

/* --- short lives -------------------------------------------------------------------------------------------
 */

struct meeting {
    mtx_t lock;
    cnd_t changed;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int reached;
};

static int come(void *argument) {
    struct meeting *meeting = argument;
    mtx_lock(&meeting->lock);
    meeting->reached = 1;
    cnd_signal(&meeting->changed);
    mtx_unlock(&meeting->lock);
    pthread_mutex_lock(&meeting->mutex);
    while (meeting->reached != 2 /* under both locks in turn */)
        pthread_cond_wait(&meeting->condition, &meeting->mutex);
    pthread_mutex_unlock(&meeting->mutex);
    return 0;
}

static void named_semaphore(void) {
    char name[64];
    snprintf(name, sizeof name, "/monkey-%d-%u", getpid(), origin_new());
    sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
    sem_unlink(name);
    if (semaphore == SEM_FAILED)
        return;
    DO(sem_wait, semaphore);
    DO(sem_post, semaphore);
    DO(sem_close, semaphore);
}

/* Who comes first is not told: only that both come. */
void new_locks(void) {
    struct meeting meeting = {.reached = 0};
    sem_t semaphore;
    thrd_t thread;
    MUST(DO(mtx_init, &meeting.lock, mtx_plain) == thrd_success);
    MUST(DO(cnd_init, &meeting.changed) == thrd_success);
    MUST(DO(pthread_mutex_init, &meeting.mutex, NULL) == 0 &&
         DO(pthread_cond_init, &meeting.condition, NULL) == 0);
    DO(sem_init, &semaphore, 0, 1);
    DO(sem_wait, &semaphore);
    DO(sem_destroy, &semaphore);
    if (here_where != CHILD && !UNDER_TSAN) {
        mtx_lock(&meeting.lock);
        MUST(thrd_create(&thread, come, &meeting) == thrd_success);
        while (meeting.reached == 0) {
            hook_used(HOOK_cnd_wait);
            cnd_wait(&meeting.changed, &meeting.lock);
        }
        mtx_unlock(&meeting.lock);
        pthread_mutex_lock(&meeting.mutex);
        meeting.reached = 2;
        pthread_cond_signal(&meeting.condition);
        pthread_mutex_unlock(&meeting.mutex);
        hook_used(HOOK_pthread_cond_wait);
        thrd_join(thread, NULL);
        if (chance(30))
            named_semaphore();
    }
    DO(pthread_cond_destroy, &meeting.condition);
    DO(pthread_mutex_destroy, &meeting.mutex);
    DO_NOTHING(cnd_destroy, &meeting.changed);
    DO_NOTHING(mtx_destroy, &meeting.lock);
}
