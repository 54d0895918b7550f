/* F1: threads. F13: fork. */
#include "case.h"

#include <pty.h>
#include <semaphore.h>
#include <stdlib.h>
#include <threads.h>

static char seen[512];

static void *look(void *unused) {
    ctxshim_stack(seen, sizeof seen);
    return unused;
}

static int look_c11(void *unused) {
    look(unused);
    return 7;
}

static const char *seen_by_thread(void) {
    pthread_t thread;
    memset(seen, '#', sizeof seen);
    REQUIRE(pthread_create(&thread, NULL, look, NULL) == 0);
    pthread_join(thread, NULL);
    return seen;
}

CASE(F1, pthread_create_inherits) {
    EXPECT(strcmp(seen_by_thread(), "") == 0);
    ctxshim_scope main = ctxshim_push("Main"), one = ctxshim_push("1");
    EXPECT(strcmp(seen_by_thread(), "Main 1") == 0);
    ctxshim_pop(&one);
    EXPECT(strcmp(seen_by_thread(), "Main") == 0);
    ctxshim_pop(&main);
}

CASE(F1, thrd_create_inherits) {
    thrd_t thread;
    int result;
    ctxshim_scope main = ctxshim_push("Main");
    REQUIRE(thrd_create(&thread, look_c11, NULL) == thrd_success);
    EXPECT(thrd_join(thread, &result) == thrd_success && result == 7);
    EXPECT(strcmp(seen, "Main") == 0);
    ctxshim_pop(&main);
}

CASE(F1, suppressed_flow_starts_empty) {
    ctxshim_scope main = ctxshim_push("Main"), quiet = ctxshim_suppress_flow();
    EXPECT_STACK("Main");
    EXPECT(strcmp(seen_by_thread(), "") == 0);
    EXPECT(ctxshim_capture() == NULL);
    ctxshim_pop(&quiet);
    EXPECT(strcmp(seen_by_thread(), "Main") == 0);
    ctxshim_scope empty = ctxshim_attach(NULL);
    EXPECT(strcmp(seen_by_thread(), "") == 0); /* C18 */
    ctxshim_pop(&empty);
    ctxshim_pop(&main);
}

static _Atomic int destroyed;
static int gate;

enum way { RETURN, EXIT, CANCEL };

static void *end_as_told(void *argument) {
    uint64_t one;
    enum way way = (enum way)(intptr_t)argument;
    while (read(gate, &one, sizeof one) != sizeof one)
        ;
    ctxshim_push("left open");
    if (way == EXIT)
        pthread_exit(NULL);
    while (way == CANCEL)
        pause();
    return NULL;
}

CASE(F1, every_end_releases_the_context) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    for (enum way way = RETURN; way <= CANCEL; way++) {
        pthread_t thread;
        gate = eventfd(0, 0);
        atomic_store(&destroyed, 0);
        ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
        REQUIRE(pthread_create(&thread, NULL, end_as_told, (void *)(intptr_t)way) == 0);
        ctxshim_pop(&scope);
        settle();
        EXPECT(atomic_load(&destroyed) == 0);
        poke(gate);
        if (way == CANCEL)
            pthread_cancel(thread);
        pthread_join(thread, NULL);
        close(gate);
        EXPECT(atomic_load(&destroyed) == 1);
    }
}

/* --- a thread that may take others' work before it ever waits twice at one place ---------------------- */

static int ringer, woken[2];
static sem_t units;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static _Atomic bool sleeps;

static void *wakes_by_eventfd(void *unused) {
    poke(ringer);
    EXPECT_STACK("request?");
    return unused;
}

static void *wakes_by_pipe(void *unused) {
    say_to(woken[1], "x");
    EXPECT_STACK("request?");
    return unused;
}

