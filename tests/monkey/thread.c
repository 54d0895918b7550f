/* Threads: started and waited for, or not; workers, who take steps one at a time for whoever asks, by each
 * way in which threads hand work on; and ones that are cancelled in the middle of a call. */
#include "ops.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <threads.h>
#include <time.h>

struct start {
    struct dice dice;
    unsigned count;
    int where;
    sem_t *over; /* of a detached one */
    _Atomic bool told;
};

static void run_start(struct start *start) {
    gate_wait(&start->told);
    dice = start->dice;
    steps_deeper(start->count, start->where);
    if (start->over != NULL)
        sem_post(start->over);
}

static void *start_pthread(void *argument) {
    run_start(argument);
    return NULL;
}

static int start_thrd(void *argument) {
    run_start(argument);
    return 7;
}

void run_thread(void) {
    struct start start = {{draw()}, below(5), here_where, NULL, false};
    pthread_t thread;
    pthread_attr_t attributes;
    sem_t over;
    if (chance(30) && !UNDER_TSAN) {
        thrd_t other;
        int result = 0;
        MUST(DO(thrd_create, &other, start_thrd, &start) == thrd_success);
        start.told = true;
        MUST(thrd_join(other, &result) == thrd_success && result == 7);
        return;
    }
    bool detached = chance(30);
    pthread_attr_init(&attributes);
    if (detached) {
        sem_init(&over, 0, 0);
        start.over = &over;
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    }
    if (chance(5))
        noted("default attributes", DO(pthread_setattr_default_np, &(pthread_attr_t){0}) != 0);
    MUST(DO(pthread_create, &thread, &attributes, start_pthread, &start) == 0);
    pthread_attr_destroy(&attributes);
    start.told = true;
    if (!detached) {
        MUST(pthread_join(thread, NULL) == 0);
        return;
    }
    while (sem_wait(&over) != 0)
        continue;
    sem_destroy(&over);
}

/* --- workers ---------------------------------------------------------------------------------------------
 */

enum { WORKERS = 3 };

static struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sem_t asked_for;
    int pipe[2];
    struct start work;
    bool has_work, begun;
} workers[WORKERS];
static sem_t work_done;

/* Each kind of worker waits for its work in its own way. */
static void get_work_by_condition(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    while (!worker->has_work)
        pthread_cond_wait(&worker->changed, &worker->lock);
    worker->has_work = false;
    pthread_mutex_unlock(&worker->lock);
}

static void get_work_by_semaphore(struct worker *worker) {
    while (sem_wait(&worker->asked_for) != 0)
        continue;
}

static void get_work_by_pipe(struct worker *worker) {
    char byte;
    while (read(worker->pipe[0], &byte, 1) != 1)
        continue;
}

static void give_by_condition(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->has_work = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static void give_by_semaphore(struct worker *worker) {
    sem_post(&worker->asked_for);
}

static void give_by_pipe(struct worker *worker) {
    MUST(write(worker->pipe[1], "j", 1) == 1);
}

static const struct way {
    void (*get)(struct worker *worker);
    void (*give)(struct worker *worker);
} ways[WORKERS] = {
    {get_work_by_condition, give_by_condition},
    {get_work_by_semaphore, give_by_semaphore},
    {get_work_by_pipe, give_by_pipe},
};

static void *work(void *argument) {
    struct worker *worker = argument;
    for (;;) {
        ways[worker - workers].get(worker);
        if (worker->work.where == 0)
            return NULL;
        dice = worker->work.dice;
        for (unsigned i = 0; i < worker->work.count; i++)
            step(worker->work.where);
        sem_post(&work_done);
    }
}

void workers_begin(void) {
    sem_init(&work_done, 0, 0);
}

static void worker_begin(struct worker *worker) {
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->changed, NULL);
    sem_init(&worker->asked_for, 0, 0);
    /* Out of the way: a child closes ranges. */
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    for (int i = 0; i < 2; i++) {
        worker->pipe[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, LOG_FD + 1);
        MUST(worker->pipe[i] > LOG_FD && close(ends[i]) == 0);
    }
    worker->begun = true;
    MUST(pthread_create(&worker->thread, NULL, work, worker) == 0);
}

void work_for_another(void) {
    struct worker *worker = &workers[below(UNDER_TSAN ? WORKERS - 1 : WORKERS)];
    if (!worker->begun)
        worker_begin(worker);
    worker->work = (struct start){{draw()}, 1 + below(4), CROWD, NULL, true};
    ways[worker - workers].give(worker);
    while (sem_wait(&work_done) != 0)
        continue;
}

void workers_end(void) {
    for (struct worker *worker = workers; worker < workers + WORKERS; worker++) {
        if (!worker->begun)
            continue;
        worker->work.where = 0;
        ways[worker - workers].give(worker);
        MUST(pthread_join(worker->thread, NULL) == 0);
        pthread_cond_destroy(&worker->changed);
        pthread_mutex_destroy(&worker->lock);
        sem_destroy(&worker->asked_for);
        close(worker->pipe[0]);
        close(worker->pipe[1]);
    }
}

/* --- cancelled ones
 * ------------------------------------------------------------------------------------------ */

struct victim {
    int pipe[2];
    unsigned way;
    _Atomic bool begun;
    bool cleaned;
    sem_t semaphore;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void clean(void *argument) {
    ((struct victim *)argument)->cleaned = true;
}

static void block_for_ever(struct victim *victim) {
    char byte;
    struct pollfd polled = {victim->pipe[0], POLLIN, 0};
    struct epoll_event event = {EPOLLIN, {.fd = 1}};
    switch (victim->way) {
    case 0:
        (void)!read(victim->pipe[0], &byte, 1);
        break;
    case 1:
        poll(&polled, 1, -1);
        break;
    case 2: {
        int epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, victim->pipe[0], &event);
        victim->pipe[1] = epoll; /* for who cleans up */
        epoll_wait(epoll, &event, 1, -1);
        break;
    }
    case 3:
        sem_wait(&victim->semaphore);
        break;
    default:
        pthread_mutex_lock(&victim->lock);
        pthread_cond_wait(&victim->changed, &victim->lock);
    }
}

static void *suffer(void *argument) {
    struct victim *victim = argument;
    pthread_cleanup_push(clean, victim);
    CTXSHIM_SCOPE("cancelled");
    victim->begun = true;
    for (;;)
        block_for_ever(victim);
    pthread_cleanup_pop(0);
    return NULL;
}

void cancel_thread(void) {
    struct victim victim = {
        .way = below(5), .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    void *result = NULL;
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    victim.pipe[0] = ends[0];
    victim.pipe[1] = -1;
    sem_init(&victim.semaphore, 0, 0);
    MUST(pthread_create(&thread, NULL, suffer, &victim) == 0);
    while (!victim.begun)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    if (chance(50))
        kernel_call(SYS_nanosleep, (long)&(struct timespec){0, 300000}, 0, 0, 0, 0, 0);
    MUST(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    noted("cancelled", result == PTHREAD_CANCELED && victim.cleaned);
    if (victim.pipe[1] >= 0)
        close(victim.pipe[1]);
    close(ends[0]);
    close(ends[1]);
    sem_destroy(&victim.semaphore);
}
