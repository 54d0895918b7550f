/* F9, F10, E9, E11: queues between threads. */
#include "case.h"

#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

/* A small server: the main thread reads requests and puts them into a queue, workers take and answer them.
 * What a worker sees before it touches the connection is held against what the reader saw. */
enum { CONNECTIONS = 6, ROUNDS = 200, ROOM = 64 };

enum kind { CONDITION, C11, SEMAPHORE };

struct item {
    int fd;
    char expected[64];
};

static struct {
    enum kind kind;
    bool stack;      /* last in, first out */
    bool thrifty;    /* signals only when somebody sleeps */
    bool afterwards; /* signals after giving the mutex back */
    bool in_silence; /* nobody answers in the workers */
    bool swaps;      /* workers answer the wrong connection: a contradiction */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    mtx_t c11_mutex;
    cnd_t c11_condition;
    sem_t semaphore;
    struct item items[ROOM];
    int first, next, sleeping;
    bool ends;
    _Atomic int done, right, wrong, unknown;
} pool;

static int clients[CONNECTIONS], servers[CONNECTIONS];

static void take_lock(void) {
    REQUIRE(pool.kind == C11 ? mtx_lock(&pool.c11_mutex) == thrd_success
                             : pthread_mutex_lock(&pool.mutex) == 0);
}

static void give_lock(void) {
    REQUIRE(pool.kind == C11 ? mtx_unlock(&pool.c11_mutex) == thrd_success
                             : pthread_mutex_unlock(&pool.mutex) == 0);
}

static void wake(void) {
    if (pool.kind == C11)
        cnd_signal(&pool.c11_condition);
    else
        pthread_cond_signal(&pool.condition);
}

static void put(const struct item *item) {
    take_lock();
    pool.items[pool.next++ % ROOM] = *item;
    bool wakes = !pool.thrifty || pool.sleeping > 0;
    if (wakes && !pool.afterwards && pool.kind != SEMAPHORE)
        wake();
    give_lock();
    if (wakes && pool.afterwards && pool.kind != SEMAPHORE)
        wake();
    if (pool.kind == SEMAPHORE)
        sem_post(&pool.semaphore);
}

static struct item take(void) {
    return pool.stack ? pool.items[--pool.next % ROOM] : pool.items[pool.first++ % ROOM];
}

static void look(const struct item *item) {
    const char *now = stack_now();
    if (now[0] == '\0' || strchr(now, '?') != NULL)
        atomic_fetch_add(&pool.unknown, 1);
    else if (strcmp(now, item->expected) == 0)
        atomic_fetch_add(&pool.right, 1);
    else
        atomic_fetch_add(&pool.wrong, 1);
}

static void serve(const struct item *item) {
    look(item);
    usleep(50); /* others come in meanwhile */
    if (pool.in_silence)
        raw_write(item->fd, "y");
    else
        say_to(pool.swaps ? servers[0] + servers[1] - item->fd : item->fd, "y");
    atomic_fetch_add(&pool.done, 1);
}

/* The waits and unlocks are in the loop itself. */
static void *work(void *unused) {
    for (;;) {
        pthread_mutex_lock(&pool.mutex);
        while (pool.first == pool.next && !pool.ends) {
            pool.sleeping++;
            pthread_cond_wait(&pool.condition, &pool.mutex);
            pool.sleeping--;
        }
        if (pool.ends)
            break;
        struct item item = take();
        pthread_mutex_unlock(&pool.mutex);
        serve(&item);
    }
    pthread_mutex_unlock(&pool.mutex);
    return unused;
}

static void *work_c11(void *unused) {
    for (;;) {
        mtx_lock(&pool.c11_mutex);
        while (pool.first == pool.next && !pool.ends) {
            pool.sleeping++;
            cnd_wait(&pool.c11_condition, &pool.c11_mutex);
            pool.sleeping--;
        }
        if (pool.ends)
            break;
        struct item item = take();
        mtx_unlock(&pool.c11_mutex);
        serve(&item);
    }
    mtx_unlock(&pool.c11_mutex);
    return unused;
}

