/* poll, ppoll, select, pselect: loops around them, and waits inside other work. */
#include "case.h"

#include <sys/select.h>

enum { CONNECTIONS = 3 };
static int listener, clients[CONNECTIONS], servers[CONNECTIONS];
static int wake;
static struct pollfd fds[CONNECTIONS + 1];

/* The listener and all connections, as a loop would have them. */
static void connect_all(void) {
    listener = listen_somewhere();
    fds[CONNECTIONS] = (struct pollfd){listener, POLLIN, 0};
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        fds[i] = (struct pollfd){servers[i], POLLIN, 0};
    }
}

static void ask_all(void) {
    for (int i = 0; i < CONNECTIONS; i++)
        raw_write(clients[i], "question");
}

static void answer(int which) {
    say_to(servers[which], "answer");
}

static fd_set set_of(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return set;
}

CASE(loops, every_kind_of_wait_brings_its_context) {
    struct timespec second = {1, 0};
    connect_all();
    for (int round = 0; round < 4; round++) {
        struct timeval limit = {1, 0};
        raw_write(clients[1], "question");
        if (round == 0)
            REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == 1);
        fd_set reads = set_of(servers[1]);
        if (round == 1)
            REQUIRE(ppoll(fds, CONNECTIONS + 1, &second, NULL) == 1);
        if (round == 2)
            REQUIRE(select(servers[1] + 1, &reads, NULL, NULL, &limit) == 1 && FD_ISSET(servers[1], &reads));
        if (round == 3)
            REQUIRE(pselect(servers[1] + 1, &reads, NULL, NULL, &second, NULL) == 1);
        EXPECT_STACK("conn#2");
        hear(servers[1]);
        EXPECT(strncmp(stack_now(), "conn#2 req#", 11) == 0 && stack_now()[11] == '1' + round);
        answer(1);
    }
    EXPECT(poll(fds, CONNECTIONS + 1, 1) == 0);
    EXPECT_STACK("");
}

CASE(loops, a_batch_stays_whole_and_is_settled_by_reads) {
    char expected[32];
    connect_all();
    for (int round = 1; round < 20; round++) {
        ask_all();
        REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == CONNECTIONS);
        size_t length = strlen(stack_now());
        EXPECT(length > 0 && stack_now()[length - 1] == '?');
        for (int i = 0; i < CONNECTIONS; i++) {
            EXPECT(fds[i].revents == POLLIN);
            hear(servers[i]);
            snprintf(expected, sizeof expected, "conn#%d req#%d", i + 1, round);
            EXPECT(strncmp(stack_now(), expected, strlen(expected)) == 0);
            answer(i);
            EXPECT(strncmp(stack_now(), expected, strlen(expected)) == 0);
        }
    }
}

CASE_WITH("dispatch=exact", loops, no_poll_is_served_one_at_a_time) {
    connect_all();
    ask_all();
    EXPECT(poll(fds, CONNECTIONS + 1, 1000) == CONNECTIONS);
}

CASE(loops, the_listener_of_a_batch_is_nobodys) {
    char bytes[64];
    connect_all();
    raw_write(clients[0], "question");
    int client = raw_connect(listener);
    REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == 2);
    hear(servers[0]);
    answer(0);
    int server = accept(listener, NULL, NULL);
    EXPECT_STACK("");
    raw_write(client, "question");
    REQUIRE(read(server, bytes, sizeof bytes) > 0); /* here: it is for sure as deep as this */
    EXPECT_STACK("conn#4 req#1");
}

CASE(loops, a_forgotten_push_ends_with_its_wait) {
    connect_all();
    for (int i = 0; i < 2; i++) {
        raw_write(clients[i], "question");
        REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == 1);
        EXPECT_STACK(i == 0 ? "conn#1" : "conn#2");
        hear(servers[i]);
        ctxshim_push("forgotten");
        EXPECT_STACK(i == 0 ? "conn#1 req#1 forgotten" : "conn#2 req#1 forgotten");
    }
}

