/* E4 where one thread reads and another one answers, without any call that hands the work on. */
#include "case.h"

enum { LONG = 16 << 20 }; /* more than lies between two sockets */

static int clients[2], servers[2];
static atomic_int stage;
static char text[LONG];

static void reach(int next) {
    atomic_store(&stage, next);
}

/* Without a call that the shim would take for a wait. */
static void await(int wanted) {
    while (atomic_load(&stage) < wanted)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* A worker that has no context, and two connections whose requests were read, here. */
static pthread_t begin(void *(*work)(void *)) {
    pthread_t worker;
    int listener = listen_somewhere();
    REQUIRE(pthread_create(&worker, NULL, work, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        raw_write(clients[i], "question");
        REQUIRE(hear(servers[i]) > 0);
    }
    EXPECT_STACK("conn#2 req#1");
    reach(1);
    return worker;
}

static void *answers_both(void *unused) {
    await(1);
    say_to(servers[0], "answer");
    EXPECT_STACK("conn#1 req#1?");
    say_to(servers[1], "answer");
    EXPECT_STACK("conn#2 req#1?");
    return unused;
}

CASE(E4, what_a_worker_does_after_an_answer_is_in_doubt) {
    pthread_join(begin(answers_both), NULL);
}

static void *answers_at_length(void *unused) {
    await(1);
    reach(2);
    REQUIRE(write(servers[0], text, LONG) == LONG);
    EXPECT_STACK("conn#1 req#1?");
    await(3);
    say_to(servers[0], "answer");
    EXPECT_STACK("conn#1 req#2?");
    return unused;
}

/* The answer has come as far as its client's hands. */
static long take(long wanted) {
    static char taken[1 << 16];
    long got = 0;
    while (got < wanted) {
        long more = raw_read(clients[0], taken, sizeof taken);
        REQUIRE(more > 0);
        got += more;
    }
    return got;
}

CASE(E4, who_has_the_answer_asks_on_before_the_call_that_sent_it_has_returned) {
    pthread_t worker = begin(answers_at_length);
    await(2);
    long got = take(1);
    raw_write(clients[0], "question");
    REQUIRE(hear(servers[0]) > 0);
    EXPECT_STACK("conn#1 req#2");
    take(LONG - got);
    reach(3);
    pthread_join(worker, NULL);
}

static void *answers_a_last_time(void *unused) {
    await(1);
    reach(2);
    REQUIRE(write(servers[0], text, LONG) == LONG);
    EXPECT_STACK("conn#1 req#1?");
    return unused;
}

CASE(E4, nor_is_it_known_what_follows_an_answer_whose_connection_was_closed_meanwhile) {
    pthread_t worker = begin(answers_a_last_time);
    await(2);
    long got = take(1);
    close(servers[0]);
    take(LONG - got);
    pthread_join(worker, NULL);
}

/* Who serves one connection after another, and wakes somebody up after his answer, may go on with what lies
 * in a list. */
static void serves(bool waits) {
    int listener = listen_somewhere(), bell = eventfd(0, EFD_NONBLOCK);
    clients[0] = raw_connect(listener);
    servers[0] = accept(listener, NULL, NULL);
    raw_write(clients[0], "question");
    struct pollfd one = {.fd = servers[0], .events = POLLIN};
    if (waits)
        REQUIRE(poll(&one, 1, 1000) == 1);
    REQUIRE(read(servers[0], text, sizeof text) > 0);
    poke(bell);
    EXPECT_STACK("conn#1 req#1"); /* not answered yet */
    REQUIRE(write(servers[0], "answer", 6) == 6);
    EXPECT_STACK("conn#1 req#1");
    poke(bell);
    EXPECT_STACK("conn#1 req#1?");
}

CASE(E4, who_wakes_another_after_his_answer_may_be_done) {
    serves(false);
}

CASE(E4, and_so_may_who_waits_with_a_time_limit) {
    serves(true);
}

/* A runtime's thread that waits for its connection, and for what wakes up the runtime's timers beside that.
 */
static int timers;

static void *wakes_the_timers(void *unused) {
    REQUIRE(hear(servers[1]) > 0);
    poke(timers);
    return unused;
}

static __attribute__((noinline)) void reads_with_a_limit(int count) {
    struct pollfd both[2] = {{.fd = servers[0], .events = POLLIN}, {.fd = timers, .events = POLLIN}};
    REQUIRE(poll(both, (nfds_t)count, 1000) == count);
    REQUIRE(read(servers[0], text, sizeof text) > 0);
}

static void *plays_the_timers(void *waits_for) {
    uint64_t woken;
    reads_with_a_limit(waits_for != NULL ? 2 : 1);
    EXPECT_STACK("conn#1 req#1");
    REQUIRE(read(timers, &woken, sizeof woken) == sizeof woken);
    EXPECT_STACK("conn#1 req#1?"); /* at any rate not the other one's */
    REQUIRE(write(servers[0], "answer", 6) == 6);
    return NULL;
}

static void wake_between(void *waits_for) {
    pthread_t other, busy;
    int listener = listen_somewhere();
    timers = eventfd(0, EFD_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        raw_write(clients[i], "question");
    }
    REQUIRE(pthread_create(&other, NULL, wakes_the_timers, NULL) == 0);
    pthread_join(other, NULL);
    REQUIRE(pthread_create(&busy, NULL, plays_the_timers, waits_for) == 0);
    pthread_join(busy, NULL);
}

CASE(E5, who_is_woken_in_the_midst_of_a_request_does_not_leave_it) {
    wake_between(NULL);
}

CASE(E5, nor_does_who_has_waited_for_both) {
    wake_between(&timers);
}