static void *work_semaphore(void *unused) {
    for (;;) {
        sem_wait(&pool.semaphore);
        pthread_mutex_lock(&pool.mutex);
        bool ends = pool.first == pool.next;
        struct item item = {0};
        if (!ends)
            item = take();
        pthread_mutex_unlock(&pool.mutex);
        if (ends)
            return unused;
        serve(&item);
    }
}

static void connect_all(void) {
    int listener = listen_somewhere();
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        REQUIRE(servers[i] >= 0);
    }
}

/* Reads `count` requests, hands them on at once, and waits until they are answered. */
static void round_of(int count) {
    char answer[8];
    int before = atomic_load(&pool.done);
    for (int i = 0; i < count; i++) {
        raw_write(clients[i], "x");
        struct item item = {.fd = servers[i]};
        REQUIRE(hear(servers[i]) == 1);
        strcpy(item.expected, stack_now());
        put(&item);
    }
    while (atomic_load(&pool.done) < before + count)
        usleep(20);
    for (int i = 0; i < count; i++)
        REQUIRE(raw_read(clients[i], answer, sizeof answer) > 0);
}

static pthread_t workers[8];
static int worker_count;

static int all_wait(void) {
    if (pool.kind == SEMAPHORE) {
        usleep(200000);
        return worker_count;
    }
    take_lock(); /* and not give_lock, where items are put in */
    int sleeping = pool.sleeping;
    if (pool.kind == C11)
        mtx_unlock(&pool.c11_mutex);
    else
        pthread_mutex_unlock(&pool.mutex);
    return sleeping;
}

static void start_pool(int count) {
    connect_all();
    mtx_init(&pool.c11_mutex, mtx_plain);
    cnd_init(&pool.c11_condition);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.condition, NULL);
    sem_init(&pool.semaphore, 0, 0);
    void *(*routine)(void *) = pool.kind == C11 ? work_c11 : pool.kind == SEMAPHORE ? work_semaphore : work;
    for (worker_count = 0; worker_count < count; worker_count++)
        REQUIRE(pthread_create(&workers[worker_count], NULL, routine, NULL) == 0);
    while (all_wait() < count) /* a busy worker is not noticed before it waits */
        usleep(1000);
}

static void end_pool(void) {
    take_lock();
    pool.ends = true;
    pthread_cond_broadcast(&pool.condition);
    cnd_broadcast(&pool.c11_condition);
    give_lock();
    for (int i = 0; i < worker_count; i++)
        sem_post(&pool.semaphore);
    for (int i = 0; i < worker_count; i++)
        pthread_join(workers[i], NULL);
}

/* How many were unknown in the last third. */
static int unknown_lately(int count) {
    int before = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS * 2 / 3)
            before = atomic_load(&pool.unknown);
        round_of(count);
    }
    return atomic_load(&pool.unknown) - before;
}

static void expect_learnt(int workers_wanted, int count) {
    start_pool(workers_wanted);
    EXPECT(unknown_lately(count) == 0);
    EXPECT(atomic_load(&pool.wrong) == 0);
    EXPECT(atomic_load(&pool.right) > ROUNDS * count / 3);
    end_pool();
}

CASE(F9, a_worker_learns_whose_its_items_are) {
    expect_learnt(1, CONNECTIONS);
}

CASE(F9, so_does_a_pool) {
    expect_learnt(3, CONNECTIONS);
}

CASE(F9, one_item_at_a_time_needs_no_order) {
    expect_learnt(2, 1);
}

CASE(F9, signals_after_the_section) {
    pool.afterwards = true;
    expect_learnt(2, CONNECTIONS);
}

CASE(F9, c11_threads_have_queues_too) {
    pool.kind = C11;
    expect_learnt(2, CONNECTIONS);
}

