/* F2, E0, E1, E4, E5, E7, E8: what event loops see. */
#include "case.h"

static _Atomic int destroyed;

static int ends[2];

static void pipe_open(void) {
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
}

static void pipe_fill(void) {
    REQUIRE(kernel_call(SYS_write, ends[1], (long)"x", 1, 0, 0, 0) == 1);
}

static void watch_in(const char *name, int epoll, int operation, int fd, uint32_t events) {
    ctxshim_scope scope = ctxshim_push(name);
    watch(epoll, operation, fd, events);
    ctxshim_pop(&scope);
}

CASE(F2, an_event_adopts_who_registered) {
    struct epoll_event event;
    int epoll = epoll_create1(0);
    pipe_open();
    watch_in("A", epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    pipe_fill();
    EXPECT_STACK("");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == ends[0]);
    EXPECT_STACK("A");
    hear(ends[0]);
    EXPECT_STACK("A");
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_STACK("");
}

CASE(F2, every_wait_does) {
    struct epoll_event event;
    struct timespec second = {1, 0};
    int epoll = epoll_create(1);
    pipe_open();
    watch_in("A", epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    pipe_fill();
    REQUIRE(epoll_pwait(epoll, &event, 1, 1000, NULL) == 1);
    EXPECT_STACK("A");
    REQUIRE(epoll_pwait2(epoll, &event, 1, &second, NULL) == 1);
    EXPECT_STACK("A");
    hear(ends[0]);
    EXPECT(epoll_pwait(epoll, &event, 1, 1, NULL) == 0);
    EXPECT_STACK("");
}

CASE(F2, a_change_captures_again) {
    struct epoll_event event;
    int epoll = epoll_create1(0);
    pipe_open();
    pipe_fill();
    watch_in("A", epoll, EPOLL_CTL_ADD, ends[0], 0);
    watch_in("B", epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("B");
}

static ctxshim_key *counted_key;

static void watch_counted(int epoll, int fd) {
    counted_key = ctxshim_key_create("key", count_destroy);
    atomic_store(&destroyed, 0);
    ctxshim_scope scope = ctxshim_with(counted_key, (void *)&destroyed);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    ctxshim_pop(&scope);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
}

static void expect_released(void) {
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* C23 */
CASE(F2, removing_releases) {
    int epoll = epoll_create1(0);
    pipe_open();
    watch_counted(epoll, ends[0]);
    watch(epoll, EPOLL_CTL_DEL, ends[0], 0);
    expect_released();
    watch_counted(epoll, ends[0]);
    close(ends[0]);
    expect_released();
    pipe_open();
    watch_counted(epoll, ends[0]);
    close(epoll);
    expect_released();
    epoll = epoll_create1(0);
    watch_counted(epoll, ends[0]);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    expect_released();
}

CASE(F2, a_registration_lives_as_long_as_its_open_file) {
    struct epoll_event event;
    int epoll = epoll_create1(0), copy;
    pipe_open();
    watch_counted(epoll, ends[0]);
    copy = dup(ends[0]);
    int before = ends[0];
    close(ends[0]);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
    pipe_fill();
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.fd == before);
    EXPECT(ctxshim_get(counted_key) == (void *)&destroyed);
    close(copy);
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    expect_released();
}

CASE(F2, a_registration_that_fails_keeps_nothing) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    pipe_open();
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == -1 && errno == EEXIST);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, 777, &event) == -1 && errno == EBADF);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[1], &event) == -1 && errno == ENOENT);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], NULL) == -1 && errno == EFAULT);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event) == -1 && errno == EINVAL);
    ctxshim_pop(&scope);
    expect_released();
}

CASE(F2, a_listeners_event_is_the_loops) {
    struct epoll_event event;
    int epoll = epoll_create1(0), listener = listen_somewhere();
    watch_in("request", epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    int client = raw_connect(listener);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("");
    int server = accept(listener, NULL, NULL);
    raw_write(client, "x");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
}

CASE(F2, a_root_derives_from_the_loops_base) {
    struct epoll_event event;
    int epoll = epoll_create1(0), listener = listen_somewhere(), clients[2], servers[2];
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    ctxshim_scope main = ctxshim_push("Main");
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(listener);
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        servers[i] = accept(listener, NULL, NULL);
        raw_write(clients[i], "x");
        hear(servers[i]);
        EXPECT_STACK(i == 0 ? "Main conn#1 req#1" : "Main conn#2 req#1");
        close(servers[i]);
    }
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_STACK("Main");
    ctxshim_pop(&main);
}