/* A thread that serves one connection, and waits inside its request for what that needs. */
CASE(loops, a_wait_inside_a_request_keeps_it) {
    int ends[2], backend = listen_somewhere(), upstream = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    listener = listen_somewhere();
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    REQUIRE(pipe(ends) == 0 && getsockname(backend, (struct sockaddr *)&address, &size) == 0);
    raw_write(client, "half a question");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    raw_write(client, "the other half");
    REQUIRE(poll(&(struct pollfd){server, POLLIN, 0}, 1, 1000) == 1);
    EXPECT_STACK("conn#1 req#1");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    EXPECT(poll(NULL, 0, 1) == 0);
    EXPECT_STACK("conn#1 req#1");
    kernel_call(SYS_write, ends[1], (long)"x", 1, 0, 0, 0);
    REQUIRE(poll((struct pollfd[]){{ends[0], POLLIN, 0}, {server, POLLIN, 0}}, 2, 1000) == 1);
    EXPECT_STACK("conn#1 req#1");
    REQUIRE(connect(upstream, (struct sockaddr *)&address, size) == 0);
    int behind = (int)kernel_call(SYS_accept4, backend, 0, 0, 0, 0, 0);
    say_to(upstream, "query");
    EXPECT(poll(&(struct pollfd){upstream, POLLIN, 0}, 1, 1) == 0);
    EXPECT_STACK("conn#1 req#1");
    raw_write(behind, "reply");
    REQUIRE(poll(&(struct pollfd){upstream, POLLIN, 0}, 1, 1000) == 1);
    hear(upstream);
    EXPECT_STACK("conn#1 req#1");
    say_to(server, "answer");
    EXPECT_STACK("conn#1 req#1");
    raw_write(client, "question");
    REQUIRE(poll(&(struct pollfd){server, POLLIN, 0}, 1, 1000) == 1);
    EXPECT_STACK("conn#1");
    hear(server);
    EXPECT_STACK("conn#1 req#2");
}

/* A read with a time limit, in a function of its own. */
__attribute__((noinline)) static long hear_within_a_second(int fd) {
    char buffer[4096];
    if (poll(&(struct pollfd){fd, POLLIN, 0}, 1, 1000) != 1)
        return -1;
    return read(fd, buffer, sizeof buffer);
}

CASE(loops, what_was_read_with_a_time_limit_goes_on_in_the_caller) {
    listener = listen_somewhere();
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    for (int round = 1; round < 4; round++) {
        char expected[32];
        raw_write(client, "question");
        REQUIRE(hear_within_a_second(server) > 0);
        snprintf(expected, sizeof expected, "conn#1 req#%d", round);
        say_to(STDERR_FILENO, "");
        EXPECT_STACK(expected);
        say_to(server, "answer");
        EXPECT_STACK(expected);
    }
}

__attribute__((noinline)) static int look(int fd) {
    return poll(&(struct pollfd){fd, POLLIN, 0}, 1, 0);
}

/* Is a pooled connection still alive? What it has to say is another request's. */
CASE(loops, a_look_is_no_wait) {
    int backend = listen_somewhere(), upstream = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    connect_all();
    REQUIRE(getsockname(backend, (struct sockaddr *)&address, &size) == 0);
    raw_write(clients[0], "question");
    REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == 1);
    hear(servers[0]);
    REQUIRE(connect(upstream, (struct sockaddr *)&address, size) == 0);
    say_to(upstream, "query");
    raw_write((int)kernel_call(SYS_accept4, backend, 0, 0, 0, 0, 0), "too late");
    raw_write(clients[1], "question");
    answer(0);
    REQUIRE(poll(fds, CONNECTIONS + 1, 1000) == 1);
    hear(servers[1]);
    EXPECT(look(upstream) == 1);
    EXPECT_STACK("conn#2 req#1");
    answer(1);
}

/* The callbacks of this loop run at a shallower depth than its wait. */
__attribute__((noinline)) static int wait_deeper(int milliseconds) {
    volatile char room[512];
    room[0] = 0;
    int ready = poll(fds, CONNECTIONS + 1, milliseconds);
    return ready + room[0];
}

/* Whose work comes after a callback that has found nothing more to read is not known: an idle callback's,
 * say. */
CASE(loops, a_callback_that_finds_nothing_to_read_may_be_over) {
    char byte;
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++)
        REQUIRE(fcntl(servers[i], F_SETFL, O_NONBLOCK) == 0);
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(wait_deeper(1000) == 2);
    hear(servers[0]);
    hear(servers[1]);
    answer(0);
    EXPECT(read(servers[0], &byte, 1) == -1 && errno == EAGAIN);
    EXPECT_STACK("conn#1 req#1?");
    answer(1);
    EXPECT(strncmp(stack_now(), "conn#2 req#1", 12) == 0);
}

CASE(E2, a_poll_without_timeout_goes_on_with_what_is_queued) {
    connect_all();
    raw_write(clients[0], "question");
    for (int limit = 1000, round = 0; round < 3; round++, limit = 0) {
        EXPECT(poll(fds, CONNECTIONS + 1, limit) == (round == 0));
        if (round == 0)
            hear(servers[0]);
        EXPECT_STACK("conn#1 req#1");
    }
    EXPECT(poll(fds, CONNECTIONS + 1, 1) == 0);
    EXPECT_STACK("");
}

