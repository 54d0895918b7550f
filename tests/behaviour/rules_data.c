/* F3, F5, F7, F8, F15: contexts that travel with bytes, counts and timers. */
#include "case.h"

static _Atomic int destroyed;

static void post_in(int fd, const char *name, uint64_t count) {
    ctxshim_scope scope = ctxshim_push(name);
    REQUIRE(eventfd_write(fd, count) == 0);
    ctxshim_pop(&scope);
}

/* --- F3: eventfds --------------------------------------------------------------------------------- */

CASE(F3, a_counter_carries_its_writers_context) {
    int fd = eventfd(0, EFD_NONBLOCK);
    post_in(fd, "A", 1);
    EXPECT_STACK("");
    EXPECT(hear(fd) == 8);
    EXPECT_STACK("A");
    post_in(fd, "B", 1000);
    EXPECT(hear(fd) == 8);
    EXPECT_STACK("A B");
}

CASE(F3, write_and_eventfd_read_do_the_same) {
    int fd = eventfd(0, 0);
    uint64_t two = 2, got = 0;
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(write(fd, &two, sizeof two) == 8);
    ctxshim_pop(&a);
    EXPECT(eventfd_read(fd, &got) == 0 && got == 2);
    EXPECT_STACK("A");
}

CASE(F3, several_contexts_in_a_counter_are_in_doubt) {
    int fd = eventfd(0, 0);
    post_in(fd, "A", 1);
    post_in(fd, "B", 2);
    EXPECT(hear(fd) == 8);
    EXPECT_STACK("A?");
}

CASE(F3, equal_contexts_in_a_counter_are_exact) {
    int fd = eventfd(0, 0);
    ctxshim_scope a = ctxshim_push("A");
    for (int i = 0; i < 10; i++)
        poke(fd);
    ctxshim_pop(&a);
    EXPECT(hear(fd) == 8);
    EXPECT_STACK("A");
}

CASE(F3, a_semaphore_gives_one_at_a_time) {
    int fd = eventfd(1, EFD_SEMAPHORE);
    post_in(fd, "A", 1);
    post_in(fd, "B", 2);
    expect_reader(fd, "");
    expect_reader(fd, "A");
    expect_reader(fd, "B");
    expect_reader(fd, "B");
}

CASE(F3, a_worker_that_reads_work_of_nobody_is_nobodys) {
    int fd = eventfd(0, EFD_SEMAPHORE);
    post_in(fd, "A", 1);
    poke(fd);
    for (int i = 0; i < 2; i++) {
        EXPECT(hear(fd) == 8);
        EXPECT_STACK(i == 0 ? "A" : "");
    }
}

CASE(F3, a_worker_lets_go_of_its_work_before_it_waits_for_the_next) {
    int fd = eventfd(0, EFD_SEMAPHORE);
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    poke(fd);
    ctxshim_pop(&scope);
    for (int i = 0; i < 2; i++) {
        EXPECT(hear(fd) == 8);
        EXPECT(atomic_load(&destroyed) == i);
        kernel_call(SYS_write, fd, (long)&(uint64_t){1}, 8, 0, 0, 0);
    }
}

CASE(F3, a_write_that_would_block_leaves_nothing) {
    int fd = eventfd(0, EFD_NONBLOCK);
    post_in(fd, "A", UINT64_MAX - 1);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(eventfd_write(fd, 1) == -1 && errno == EAGAIN);
    ctxshim_pop(&b);
    expect_reader(fd, "A");
    post_in(fd, "C", 1);
    expect_reader(fd, "C");
}