CASE(E9, a_busy_worker_takes_the_next_without_a_signal) {
    pool.thrifty = true;
    expect_learnt(1, CONNECTIONS);
}

CASE(F10, a_semaphores_units_are_items) {
    pool.kind = SEMAPHORE;
    expect_learnt(1, CONNECTIONS);
}

/* Between a post and the next, and between two waits, the program's order is its own. */
CASE(F10, several_workers_at_a_semaphore_are_never_wrong) {
    pool.kind = SEMAPHORE;
    start_pool(3);
    unknown_lately(CONNECTIONS);
    EXPECT(atomic_load(&pool.wrong) == 0);
    end_pool();
}

CASE(E11, without_better_evidence_a_queue_is_silent) {
    pool.in_silence = true;
    start_pool(2);
    unknown_lately(CONNECTIONS);
    EXPECT(atomic_load(&pool.right) == 0 && atomic_load(&pool.wrong) == 0);
    end_pool();
}

CASE(E11, a_stack_is_never_believed) {
    pool.stack = true;
    start_pool(2);
    unknown_lately(CONNECTIONS);
    EXPECT(atomic_load(&pool.wrong) == 0);
    end_pool();
}

CASE(E11, one_contradiction_silences_a_queue) {
    start_pool(1);
    EXPECT(unknown_lately(CONNECTIONS) == 0);
    pool.swaps = true;
    round_of(2);
    pool.swaps = false;
    int right = atomic_load(&pool.right);
    unknown_lately(CONNECTIONS);
    EXPECT(atomic_load(&pool.right) == right);
    end_pool();
}

