/* F6: callbacks on threads that libc starts. */
#include "case.h"

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

static char seen[128];
static sem_t called;
static _Atomic int destroyed;
static void *got;

static void look(union sigval value) {
    ctxshim_stack(seen, sizeof seen);
    got = value.sival_ptr;
    sem_post(&called);
}

/* The next call's stack; NULL: none comes. */
static const char *seen_by_call(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    int result;
    do
        result = sem_timedwait(&called, &until);
    while (result != 0 && errno == EINTR);
    return result == 0 ? seen : NULL;
}

static void expect_call(const char *stack, const void *value) {
    const char *call = seen_by_call();
    REQUIRE(call != NULL);
    if (strcmp(call, stack) != 0)
        case_fail(__FILE__, __LINE__, stack, call);
    EXPECT(got == value);
}

static struct sigevent by_thread(void *value) {
    return (struct sigevent){
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = look, .sigev_value.sival_ptr = value};
}

static timer_t new_timer(void *value) {
    struct sigevent event = by_thread(value);
    timer_t timer;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    EXPECT(event.sigev_notify_function == look);
    return timer;
}

static void arm(timer_t timer, long nanoseconds, long every) {
    struct itimerspec value = {.it_value.tv_nsec = nanoseconds, .it_interval.tv_nsec = every};
    REQUIRE(timer_settime(timer, 0, &value, NULL) == 0);
}

enum { SOON = 1000000, FAR = 900000000 };

CASE(F6, a_timer_runs_in_the_context_that_armed_it) {
    timer_t timer = new_timer(&destroyed);
    ctxshim_scope a = ctxshim_push("A");
    arm(timer, SOON, 0);
    ctxshim_pop(&a);
    expect_call("A", &destroyed);
    arm(timer, SOON, 0);
    expect_call("", &destroyed);
    ctxshim_scope b = ctxshim_push("B"), c = ctxshim_push("C");
    arm(timer, SOON, 0);
    ctxshim_pop(&c);
    ctxshim_pop(&b);
    expect_call("B C", &destroyed);
    timer_delete(timer);
}

CASE(F6, a_call_is_over_with_its_thread) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    timer_t timer = new_timer(NULL);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    arm(timer, SOON, 0);
    ctxshim_pop(&with);
    expect_call("", NULL);
    for (int i = 0; i < 100 && atomic_load(&destroyed) == 0; i++) {
        usleep(10000);
        settle(); /* the call may have been over before our own scope was */
    }
    EXPECT(atomic_load(&destroyed) == 1);
    timer_delete(timer);
}

CASE(C23, a_timer_that_is_stopped_or_deleted_releases) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    for (int i = 0; i < 3; i++) {
        timer_t timer = new_timer(NULL);
        ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
        arm(timer, FAR, 0);
        ctxshim_pop(&with);
        settle();
        EXPECT(atomic_load(&destroyed) == i);
        if (i == 0)
            arm(timer, 0, 0);
        else if (i == 1)
            arm(timer, FAR, 0); /* anew, by nobody */
        if (i < 2)
            settle();
        EXPECT(atomic_load(&destroyed) == (i < 2 ? i + 1 : i));
        timer_delete(timer);
        settle();
        EXPECT(atomic_load(&destroyed) == i + 1);
    }
}

CASE(C25, a_repeating_timer_keeps_nobody) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    timer_t timer = new_timer(NULL);
    ctxshim_scope a = ctxshim_push("A"), with = ctxshim_with(key, (void *)&destroyed);
    arm(timer, SOON, 50 * SOON);
    ctxshim_pop(&with);
    ctxshim_pop(&a);
    expect_call("A", NULL);
    expect_call("", NULL);
    expect_call("", NULL);
    for (int i = 0; i < 100 && atomic_load(&destroyed) == 0; i++) {
        usleep(10000);
        settle(); /* the call may have been over before our own scope was */
    }
    EXPECT(atomic_load(&destroyed) == 1);
    timer_delete(timer);
}

CASE(F6, a_failed_call_changes_nothing) {
    timer_t timer = new_timer(NULL);
    struct itimerspec wrong = {.it_value.tv_nsec = -1};
    ctxshim_scope a = ctxshim_push("A");
    arm(timer, FAR / 9, 0);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(timer_settime(timer, 0, &wrong, NULL) == -1 && errno == EINVAL);
    ctxshim_pop(&b);
    expect_call("A", NULL);
    timer_delete(timer);
}

/* With one function and one value, nobody can tell which of two it is. */
CASE(F6, what_cannot_be_told_apart_is_in_doubt) {
    timer_t one = new_timer(NULL), two = new_timer(NULL), other = new_timer(&destroyed);
    ctxshim_scope a = ctxshim_push("A");
    arm(one, FAR, 0);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    arm(two, SOON, 0);
    ctxshim_pop(&b);
    const char *call = seen_by_call();
    REQUIRE(call != NULL);
    EXPECT(call[0] != '\0' && call[1] == '?');
    ctxshim_scope c = ctxshim_push("C");
    arm(other, SOON, 0);
    ctxshim_pop(&c);
    expect_call("C", &destroyed);
    timer_delete(one);
    timer_delete(two);
    timer_delete(other);
}