CASE(F3, vectors_and_split_buffers) {
    int fd = eventfd(0, 0);
    uint64_t value = 3, got = 0;
    struct iovec whole = {&value, 8};
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(writev(fd, &whole, 1) == 8);
    ctxshim_pop(&a);
    struct iovec into = {&got, 8};
    EXPECT(readv(fd, &into, 1) == 8 && got == 3);
    EXPECT_STACK("A");
    post_in(fd, "B", 1);
    char bytes[8];
    struct iovec split[2] = {{bytes, 3}, {bytes + 3, 5}};
    long result = readv(fd, split, 2);
    EXPECT(result == 8 || (result == -1 && errno == EINVAL));
    const char *stack = stack_now();
    EXPECT(strcmp(stack, "A B") == 0 || strcmp(stack, "A") == 0 || strcmp(stack, "") == 0);
    if (result == -1)
        hear(fd);
    post_in(fd, "C", 1);
    expect_reader(fd, "C");
}

CASE(F3, closing_releases_what_was_queued) {
    int fd = eventfd(0, 0);
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    poke(fd);
    ctxshim_pop(&scope);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
    close(fd);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* --- F5: timers ----------------------------------------------------------------------------------- */

static void arm(int fd, const char *name) {
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    ctxshim_scope scope = ctxshim_push(name);
    REQUIRE(timerfd_settime(fd, 0, &soon, NULL) == 0);
    ctxshim_pop(&scope);
}

CASE(F5, a_read_adopts_who_armed_the_timer) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    arm(fd, "A");
    EXPECT_STACK("");
    expect_reader(fd, "A");
    arm(fd, "B");
    expect_reader(fd, "B");
}

CASE(F5, an_event_adopts_who_armed_the_timer) {
    struct epoll_event event;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0);
    ctxshim_scope registering = ctxshim_push("registering");
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    ctxshim_pop(&registering);
    for (int i = 0; i < 2; i++) {
        arm(fd, i == 0 ? "A" : "B");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT_STACK(i == 0 ? "A" : "B");
        EXPECT(hear(fd) == 8);
        EXPECT_STACK(i == 0 ? "A" : "B");
        EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
        EXPECT_STACK("");
    }
}

/* C23 */
CASE(F5, disarming_releases_the_context_at_once) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    struct itimerspec far = {.it_value.tv_sec = 1000}, never = {0};
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(timerfd_settime(fd, 0, &far, NULL) == 0);
    REQUIRE(timerfd_settime(fd, 0, &never, NULL) == 0);
    ctxshim_pop(&scope);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

CASE(F5, a_call_that_fails_arms_nothing) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec bad = {.it_value.tv_nsec = -1}, soon = {.it_value.tv_nsec = 20000000};
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(timerfd_settime(fd, 0, &soon, NULL) == 0);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(timerfd_settime(fd, 0, &bad, NULL) == -1 && errno == EINVAL);
    ctxshim_pop(&b);
    expect_reader(fd, "A");
}

/* --- F7: connections and requests ----------------------------------------------------------------- */

CASE(F7, requests_are_numbered_on_their_connections) {
    int listener = listen_somewhere(), clients[2], servers[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        EXPECT_STACK("");
    }
    static const char *const expected[] = {"conn#1 req#1", "conn#2 req#1", "conn#1 req#2",
                                           "conn#2 req#2", "conn#1 req#3", "conn#2 req#3"};
    for (int i = 0; i < 6; i++) {
        raw_write(clients[i % 2], "question");
        EXPECT(hear(servers[i % 2]) == 8);
        EXPECT_STACK(expected[i]);
        say_to(servers[i % 2], "answer");
        EXPECT_STACK(expected[i]);
    }
}

CASE(F7, chunks_belong_to_one_request) {
    int listener = listen_somewhere(), client = raw_connect(listener),
        server = accept4(listener, NULL, NULL, 0);
    char small[2];
    raw_write(client, "abcdef");
    for (int i = 0; i < 3; i++) {
        EXPECT(recv(server, small, 2, 0) == 2);
        EXPECT_STACK("conn#1 req#1");
    }
    raw_write(client, "more");
    EXPECT(hear(server) == 4);
    EXPECT_STACK("conn#1 req#1");
    say_to(server, "answer, ");
    say_to(server, "in two parts");
    EXPECT_STACK("conn#1 req#1");
    raw_write(client, "next");
    EXPECT(recv(server, small, 1, MSG_PEEK) == 1);
    EXPECT_STACK("conn#1 req#2");
    EXPECT(recv(server, small, 2, 0) == 2 && small[0] == 'n');
    EXPECT_STACK("conn#1 req#2");
}