CASE(E8, the_programs_data_need_not_be_unique) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42}, got;
    int epoll = epoll_create1(0), first[2], second[2];
    REQUIRE(pipe(first) == 0 && pipe(second) == 0);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, first[0], &event) == 0);
    ctxshim_pop(&a);
    close(first[0]);
    ctxshim_scope b = ctxshim_push("B");
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, second[0], &event) == 0);
    ctxshim_pop(&b);
    kernel_call(SYS_write, second[1], (long)"x", 1, 0, 0, 0);
    REQUIRE(epoll_wait(epoll, &got, 1, 1000) == 1 && got.data.u64 == 42);
    EXPECT_STACK("B");
    int third[2];
    REQUIRE(pipe(third) == 0);
    ctxshim_scope c = ctxshim_push("C");
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, third[0], &event) == 0);
    ctxshim_pop(&c);
    REQUIRE(epoll_wait(epoll, &got, 1, 1000) == 1);
    size_t length = strlen(stack_now());
    EXPECT(length == 0 || stack_now()[length - 1] == '?'); /* two fit */
}

CASE(E7, an_edge_triggered_eventfd_need_not_be_read) {
    struct epoll_event event;
    int epoll = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    static const char *const names[] = {"A", "B", "C"};
    for (int i = 0; i < 3; i++) {
        ctxshim_scope other = ctxshim_attach(NULL), scope = ctxshim_push(names[i]);
        poke(fd);
        ctxshim_pop(&scope);
        ctxshim_pop(&other);
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        char expected[8];
        snprintf(expected, sizeof expected, "%s?",
                 names[i]); /* others may have put something into its queue */
        EXPECT_STACK(expected);
    }
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_STACK("");
}

CASE(E5, a_wake_up_is_tentative) {
    struct epoll_event event;
    int epoll = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK), listener = listen_somewhere();
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    raw_write(client, "x");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    ctxshim_scope other = ctxshim_attach(NULL), a = ctxshim_push("A");
    poke(fd);
    ctxshim_pop(&a);
    ctxshim_pop(&other);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    hear(fd);
    EXPECT_STACK("A");
    say_to(server, "answer");
    EXPECT_STACK("conn#1 req#1?"); /* the answer was; the next item may be anybody's */
}

/* --- E1, E0 --------------------------------------------------------------------------------------- */

enum { CONNECTIONS = 4 };
static int epoll_fd, clients[CONNECTIONS], servers[CONNECTIONS];

static void connect_all(void) {
    int listener = listen_somewhere();
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        watch(epoll_fd, EPOLL_CTL_ADD, servers[i], EPOLLIN);
    }
}

static void ask_all(void) {
    for (int i = 0; i < CONNECTIONS; i++)
        raw_write(clients[i], "question");
}

/* Whoever has something done while a wake-up is on its way only adds it to the list: what was written to the
 * eventfd does not tell whose work the wake-up does. */
CASE(E5, an_eventfd_that_wakes_up_for_more_than_was_written_to_it_is_in_doubt) {
    struct epoll_event event;
    int listener = listen_somewhere(), epoll = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK), askers[2],
        asked[2];
    uint64_t count;
    for (int i = 0; i < 2; i++) {
        askers[i] = raw_connect(listener);
        asked[i] = accept(listener, NULL, NULL);
    }
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    for (int round = 1; round < 4; round++) {
        char expected[32];
        for (int i = 0; i < 2; i++) {
            raw_write(askers[i], "question");
            hear(asked[i]);
        }
        poke(fd); /* for the second, and the first had been done by then */
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        REQUIRE(read(fd, &count, sizeof count) == sizeof count && count == 1);
        snprintf(expected, sizeof expected, "conn#2 req#%d%s", round, round > 1 ? "?" : "");
        EXPECT_STACK(expected);
        say_to(asked[0], "answer");
        say_to(asked[1], "answer");
    }
}

