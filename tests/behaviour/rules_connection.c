/* Connections that were answered and are idle: what they keep of their contexts is no node, and nobody can
 * tell (shim/connection.h). There are more of them here than a thread remembers to have served lately. */
#include "case.h"

#include <sched.h>

enum { MANY = 200, SOME = 3 };

static int listener, epoll, clients[MANY], servers[MANY];

static void expect_request(int which, int number, const char *more) {
    char expected[64];
    snprintf(expected, sizeof expected, "conn#%d req#%d%s", which + 1, number, more);
    EXPECT(strcmp(stack_now(), expected) == 0);
}

/* One round: each asks, and is answered before the next one is accepted or asks. */
static void serve_all(int round) {
    for (int i = 0; i < MANY; i++) {
        struct epoll_event event;
        raw_write(clients[i], "question");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == servers[i]);
        hear(servers[i]);
        expect_request(i, round, "");
        say_to(servers[i], "answer");
        char answer[16];
        EXPECT(raw_read(clients[i], answer, sizeof answer) > 0);
    }
}

static void begin(void) {
    listener = listen_somewhere();
    epoll = epoll_create1(0);
    for (int i = 0; i < MANY; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        watch(epoll, EPOLL_CTL_ADD, servers[i], EPOLLIN);
    }
}

/* Nobody has asked anything: a loop that can write on can do so for the last request alone. */
static void expect_late(int which, int number) {
    struct epoll_event event;
    watch(epoll, EPOLL_CTL_MOD, servers[which], EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == servers[which]);
    expect_request(which, number, "");
    say_to(servers[which], "and more");
    expect_request(which, number, "");
    watch(epoll, EPOLL_CTL_MOD, servers[which], EPOLLIN);
}

CASE(F7, an_idle_connection_still_knows_its_latest_request) {
    begin();
    serve_all(1);
    for (int i = 0; i < SOME; i++)
        expect_late(i, 1);
    serve_all(2);
    for (int i = 0; i < MANY; i++)
        expect_late(i, 2);
}

CASE(F7, an_idle_connection_that_ends_is_still_itself) {
    struct epoll_event event;
    begin();
    serve_all(1);
    raw_close(clients[SOME]);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == servers[SOME]);
    char expected[32];
    snprintf(expected, sizeof expected, "conn#%d", SOME + 1);
    EXPECT_STACK(expected);
    EXPECT(hear(servers[SOME]) == 0);
    EXPECT_STACK(expected);
    close(servers[SOME]);
}

/* What is more than a number stays what it is. */
CASE(F7, an_idle_connection_keeps_the_name_of_its_request) {
    struct epoll_event event;
    begin();
    raw_write(clients[0], "question");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    hear(servers[0]);
    EXPECT(ctxshim_rename("GET /x") == 0);
    say_to(servers[0], "answer");
    for (int i = 1; i < MANY; i++) {
        raw_write(clients[i], "question");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        hear(servers[i]);
        say_to(servers[i], "answer");
    }
    watch(epoll, EPOLL_CTL_MOD, servers[0], EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == servers[0]);
    EXPECT_STACK("conn#1 GET /x");
}

/* A request that somebody has captured is the one that its connection comes back to. */
CASE(F7, what_is_held_of_an_idle_connection_is_still_its_request) {
    struct epoll_event event;
    begin();
    raw_write(clients[0], "question");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    hear(servers[0]);
    ctxshim_context *held = ctxshim_capture();
    say_to(servers[0], "answer");
    for (int i = 1; i < MANY; i++) {
        raw_write(clients[i], "question");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        hear(servers[i]);
        say_to(servers[i], "answer");
    }
    watch(epoll, EPOLL_CTL_MOD, servers[0], EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == servers[0]);
    ctxshim_context *now = ctxshim_capture();
    EXPECT(now == held);
    ctxshim_release(now);
    ctxshim_release(held);
}

/* Two threads serve the same ones, and wake them at the same time. */
static atomic_int wrong;