CASE(F7, every_way_to_read_and_write) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    char buffer[16], expected[32];
    struct iovec vector = {buffer, 4};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    for (int i = 0; i < 6; i++) {
        long got = 0, put = 0;
        raw_write(client, "ping");
        switch (i) {
        case 0:
            got = read(server, buffer, 4), put = write(server, "pong", 4);
            break;
        case 1:
            got = readv(server, &vector, 1), put = writev(server, &vector, 1);
            break;
        case 2:
            got = recv(server, buffer, 4, 0), put = send(server, "pong", 4, 0);
            break;
        case 3:
            got = recvfrom(server, buffer, 4, 0, NULL, NULL), put = sendto(server, "pong", 4, 0, NULL, 0);
            break;
        case 4:
            got = recvmsg(server, &message, 0), put = sendmsg(server, &message, 0);
            break;
        default:
            got = recvmmsg(server, &messages, 1, 0, NULL) == 1 ? 4 : -1;
            put = sendmmsg(server, &messages, 1, 0) == 1 ? 4 : -1;
        }
        snprintf(expected, sizeof expected, "conn#1 req#%d", i + 1);
        EXPECT(got == 4 && put == 4);
        EXPECT_STACK(expected);
    }
}

/* A file shorter than what was asked for is sent whole: nothing is left to be written. */
CASE(F7, a_short_file_is_a_whole_answer) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    int file = memfd_create("file", 0);
    off_t offset = 0;
    REQUIRE(write(file, "ten bytes.", 10) == 10);
    raw_write(client, "first");
    hear(server);
    EXPECT(sendfile(server, file, &offset, 1 << 20) == 10);
    EXPECT(sendfile(server, file, &offset, 1 << 20) == 0);
    raw_write(client, "second");
    hear(server);
    EXPECT_STACK("conn#1 req#2");
}

CASE(F7, bytes_before_the_answer_is_complete_are_in_doubt) {
    int listener = listen_somewhere(), client = raw_connect(listener);
    int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    static char much[1 << 22];
    raw_write(client, "first");
    hear(server);
    long sent = write(server, much, sizeof much);
    EXPECT(sent > 0 && sent < (long)sizeof much);
    raw_write(client, "second");
    hear(server);
    EXPECT_STACK("conn#1 req#2?");
}

CASE(F7, each_read_in_a_batch_adopts_its_own) {
    enum { CONNECTIONS = 5 };
    int listener = listen_somewhere(), epoll = epoll_create1(0), clients[CONNECTIONS];
    struct epoll_event events[CONNECTIONS];
    char bytes[64];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        int server = accept(listener, NULL, NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i << 32 | (uint32_t)server};
        REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            raw_write(clients[i], "question");
        int count = epoll_wait(epoll, events, CONNECTIONS, 1000);
        EXPECT(count == CONNECTIONS);
        for (int i = 0; i < count; i++) {
            char expected[64];
            int server = (int)(uint32_t)events[i].data.u64;
            snprintf(expected, sizeof expected, "conn#%d req#%d", (int)(events[i].data.u64 >> 32) + 1, round);
            REQUIRE(read(server, bytes, sizeof bytes) > 0); /* here: it is for sure as deep as this */
            EXPECT_STACK(expected);
            say_to(server, "answer");
            EXPECT(strncmp(stack_now(), expected, strlen(expected)) == 0);
        }
    }
    EXPECT(epoll_wait(epoll, events, CONNECTIONS, 0) == 0);
    EXPECT(epoll_wait(epoll, events, CONNECTIONS, 1) == 0);
    EXPECT_STACK("");
}

CASE_WITH("roots=0", F7, roots_can_be_switched_off) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    raw_write(client, "question");
    hear(server);
    EXPECT_STACK("");
}