CASE_WITH("dispatch=exact", E1, one_context_a_wait) {
    struct epoll_event events[8];
    connect_all();
    ask_all();
    unsigned seen = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        REQUIRE(epoll_wait(epoll_fd, events, 8, 1000) == 1);
        for (int at = 0; at < CONNECTIONS; at++)
            if (servers[at] == events[0].data.fd) {
                char expected[32];
                seen |= 1U << at;
                snprintf(expected, sizeof expected, "conn#%d", at + 1);
                EXPECT_STACK(expected);
                hear(servers[at]);
                say_to(servers[at], "answer");
            }
    }
    EXPECT(seen == (1U << CONNECTIONS) - 1);
    EXPECT(epoll_wait(epoll_fd, events, 8, 10) == 0);
}

/* A level-triggered descriptor that is always ready does not starve the others. */
CASE_WITH("dispatch=exact", E1, everybody_has_a_turn) {
    struct epoll_event events[8];
    unsigned seen = 0;
    connect_all();
    ask_all();
    for (int i = 0; i < 3 * CONNECTIONS; i++) {
        REQUIRE(epoll_wait(epoll_fd, events, 8, 1000) == 1);
        for (int at = 0; at < CONNECTIONS; at++)
            if (servers[at] == events[0].data.fd)
                seen |= 1U << at;
    }
    EXPECT(seen == (1U << CONNECTIONS) - 1);
}

enum { STEPS = CONNECTIONS + 1 };

static void answer_all(void) {
    for (int i = 0; i < CONNECTIONS; i++)
        say_to(servers[i], "answer");
}

/* A loop with a queue of its own, in five steps. Each question is read in a frame of its own and all are
 * answered in the last one's, which contradicts that frame. Then all ask at once: returns how many events
 * came together then. A loop is known by the one place where it waits. */
static int mix(void) {
    struct epoll_event events[8];
    int count = 0;
    for (int step = 0; step < STEPS; step++) {
        if (step < CONNECTIONS)
            raw_write(clients[step], "question");
        else
            ask_all();
        count = epoll_wait(epoll_fd, events, 8, 1000);
        REQUIRE(count > 0);
        for (int i = 0; i < CONNECTIONS; i++)
            if (step == i || step == CONNECTIONS)
                hear(servers[i]);
        if (step >= CONNECTIONS - 1)
            answer_all();
    }
    return count;
}

CASE(E0, a_loop_that_mixes_turns_exact) {
    int batch = 0;
    connect_all();
    EXPECT(mix() == CONNECTIONS);
    for (int round = 0; round < 10; round++)
        batch = mix();
    EXPECT(batch == 1);
}

CASE_WITH("dispatch=batch", E0, batch_never_turns) {
    connect_all();
    for (int round = 0; round < 10; round++)
        EXPECT(mix() == CONNECTIONS);
}

CASE_WITH("dispatch=exact", E0, a_nested_epoll_stays_whole) {
    struct epoll_event events[8];
    int outer = epoll_create1(0);
    connect_all();
    watch(outer, EPOLL_CTL_ADD, epoll_fd, EPOLLIN);
    ask_all();
    REQUIRE(epoll_wait(outer, events, 8, 1000) == 1 && events[0].data.fd == epoll_fd);
    EXPECT(epoll_wait(epoll_fd, events, 8, 0) == CONNECTIONS);
}

CASE_WITH("dispatch=exact", E0, an_epoll_shared_by_fork_stays_whole) {
    struct epoll_event events[8];
    connect_all();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    ask_all();
    EXPECT(epoll_wait(epoll_fd, events, 8, 1000) == CONNECTIONS);
}

CASE(E0, a_loop_that_answers_as_it_reads_stays_whole) {
    struct epoll_event events[8];
    connect_all();
    for (int round = 0; round < 40; round++) {
        ask_all();
        int count = epoll_wait(epoll_fd, events, 8, 1000);
        EXPECT(count == CONNECTIONS);
        for (int i = 0; i < count; i++) {
            hear(events[i].data.fd);
            say_to(events[i].data.fd, "answer");
        }
    }
}

/* --- E4 ------------------------------------------------------------------------------------------- */