static void *work(void *share) {
    char text[16];
    for (int round = 0; round < 20; round++)
        for (int i = (int)(intptr_t)share; i < MANY; i += 2) {
            raw_write(clients[i], "question");
            if (read(servers[i], text, sizeof text) != 8 || strncmp(stack_now(), "conn#", 5) != 0 ||
                write(servers[i], "answer", 6) != 6)
                atomic_fetch_add(&wrong, 1);
        }
    return NULL;
}

CASE(F7, idle_connections_are_woken_by_any_thread) {
    pthread_t threads[2];
    begin();
    for (intptr_t turn = 0; turn < 4; turn++) {
        for (intptr_t i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, work, (void *)((turn + i) % 2));
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
    }
    EXPECT(atomic_load(&wrong) == 0);
    char text[16];
    raw_write(clients[0], "question");
    EXPECT(read(servers[0], text, sizeof text) == 8);
    expect_request(0, 81, "");
}

/* One thread answers, at such length that its call waits for the peer to take it; another, which has it all
 * and asks on at once, reads the next request before that call has returned. How many answers it lets begin
 * before differs, so that it also comes at the moment when what it asks on falls out of those that the other
 * has served lately. */
enum { RING = 66, ROUNDS = 28, AT_ONCE = RING - 4, LONG = 400000, TEXT = 64 };

static atomic_long asked, begun;

static void expect_at(long position) {
    char expected[TEXT];
    int length =
        snprintf(expected, sizeof expected, "conn#%ld req#%ld", position % RING + 1, position / RING + 1);
    const char *stack = stack_now();
    if (strncmp(stack, expected, (size_t)length) != 0 || (stack[length] >= '0' && stack[length] <= '9'))
        atomic_fetch_add(&wrong, 1);
}

static void await_past(const atomic_long *counter, long position) {
    while (atomic_load(counter) <= position)
        sched_yield();
}

/* As long as somebody waits for it; the others are short. */
static size_t length_at(long position) {
    return position / RING % 4 == 0 ? LONG : 6;
}

static void *answers(void *unused) {
    static char answer[LONG];
    for (long position = 0; position < (long)ROUNDS * RING; position++) {
        await_past(&asked, position);
        atomic_store(&begun, position + 1);
        if (write(servers[position % RING], answer, length_at(position)) != (long)length_at(position))
            atomic_fetch_add(&wrong, 1);
        expect_at(position);
    }
    return unused;
}

static void take_answer(long position) {
    static char text[LONG];
    size_t taken = 0;
    long got = 1;
    while (taken < length_at(position) && got > 0) {
        got = raw_read(clients[position % RING], text, sizeof text);
        taken += got > 0 ? (size_t)got : 0;
    }
    if (taken != length_at(position))
        atomic_fetch_add(&wrong, 1);
}

/* One whose answer waits to be taken lets none after it begin. */
static void await_turn(long before, long further) {
    bool waits = length_at(before) == LONG || length_at(before + further) == LONG;
    await_past(&begun, waits ? before : before + further);
}

static void ask_on(long position) {
    char text[TEXT];
    long round = position / RING, before = position - RING;
    if (round > 0) {
        await_turn(before, round % 4 == 1 ? 0 : AT_ONCE + round % 4);
        take_answer(before);
    }
    raw_write(clients[position % RING], "question");
    if (read(servers[position % RING], text, sizeof text) != 8)
        atomic_fetch_add(&wrong, 1);
    expect_at(position);
    atomic_store(&asked, position + 1);
}

CASE(F7, a_connection_is_asked_on_while_its_answer_is_on_its_way) {
    pthread_t answering;
    int little = 1 << 16;
    begin();
    for (int i = 0; i < RING; i++)
        REQUIRE(setsockopt(servers[i], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    pthread_create(&answering, NULL, answers, NULL);
    for (long position = 0; position < (long)ROUNDS * RING; position++)
        ask_on(position);
    for (long position = (long)(ROUNDS - 1) * RING; position < (long)ROUNDS * RING; position++)
        take_answer(position);
    pthread_join(answering, NULL);
    EXPECT(atomic_load(&wrong) == 0);
}