CASE(F7, a_request_can_be_renamed) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    EXPECT(ctxshim_rename("x") == -1 && errno == ENOENT);
    raw_write(client, "question");
    hear(server);
    EXPECT(ctxshim_rename("GET /x") == 0);
    EXPECT_STACK("conn#1 GET /x");
}

/* --- F8: outbound --------------------------------------------------------------------------------- */

static int outbound(int *peer) {
    int listener = listen_somewhere();
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&address, size) == 0);
    *peer = (int)kernel_call(SYS_accept4, listener, 0, 0, 0, 0, 0);
    REQUIRE(*peer >= 0);
    return fd;
}

/* C20 */
CASE(F8, one_pooled_connection_three_requests) {
    int peer, fd = outbound(&peer), epoll = epoll_create1(0);
    struct epoll_event event;
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    static const char *const names[] = {"A", "B", "C"};
    for (int i = 0; i < 3; i++) {
        ctxshim_scope scope = ctxshim_push(names[i]);
        say_to(fd, "question");
        ctxshim_pop(&scope);
        raw_write(peer, "answer");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT_STACK(names[i]);
        hear(fd);
        EXPECT_STACK(names[i]);
        EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
        EXPECT_STACK("");
    }
}

CASE(F8, the_first_write_after_a_pending_connect_goes_on_with_it) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event event;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    REQUIRE(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ctxshim_scope a = ctxshim_push("A");
    int result = connect(fd, (struct sockaddr *)&address, size);
    int error = errno;
    ctxshim_pop(&a);
    EXPECT(result == -1 && error == EINPROGRESS);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("A");
    EXPECT(epoll_wait(epoll, &event, 1, 1000) == 1);
    say_to(fd, "hello");
    EXPECT_STACK("A");
}

CASE(F8, a_write_after_one_that_was_cut_short_goes_on_with_it) {
    int peer, fd = outbound(&peer);
    static char much[1 << 22];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ctxshim_scope a = ctxshim_push("A");
    long sent = write(fd, much, sizeof much);
    ctxshim_pop(&a);
    EXPECT(sent > 0 && sent < (long)sizeof much);
    EXPECT_STACK("");
    while (raw_read(peer, much, sizeof much) > 0 && sent > 0)
        sent -= (long)sizeof much;
    EXPECT(write(fd, "rest", 4) == 4);
    EXPECT_STACK("A");
}

CASE(F8, a_connect_that_fails_keeps_nothing) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    EXPECT(connect(900, (struct sockaddr *)&nobody, sizeof nobody) == -1 && errno == EBADF);
    ctxshim_pop(&scope);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* --- F15 ------------------------------------------------------------------------------------------ */

CASE(F15, duplicates_share_the_context) {
    for (int way = 0; way < 5; way++) {
        int fd = eventfd(0, 0);
        int copy = way == 0   ? dup(fd)
                   : way == 1 ? dup2(fd, 200)
                   : way == 2 ? dup3(fd, 201, O_CLOEXEC)
                              : fcntl(fd, way == 3 ? F_DUPFD : F_DUPFD_CLOEXEC, 202);
        REQUIRE(copy >= 0);
        post_in(fd, "A", 1);
        close(fd);
        expect_reader(copy, "A");
        post_in(copy, "B", 1);
        expect_reader(copy, "B");
        close(copy);
        EXPECT(fcntl(copy, F_GETFD) == -1 && errno == EBADF);
    }
}

CASE(F15, dup2_over_a_carrier_ends_it) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    int fd = eventfd(0, 0), other = eventfd(0, 0);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    poke(fd);
    ctxshim_pop(&scope);
    REQUIRE(dup2(other, fd) == fd);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
    post_in(other, "B", 1);
    expect_reader(fd, "B");
}

CASE(F15, a_dup2_that_fails_changes_nothing) {
    int fd = eventfd(0, 0);
    post_in(fd, "A", 1);
    EXPECT(dup2(999, fd) == -1 && errno == EBADF);
    EXPECT(dup2(fd, fd) == fd);
    EXPECT(dup3(fd, fd, 0) == -1 && errno == EINVAL);
    expect_reader(fd, "A");
}