/* C25: nobody keeps what it worked for. */
CASE(F9, a_worker_that_waits_keeps_nobody) {
    static _Atomic int destroyed;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    start_pool(2);
    for (int i = 0; i < ROUNDS; i++)
        round_of(CONNECTIONS);
    raw_write(clients[0], "x");
    struct item item = {.fd = servers[0]};
    REQUIRE(hear(servers[0]) == 1);
    REQUIRE(ctxshim_set(key, (void *)&destroyed) == 0);
    strcpy(item.expected, stack_now());
    int before = atomic_load(&pool.done), known = atomic_load(&pool.right);
    put(&item);
    while (atomic_load(&pool.done) == before)
        usleep(50);
    EXPECT(atomic_load(&pool.right) == known + 1);
    raw_write(clients[1], "x");
    hear(servers[1]);
    usleep(20000);
    end_pool();
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* --- waiters -------------------------------------------------------------------------------------- */

static pthread_mutex_t result_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t result_condition = PTHREAD_COND_INITIALIZER;
static bool result;

static void *give_results(void *unused) {
    for (int i = 0; i < 40; i++) {
        ctxshim_scope other = ctxshim_push("other");
        pthread_mutex_lock(&result_mutex);
        result = true;
        pthread_cond_signal(&result_condition);
        pthread_mutex_unlock(&result_mutex);
        ctxshim_pop(&other);
        usleep(200);
    }
    return unused;
}

CASE(C19, a_waiter_resumes_with_its_own_context) {
    pthread_t thread;
    ctxshim_scope mine = ctxshim_push("mine");
    REQUIRE(pthread_create(&thread, NULL, give_results, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        pthread_mutex_lock(&result_mutex);
        while (!result)
            pthread_cond_wait(&result_condition, &result_mutex);
        result = false;
        pthread_mutex_unlock(&result_mutex);
        EXPECT_STACK("mine");
    }
    pthread_join(thread, NULL);
    ctxshim_pop(&mine);
}

/* A lock made of a mutex and a condition variable, as language runtimes have it. */
static pthread_mutex_t lock_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lock_condition = PTHREAD_COND_INITIALIZER;
static bool locked;

static void big_lock(void) {
    pthread_mutex_lock(&lock_mutex);
    while (locked)
        pthread_cond_wait(&lock_condition, &lock_mutex);
    locked = true;
    pthread_mutex_unlock(&lock_mutex);
}

static void big_unlock(void) {
    pthread_mutex_lock(&lock_mutex);
    locked = false;
    pthread_cond_signal(&lock_condition);
    pthread_mutex_unlock(&lock_mutex);
}

static void *run_under_lock(void *name) {
    for (int i = 0; i < 2000; i++) {
        ctxshim_scope scope = {0};
        if (name != NULL)
            scope = ctxshim_push(name);
        big_lock();
        EXPECT_STACK(name != NULL ? name : "");
        if (i % 7 == 0)
            sched_yield();
        big_unlock();
        EXPECT_STACK(name != NULL ? name : "");
        ctxshim_pop(&scope);
    }
    return NULL;
}

CASE(E11, a_lock_is_no_queue) {
    static const char *const names[] = {NULL, "a", NULL, "b"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, run_under_lock, (void *)(uintptr_t)names[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* A language runtime's lock, waited for where there is no work, and between two parts of an answer as well.
 */
static pthread_mutex_t big_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t big_condition = PTHREAD_COND_INITIALIZER;

__attribute__((noinline)) static void wait_for_the_big_lock(void) {
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 2000000) % 1000000000;
    soon.tv_sec += soon.tv_nsec < 2000000;
    pthread_mutex_lock(&big_mutex);
    EXPECT(pthread_cond_timedwait(&big_condition, &big_mutex, &soon) == ETIMEDOUT);
    pthread_mutex_unlock(&big_mutex);
}

CASE(E11, no_answer_ends_at_a_lock) {
    connect_all();
    for (int round = 1; round < 4; round++) {
        char expected[32], bytes[32];
        snprintf(expected, sizeof expected, "conn#1 req#%d", round);
        wait_for_the_big_lock();
        raw_write(clients[0], "question");
        REQUIRE(hear(servers[0]) == 8);
        wait_for_the_big_lock();
        EXPECT_STACK(expected);
        say_to(servers[0], "an an");
        wait_for_the_big_lock();
        EXPECT_STACK(expected);
        say_to(servers[0], "swer");
        REQUIRE(raw_read(clients[0], bytes, sizeof bytes) == 9);
    }
}

/* --- the host ------------------------------------------------------------------------------------- */

static int cleaned;
static void clean_up(void *unused) {
    (void)unused;
    cleaned++;
    pthread_mutex_unlock(&pool.mutex);
}

static void *wait_for_ever(void *unused) {
    pthread_mutex_lock(&pool.mutex);
    pthread_cleanup_push(clean_up, NULL);
    for (;;)
        pthread_cond_wait(&pool.condition, &pool.mutex);
    pthread_cleanup_pop(1);
    return unused;
}

static void *wait_for_ever_at_semaphore(void *unused) {
    for (;;)
        sem_wait(&pool.semaphore);
    return unused;
}

HOST_CASE(H14, a_cancelled_consumer_leaves_the_queue_whole) {
    pthread_t thread;
    void *end;
    start_pool(1);
    for (int i = 0; i < ROUNDS; i++)
        round_of(CONNECTIONS);
    REQUIRE(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    usleep(20000);
    pthread_cancel(thread);
    EXPECT(pthread_join(thread, &end) == 0 && end == PTHREAD_CANCELED);
    EXPECT(cleaned == 1);
    REQUIRE(pthread_create(&thread, NULL, wait_for_ever_at_semaphore, NULL) == 0);
    usleep(20000);
    pthread_cancel(thread);
    EXPECT(pthread_join(thread, &end) == 0 && end == PTHREAD_CANCELED);
    for (int i = 0; i < ROUNDS; i++)
        round_of(CONNECTIONS);
    EXPECT(atomic_load(&pool.wrong) == 0 || !ctxshim_active());
    end_pool();
}

/* Keeps a queue in being, so that all hooks of its mutex are at work. */
HOST_CASE(H14, mutexes_of_every_kind_answer_as_they_do) {
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    struct timespec soon;
    start_pool(2);
    for (int i = 0; i < ROUNDS; i++)
        round_of(CONNECTIONS);
    for (int kind = PTHREAD_MUTEX_NORMAL; kind <= PTHREAD_MUTEX_ERRORCHECK; kind++) {
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, kind);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        EXPECT(pthread_mutex_init(&mutex, &attributes) == 0);
        EXPECT(pthread_mutex_lock(&mutex) == 0);
        if (kind == PTHREAD_MUTEX_RECURSIVE)
            EXPECT(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
        if (kind == PTHREAD_MUTEX_ERRORCHECK)
            EXPECT(pthread_mutex_lock(&mutex) == EDEADLK);
        EXPECT((pthread_mutex_trylock(&mutex) == 0) == (kind == PTHREAD_MUTEX_RECURSIVE));
        if (kind == PTHREAD_MUTEX_RECURSIVE)
            EXPECT(pthread_mutex_unlock(&mutex) == 0);
        EXPECT(pthread_mutex_unlock(&mutex) == 0);
        EXPECT(pthread_mutex_unlock(&mutex) == (kind == PTHREAD_MUTEX_NORMAL ? EPERM : EPERM));
        EXPECT(pthread_mutex_destroy(&mutex) == 0);
    }
    clock_gettime(CLOCK_REALTIME, &soon);
    take_lock();
    EXPECT(pthread_mutex_timedlock(&pool.mutex, &soon) == ETIMEDOUT);
    EXPECT(pthread_mutex_trylock(&pool.mutex) == EBUSY);
    EXPECT(pthread_cond_timedwait(&pool.condition, &pool.mutex, &soon) == ETIMEDOUT);
    give_lock();
    EXPECT(sem_trywait(&pool.semaphore) == -1 && errno == EAGAIN);
    errno = 0;
    EXPECT(sem_timedwait(&pool.semaphore, &soon) == -1 && errno == ETIMEDOUT);
    end_pool();
}

/* The child has one thread, and makes itself new workers for the same queue. */
HOST_CASE(H3, a_fork_child_goes_on_with_the_queue) {
    int status;
    start_pool(2);
    for (int i = 0; i < ROUNDS; i++)
        round_of(CONNECTIONS);
    take_lock();
    pid_t child = fork();
    if (child == 0) {
        give_lock();
        pool.sleeping = 0;
        pthread_cond_init(&pool.condition, NULL);
        int (*expected)(void) = ctxshim_active;
        ctxshim_scope empty = ctxshim_attach(NULL); /* the workers inherit nothing */
        for (worker_count = 0; worker_count < 2; worker_count++)
            REQUIRE(pthread_create(&workers[worker_count], NULL, work, NULL) == 0);
        ctxshim_pop(&empty);
        usleep(20000);
        for (int i = 0; i < ROUNDS; i++)
            round_of(CONNECTIONS);
        end_pool();
        _exit(expected() && atomic_load(&pool.wrong) != 0);
    }
    give_lock();
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    round_of(CONNECTIONS);
    end_pool();
}

/* H19: sem_post may be used in a handler, whatever that interrupts. */
static void post_in_handler(int signal_number) {
    (void)signal_number;
    sem_post(&pool.semaphore);
}

HOST_CASE(H19, a_handler_may_post) {
    struct sigaction action = {.sa_handler = post_in_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    pool.kind = SEMAPHORE;
    connect_all();
    pthread_mutex_init(&pool.mutex, NULL);
    sem_init(&pool.semaphore, 0, 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 2000; i++) {
        while (sem_wait(&pool.semaphore) != 0)
            ;
        sem_post(&pool.semaphore);
        while (sem_wait(&pool.semaphore) != 0)
            ;
    }
    setitimer(ITIMER_REAL, &never, NULL);
}
