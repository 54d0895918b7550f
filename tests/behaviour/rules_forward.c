/* E10: a waiting list of the program's own. Requests are read, wait, and are forwarded later out of the
 * buffers that they were read into, from inside the event of a server that has become free. */
#include "case.h"

enum { CLIENTS = 3, ROOM = 256 };

/* A pooler with one server and a loop around both. */
static struct {
    int epoll, server, peer;
    int client[CLIENTS], connection[CLIENTS];
    char buffer[CLIENTS][ROOM];
    long size[CLIENTS];
} pool;

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

static void pool_begin(void) {
    int listener = listen_somewhere();
    pool.epoll = epoll_create1(0);
    pool.server = outbound(&pool.peer);
    watch(pool.epoll, EPOLL_CTL_ADD, pool.server, EPOLLIN);
    for (int i = 0; i < CLIENTS; i++) {
        pool.client[i] = raw_connect(listener);
        pool.connection[i] = accept(listener, NULL, NULL);
        watch(pool.epoll, EPOLL_CTL_ADD, pool.connection[i], EPOLLIN);
    }
}

/* The waits belong to the case itself. */
#define IN_CASE static inline __attribute__((always_inline)) void

static const char alike[] = "a request that begins as every other one does, for sixty-four bytes, and then: ";

/* Each client asks; all are read in turn, and wait, but for one that is refused (-1: none). The first one's
 * is forwarded at once. */
IN_CASE pool_ask(const char *const ends[CLIENTS], int refused) {
    struct epoll_event event;
    for (int i = 0; i < CLIENTS; i++) {
        char text[ROOM];
        snprintf(text, sizeof text, "%s%s", alike, ends[i]);
        raw_write(pool.client[i], text);
        REQUIRE(epoll_wait(pool.epoll, &event, 1, 1000) == 1);
        pool.size[i] = read(pool.connection[i], pool.buffer[i], ROOM);
        REQUIRE(pool.size[i] > (long)sizeof alike);
        if (i == refused)
            say_to(pool.connection[i], "no room");
        if (i == 0)
            REQUIRE(write(pool.server, pool.buffer[0], (size_t)pool.size[0]) == pool.size[0]);
    }
}

/* The server answers, and its event comes: in it the next one of the list can go. What follows need not be
 * the same one's: others wait (E0). */
IN_CASE pool_wait(const char *expected) {
    struct epoll_event event;
    char answer[ROOM];
    raw_write(pool.peer, "answer");
    REQUIRE(epoll_wait(pool.epoll, &event, 1, 1000) == 1 && event.data.fd == pool.server);
    REQUIRE(read(pool.server, answer, sizeof answer) == 6);
    EXPECT_STACK(expected);
}

static const char *const three[CLIENTS] = {"one", "two", "three"};

CASE(E10, a_request_that_waited_is_forwarded_as_itself) {
    pool_begin();
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    say_to(pool.connection[0], "answer");
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT_STACK("conn#2 req#1?");
    pool_wait("conn#2 req#1");
    say_to(pool.connection[1], "answer");
    EXPECT(send(pool.server, pool.buffer[2], (size_t)pool.size[2], 0) == pool.size[2]);
    EXPECT_STACK("conn#3 req#1?");
    pool_wait("conn#3 req#1");
}

CASE(E10, vectors_and_messages_do_the_same) {
    pool_begin();
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    struct iovec near[2] = {{pool.buffer[1], (size_t)pool.size[1]}, {(char[]){"tail"}, 4}};
    EXPECT(writev(pool.server, near, 2) == pool.size[1] + 4);
    EXPECT_STACK("conn#2 req#1?");
    pool_wait("conn#2 req#1");
    static struct iovec far;
    static struct msghdr message = {.msg_iov = &far, .msg_iovlen = 1};
    far = (struct iovec){pool.buffer[2], (size_t)pool.size[2]};
    EXPECT(sendmsg(pool.server, &message, 0) == pool.size[2]);
    EXPECT_STACK("conn#3 req#1?");
}

CASE(E10, other_bytes_say_nothing) {
    pool_begin();
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    pool.buffer[1][0] = '!';
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT_STACK("conn#1 req#1?");
    pool.buffer[2][pool.size[2] - 1] = '!';
    EXPECT(write(pool.server, pool.buffer[2], (size_t)pool.size[2]) == pool.size[2]);
    EXPECT_STACK("conn#1 req#1?");
}

CASE(E10, a_few_bytes_say_nothing) {
    pool_begin();
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    EXPECT(write(pool.server, pool.buffer[1], 10) == 10);
    EXPECT_STACK("conn#1 req#1?");
}

/* Whichever lies there now: the program may have copied it. */
CASE(E10, equal_requests_are_in_doubt) {
    static const char *const same[CLIENTS] = {"one", "same", "same"};
    pool_begin();
    pool_ask(same, -1);
    pool_wait("conn#1 req#1");
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT_STACK("conn#2 req#1?");
}

CASE(E10, a_request_that_was_answered_is_over) {
    pool_begin();
    pool_ask(three, 1);
    pool_wait("conn#1 req#1");
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT_STACK("conn#1 req#1?");
}

CASE(E10, a_read_into_the_buffer_ends_it) {
    int peer, other;
    char saved[ROOM];
    pool_begin();
    other = outbound(&peer);
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    memcpy(saved, pool.buffer[1], ROOM);
    raw_write(peer, "x");
    ctxshim_context *mine = ctxshim_capture();
    EXPECT(read(other, pool.buffer[1] + 20, 1) == 1);
    memcpy(pool.buffer[1], saved, ROOM);
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT(strcmp(stack_now(), "conn#2 req#1") != 0);
    ctxshim_release(mine);
}

CASE(E10, a_scope_of_ones_own_wins) {
    pool_begin();
    pool_ask(three, -1);
    pool_wait("conn#1 req#1");
    CTXSHIM_SCOPE("mine");
    EXPECT(write(pool.server, pool.buffer[1], (size_t)pool.size[1]) == pool.size[1]);
    EXPECT_STACK("conn#1 req#1 mine");
}

/* The address is one that a request was read to, and is no memory any more. */
HOST_CASE(E10, a_bad_pointer_fails_as_ever) {
    int peer, fd = outbound(&peer);
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    raw_write(client, alike);
    REQUIRE(page != MAP_FAILED && read(server, page, 4096) == (long)strlen(alike));
    REQUIRE(munmap(page, 4096) == 0);
    errno = 0;
    EXPECT(write(fd, page, 100) == -1 && errno == EFAULT);
    struct iovec vector = {page, 100};
    EXPECT(writev(fd, &vector, 1) == -1 && errno == EFAULT);
    EXPECT(writev(fd, (struct iovec *)page, 1) == -1 && errno == EFAULT);
    EXPECT(sendmsg(fd, (struct msghdr *)page, 0) == -1 && errno == EFAULT);
    void *last = (void *)UINTPTR_MAX; /* what lies there ends beyond all addresses */
    EXPECT(writev(fd, last, 1) == -1 && errno == EFAULT);
    EXPECT(sendmsg(fd, last, 0) == -1 && errno == EFAULT);
}