CASE(E4, an_answer_in_a_timers_wake_up_belongs_to_its_request) {
    struct epoll_event event;
    int epoll = epoll_create1(0), listener = listen_somewhere();
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
    raw_write(client, "question");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    EXPECT(epoll_wait(epoll, &event, 1, 5) == 0);
    EXPECT_STACK("");
    say_to(server, "deferred answer");
    EXPECT_STACK("conn#1 req#1?");
}

/* Two connections: one's frame answers the other, which asked before. What it does then may be either's. */
CASE(E4, answers_from_another_requests_frame_are_learnt) {
    struct epoll_event event;
    char expected[64];
    connect_all();
    for (int round = 1; round <= 6; round++) {
        raw_write(clients[0], "wait for the other");
        REQUIRE(epoll_wait(epoll_fd, &event, 1, 1000) == 1);
        hear(servers[0]);
        raw_write(clients[1], "go");
        REQUIRE(epoll_wait(epoll_fd, &event, 1, 1000) == 1 && event.data.fd == servers[1]);
        hear(servers[1]);
        snprintf(expected, sizeof expected, "conn#2 req#%d?", round); /* the other's lies somewhere (E0) */
        EXPECT_STACK(expected);
        REQUIRE(write(servers[0], "now", 3) == 3);
        snprintf(expected, sizeof expected, "conn#1 req#%d", round);
        const char *stack = stack_now();
        EXPECT(strncmp(stack, expected, strlen(expected)) == 0);
        EXPECT(stack[strlen(expected)] == '?');
        say_to(servers[1], "done");
    }
}

CASE(E4, a_subscriber_is_not_taken_for_a_question) {
    struct epoll_event event;
    char expected[64];
    connect_all();
    raw_write(clients[0], "subscribe");
    REQUIRE(epoll_wait(epoll_fd, &event, 1, 1000) == 1);
    hear(servers[0]);
    for (int round = 1; round <= 10; round++) {
        raw_write(clients[1], "publish");
        REQUIRE(epoll_wait(epoll_fd, &event, 1, 1000) == 1 && event.data.fd == servers[1]);
        hear(servers[1]);
        say_to(servers[0], "news");
        snprintf(expected, sizeof expected, "conn#2 req#%d", round);
        if (round > 4)
            EXPECT(strncmp(stack_now(), expected, strlen(expected)) == 0);
        say_to(servers[1], "done");
    }
}

CASE(E4, a_write_to_one_who_asked_nothing_changes_nothing) {
    struct epoll_event event;
    connect_all();
    raw_write(clients[1], "publish");
    REQUIRE(epoll_wait(epoll_fd, &event, 1, 1000) == 1);
    hear(servers[1]);
    say_to(servers[0], "news");
    EXPECT_STACK("conn#2 req#1");
}

/* --- E6 ------------------------------------------------------------------------------------------- */

/* A pooled connection that a second request takes over: it asks first, and writes when it may. */
CASE(E6, asking_to_write_says_whose_it_is) {
    struct epoll_event event;
    int epoll = epoll_create1(0), backend = listen_somewhere(), pooled = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    REQUIRE(getsockname(backend, (struct sockaddr *)&address, &size) == 0);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(connect(pooled, (struct sockaddr *)&address, size) == 0);
    watch(epoll, EPOLL_CTL_ADD, pooled, EPOLLIN);
    say_to(pooled, "query");
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, pooled, &(struct epoll_event){.events = EPOLLOUT}) == -1);
    watch(epoll, EPOLL_CTL_MOD, pooled, EPOLLIN);
    ctxshim_pop(&b);
    raw_write((int)kernel_call(SYS_accept4, backend, 0, 0, 0, 0, 0), "reply");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("A");
    hear(pooled);
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    ctxshim_scope c = ctxshim_push("C");
    watch(epoll, EPOLL_CTL_MOD, pooled, EPOLLIN | EPOLLOUT);
    ctxshim_pop(&c);
    ctxshim_scope d = ctxshim_push("D");
    watch(epoll, EPOLL_CTL_MOD, pooled, EPOLLIN | EPOLLOUT);
    ctxshim_pop(&d);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1 && event.events == EPOLLOUT);
    EXPECT_STACK("C");
}