CASE(E2, so_does_a_select) {
    connect_all();
    raw_write(clients[0], "question");
    struct timespec limit = {1, 0};
    for (int round = 0; round < 3; round++) {
        fd_set reads = set_of(servers[0]);
        EXPECT(pselect(servers[0] + 1, &reads, NULL, NULL, &limit, NULL) == (round == 0));
        limit.tv_sec = 0;
        if (round == 0)
            hear(servers[0]);
        EXPECT_STACK("conn#1 req#1");
    }
}

CASE(E2, so_does_an_epoll_pwait2) {
    struct epoll_event event;
    int epoll = epoll_create1(0);
    connect_all();
    watch(epoll, EPOLL_CTL_ADD, servers[0], EPOLLIN);
    raw_write(clients[0], "question");
    struct timespec limit = {1, 0};
    for (int round = 0; round < 3; round++) {
        EXPECT(epoll_pwait2(epoll, &event, 1, &limit, NULL) == (round == 0));
        limit.tv_sec = 0;
        if (round == 0)
            hear(servers[0]);
        EXPECT_STACK("conn#1 req#1");
    }
}

CASE_WITH("dispatch=exact", E0, a_polled_epoll_stays_whole) {
    struct epoll_event events[8];
    int epoll = epoll_create1(0);
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++)
        watch(epoll, EPOLL_CTL_ADD, servers[i], EPOLLIN);
    ask_all();
    REQUIRE(poll(&(struct pollfd){epoll, POLLIN, 0}, 1, 1000) == 1);
    EXPECT(epoll_wait(epoll, events, 8, 0) == CONNECTIONS);
}

/* The set is shorter than the first argument says: it lies at the end of its page. */
HOST_CASE(H22, select_is_looked_at_no_further_than_it_reports) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
    fd_set *reads = (fd_set *)(void *)(pages + 4096 - sizeof(fd_set));
    struct timeval limit = {1, 0};
    listener = listen_somewhere();
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    FD_SET(server, reads);
    raw_write(client, "question");
    REQUIRE(fcntl(server, F_DUPFD, 900) >= 900); /* the kernel's own table is larger now */
    EXPECT(select(1024, reads, NULL, NULL, &limit) == 1 && FD_ISSET(server, reads));
    FD_SET(server, reads);
    EXPECT(select(65536, reads, NULL, NULL, &limit) == 1 && FD_ISSET(server, reads));
}

HOST_CASE(H22, bad_pointers_are_the_kernels) {
    void *volatile bad = (void *)16;
    EXPECT(poll(bad, 1, 0) == -1 && errno == EFAULT);
    EXPECT(select(1, bad, NULL, NULL, NULL) == -1 && errno == EFAULT);
    EXPECT(select(-1, NULL, NULL, NULL, NULL) == -1 && errno == EINVAL);
    EXPECT(poll(&(struct pollfd){-1, POLLIN, 7}, 1, 0) == 0);
    EXPECT(poll(&(struct pollfd){777, POLLIN, 0}, 1, 0) == 1);
}

/* A poll for one descriptor and its read in a function of their own: what was read goes on in their caller,
 * who has others work for it, too, and answers himself. */
__attribute__((noinline)) static long hear_in_time(int fd) {
    struct pollfd one = {fd, POLLIN, 0};
    char bytes[64];
    int ready = poll(&one, 1, 1000);
    long got = ready == 1 ? read(fd, bytes, sizeof bytes) : -1;
    poke(wake);
    return got;
}

CASE(E0, who_answers_what_he_read_with_a_time_limit_may_have_handed_it_on) {
    int door = listen_somewhere(), client = raw_connect(door), server = accept(door, NULL, NULL);
    wake = eventfd(0, EFD_NONBLOCK);
    for (int round = 1; round <= 3; round++) {
        char expected[32];
        snprintf(expected, sizeof expected, "conn#1 req#%d", round);
        raw_write(client, "question");
        EXPECT(hear_in_time(server) == 8);
        say_to(server, "answer");
        EXPECT_STACK(expected);
    }
}

/* In the middle of work that a poll would go on with. */
CASE_WITH("dispatch=exact", E2, a_limit_of_less_than_nothing_is_the_kernels_error) {
    int epoll = epoll_create1(0), door = listen_somewhere(), client = raw_connect(door);
    int server = accept(door, NULL, NULL);
    struct epoll_event event;
    struct timespec limit = {1, 0};
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
    raw_write(client, "question");
    for (volatile int round = 0; round < 2; round++) {
        int count = epoll_pwait2(epoll, &event, 1, &limit, NULL);
        EXPECT(round == 0 ? count == 1 : count == -1 && errno == EINVAL);
        limit = (struct timespec){0, -1000000};
    }
}