static void *sleeps_on_condition(void *unused) {
    pthread_mutex_lock(&mutex);
    atomic_store(&sleeps, true);
    pthread_cond_wait(&condition, &mutex);
    EXPECT_STACK("request");
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void *sleeps_on_semaphore(void *unused) {
    atomic_store(&sleeps, true);
    sem_wait(&units);
    EXPECT_STACK("request");
    return unused;
}

static pthread_t start_in_request(void *(*work)(void *)) {
    pthread_t thread;
    ctxshim_scope scope = ctxshim_push("request");
    atomic_store(&sleeps, false);
    REQUIRE(pthread_create(&thread, NULL, work, NULL) == 0);
    ctxshim_pop(&scope);
    return thread;
}

static void wait_until_it_sleeps(void) {
    while (!atomic_load(&sleeps))
        usleep(1000);
    usleep(20000);
}

CASE(F1, who_has_woken_somebody_up_may_go_on_with_others_work) {
    ringer = eventfd(0, 0);
    REQUIRE(pipe(woken) == 0);
    pthread_join(start_in_request(wakes_by_eventfd), NULL);
    pthread_join(start_in_request(wakes_by_pipe), NULL);
    expect_reader(ringer, "request");
    expect_reader(woken[0], "request");
}

CASE(F1, who_has_slept_goes_on_with_its_own_work) {
    pthread_t thread = start_in_request(sleeps_on_condition);
    wait_until_it_sleeps();
    pthread_mutex_lock(&mutex);
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    sem_init(&units, 0, 0);
    thread = start_in_request(sleeps_on_semaphore);
    wait_until_it_sleeps();
    sem_post(&units);
    pthread_join(thread, NULL);
}

static int worker_epoll, first_wait_done, second_wait_done;
static char worker_stacks[3][64];

static void *worker(void *unused) {
    struct epoll_event event;
    for (int i = 0; i < 3; i++) {
        ctxshim_stack(worker_stacks[i], sizeof *worker_stacks);
        REQUIRE(epoll_wait(worker_epoll, &event, 1, -1) == 1);
        kernel_call(SYS_read, event.data.fd, (long)&(uint64_t){0}, 8, 0, 0, 0);
        poke(i == 0 ? first_wait_done : second_wait_done);
    }
    return unused;
}

CASE(F1, a_worker_is_released_at_its_second_wait) {
    pthread_t thread;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    int go = eventfd(0, 0);
    first_wait_done = eventfd(0, 0);
    second_wait_done = eventfd(0, 0);
    worker_epoll = epoll_create1(0);
    watch(worker_epoll, EPOLL_CTL_ADD, go, EPOLLIN);
    ctxshim_scope request = ctxshim_push("request"), with = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(pthread_create(&thread, NULL, worker, NULL) == 0);
    ctxshim_pop(&with);
    ctxshim_pop(&request);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
    poke(go);
    hear(first_wait_done);
    usleep(100000); /* it waits for the second time */
    EXPECT(atomic_load(&destroyed) == 1);
    for (int i = 0; i < 2; i++) {
        poke(go);
        hear(second_wait_done);
    }
    pthread_join(thread, NULL);
    EXPECT(strcmp(worker_stacks[0], "request") == 0);
    EXPECT(strcmp(worker_stacks[2], "") == 0);
}

/* A thread's specific data is destroyed after the thread's own end: a reference kept there is given back too.
 */
static pthread_key_t specific;
static void release_late(void *context) {
    ctxshim_release(context);
}

static void *keep_for_later(void *unused) {
    pthread_setspecific(specific, ctxshim_capture());
    return unused;
}

CASE(H11, a_reference_released_in_a_thread_destructor_is_given_back) {
    pthread_t thread;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    pthread_key_create(&specific, release_late);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(pthread_create(&thread, NULL, keep_for_later, NULL) == 0);
    pthread_join(thread, NULL);
    ctxshim_pop(&scope);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* --- fork ----------------------------------------------------------------------------------------- */

static void expect_child_says_well(pid_t child) {
    int status = -1;
    REQUIRE(child > 0);
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(status == 0);
}

CASE(F13, fork_keeps_the_context) {
    ctxshim_scope main = ctxshim_push("Main");
    pid_t child = fork();
    if (child == 0) {
        EXPECT_STACK("Main");
        ctxshim_scope inner = ctxshim_push("child");
        EXPECT_STACK("Main child");
        EXPECT(strcmp(seen_by_thread(), "Main child") == 0);
        ctxshim_pop(&inner);
        EXPECT(ctxshim_pop(&main) == 0);
        EXPECT_STACK("");
        exit(strcmp(stack_now(), "") != 0);
    }
    expect_child_says_well(child);
    EXPECT_STACK("Main");
    ctxshim_pop(&main);
}

CASE(F13, the_child_does_not_destroy_what_other_threads_hold) {
    pthread_t thread;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    gate = eventfd(0, 0);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(pthread_create(&thread, NULL, end_as_told, (void *)(intptr_t)RETURN) == 0);
    ctxshim_pop(&scope);
    usleep(20000);
    pid_t child = fork();
    if (child == 0) {
        settle();
        _exit(atomic_load(&destroyed));
    }
    expect_child_says_well(child);
    poke(gate);
    pthread_join(thread, NULL);
    EXPECT(atomic_load(&destroyed) == 1);
}

/* A fork that passes no hook: libc's own, or the kernel's where there are no terminals to be had. */
static pid_t fork_unseen(int *terminal) {
    pid_t child = forkpty(terminal, NULL, NULL, NULL);
    return child < 0 ? (pid_t)syscall(SYS_fork) : child;
}

/* What was dropped by a close waits for this thread's next API call: the parent's, not the child's. */
static void drop_without_burying(ctxshim_key *key) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    struct itimerspec far = {.it_value.tv_sec = 1000};
    REQUIRE(timerfd_settime(timer, 0, &far, NULL) == 0);
    ctxshim_pop(&scope);
    close(timer);
    EXPECT(atomic_load(&destroyed) == 0);
}

CASE(F13, what_waits_to_be_destroyed_is_the_parents_after_fork) {
    drop_without_burying(ctxshim_key_create("key", count_destroy));
    pid_t child = fork();
    if (child == 0) {
        settle();
        _exit(atomic_load(&destroyed));
    }
    expect_child_says_well(child);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

CASE(F13, what_waits_to_be_destroyed_is_the_parents_after_forkpty) {
    int terminal;
    drop_without_burying(ctxshim_key_create("key", count_destroy));
    pid_t child = fork_unseen(&terminal);
    if (child == 0) {
        settle();
        _exit(atomic_load(&destroyed));
    }
    expect_child_says_well(child);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* A connection's number as `conn#N`, of one that is accepted now. */
static void expect_connection(int listener, const char *expected) {
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    raw_write(client, "x");
    hear(server);
    EXPECT_STACK(expected);
    say_to(server, "y");
    close(server);
    raw_close(client);
}

CASE(F13, a_child_numbers_from_one) {
    int listener = listen_somewhere();
    expect_connection(listener, "conn#1 req#1");
    expect_connection(listener, "conn#2 req#1");
    pid_t child = fork();
    if (child == 0) {
        expect_connection(listener, "conn#1 req#1");
        exit(0);
    }
    expect_child_says_well(child);
    expect_connection(listener, "conn#3 req#1");
}

CASE(F13, forks_inside_libc_are_seen) {
    int listener = listen_somewhere(), terminal;
    expect_connection(listener, "conn#1 req#1");
    pid_t child = fork_unseen(&terminal);
    if (child == 0) {
        int client = raw_connect(listener), server = accept(listener, NULL, NULL);
        raw_write(client, "x");
        hear(server);
        _exit(strcmp(stack_now(), "conn#1 req#1") != 0);
    }
    expect_child_says_well(child);
    child = fork();
    if (child == 0) {
        int pipe_ends[2];
        if (pipe(pipe_ends) != 0 || daemon(1, 1) != 0)
            _exit(9);
        int client = raw_connect(listener), server = accept(listener, NULL, NULL);
        raw_write(client, "x");
        hear(server);
        _exit(strcmp(stack_now(), "conn#1 req#1") != 0);
    }
    expect_child_says_well(child);
}

CASE(F13, an_eventfd_shared_by_fork_says_nothing) {
    int shared = eventfd(0, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    expect_child_says_well(child);
    int own = eventfd(0, 0);
    ctxshim_scope a = ctxshim_push("A");
    poke(shared);
    poke(own);
    ctxshim_pop(&a);
    hear(shared);
    EXPECT_STACK("");
    hear(own);
    EXPECT_STACK("A");
}