HOST_CASE(F6, timers_are_what_they_were) {
    timer_t timers[100];
    struct itimerspec now;
    for (int i = 0; i < 100; i++) {
        timers[i] = new_timer(&timers[i]);
        arm(timers[i], SOON + i, 0);
    }
    for (int i = 0; i < 100; i++)
        REQUIRE(seen_by_call() != NULL);
    for (int i = 0; i < 100; i++)
        EXPECT(timer_gettime(timers[i], &now) == 0 && timer_delete(timers[i]) == 0);
    EXPECT(timer_create(12345, NULL, timers) == -1 && errno == EINVAL);
}

static void end_the_thread(union sigval value) {
    (void)value;
    sem_post(&called);
    pthread_exit(NULL);
}

HOST_CASE(F6, a_callback_may_end_its_thread) {
    struct sigevent event = by_thread(NULL);
    timer_t timer;
    event.sigev_notify_function = end_the_thread;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    for (int i = 0; i < 3; i++) {
        arm(timer, SOON, 0);
        REQUIRE(seen_by_call() != NULL);
    }
    timer_delete(timer);
}

/* --- the others ----------------------------------------------------------------------------------------- */

static mqd_t new_queue(void) {
    char name[64];
    snprintf(name, sizeof name, "/ctxshim-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
    mq_unlink(name);
    return queue;
}

CASE(F6, a_message_queue_notifies_in_the_context_that_asked) {
    char message[16];
    mqd_t queue = new_queue();
    struct sigevent event = by_thread(&destroyed);
    if (queue == (mqd_t)-1) /* a kernel without */
        return;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    for (int i = 0; i < 2; i++) {
        ctxshim_scope a = ctxshim_push(i == 0 ? "A" : "B");
        REQUIRE(mq_notify(queue, &event) == 0);
        EXPECT(mq_notify(queue, &event) == -1 && errno == EBUSY);
        ctxshim_pop(&a);
        REQUIRE(mq_send(queue, "x", 1, 0) == 0);
        expect_call(i == 0 ? "A" : "B", &destroyed);
        REQUIRE(mq_receive(queue, message, sizeof message, NULL) == 1);
    }
    for (int i = 0; i < 2; i++) {
        ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
        REQUIRE(mq_notify(queue, &event) == 0);
        ctxshim_pop(&with);
        settle();
        EXPECT(atomic_load(&destroyed) == i);
        if (i == 0)
            mq_notify(queue, NULL);
        else
            mq_close(queue);
        settle();
        EXPECT(atomic_load(&destroyed) == i + 1);
    }
}

CASE(F6, asynchronous_io_calls_back_in_the_context_that_asked) {
    char name[] = "/tmp/ctxshim-XXXXXX", room[2][8] = {"hello", ""};
    int fd = mkstemp(name);
    unlink(name);
    struct aiocb block = {.aio_fildes = fd, .aio_buf = room[0], .aio_nbytes = 5};
    block.aio_sigevent = by_thread(&block);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(aio_write(&block) == 0);
    ctxshim_pop(&a);
    expect_call("A", &block);
    EXPECT(aio_error(&block) == 0 && aio_return(&block) == 5);
    block.aio_buf = room[1];
    ctxshim_scope b = ctxshim_push("B"); /* the same block, as it is now */
    REQUIRE(aio_read(&block) == 0);
    ctxshim_pop(&b);
    expect_call("B", &block);
    EXPECT(aio_error(&block) == 0 && aio_return(&block) == 5 && memcmp(room[1], "hello", 5) == 0);
    REQUIRE(aio_fsync(O_SYNC, &block) == 0);
    expect_call("", &block);
    struct aiocb *list[] = {&block, NULL};
    struct sigevent all = by_thread(list);
    block.aio_lio_opcode = LIO_READ;
    block.aio_sigevent.sigev_notify = SIGEV_NONE;
    ctxshim_scope c = ctxshim_push("C");
    REQUIRE(lio_listio(LIO_NOWAIT, list, 2, &all) == 0);
    ctxshim_pop(&c);
    expect_call("C", list);
    EXPECT(all.sigev_notify_function == look);
}

CASE(F6, a_name_is_looked_up_in_the_context_that_asked) {
    struct gaicb one = {.ar_name = "127.0.0.1"}, *list[] = {&one};
    struct sigevent event = by_thread(&one);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(getaddrinfo_a(GAI_NOWAIT, list, 1, &event) == 0);
    ctxshim_pop(&a);
    expect_call("A", &one);
    EXPECT(gai_error(&one) == 0);
}
