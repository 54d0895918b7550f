/* F7, F8, E4 and E12 for sockets of datagrams: a root per datagram, an answer finds its request by the
 * address. */
#include "case.h"

#include <stddef.h>
#include <stdlib.h>

static struct sockaddr_in address_of(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    return address;
}

/* A server's socket, on a port that it asked for by number. */
static int serve(int flags) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int trial = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM | flags, 0);
    REQUIRE(trial >= 0 && fd >= 0 && bind(trial, (struct sockaddr *)&any, sizeof any) == 0);
    any = address_of(trial);
    close(trial);
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    return fd;
}

/* A peer that the shim does not see. */
static int raw_peer(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    long fd = kernel_call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
    REQUIRE(fd >= 0 && kernel_call(SYS_bind, fd, (long)&any, sizeof any, 0, 0, 0) == 0);
    return (int)fd;
}

static void raw_send(int fd, int to, const char *text) {
    struct sockaddr_in address = address_of(to);
    long length = (long)strlen(text);
    REQUIRE(kernel_call(SYS_sendto, fd, (long)text, length, 0, (long)&address, sizeof address) == length);
}

static struct sockaddr_in from;
static socklen_t from_size;
static char heard[64];

static long hear_from(int fd) {
    from_size = sizeof from;
    return recvfrom(fd, heard, sizeof heard, 0, (struct sockaddr *)&from, &from_size);
}

/* In the case itself: what follows from a shallower place need not be the same work. */
#define answer(fd, to)                                                                                       \
    EXPECT(sendto(fd, "answer", 6, 0, (const struct sockaddr *)(to), sizeof(struct sockaddr_in)) == 6)

/* Whatever was current is over: as a loop's wait has it. */
#define WAIT_HERE(epoll)                                                                                     \
    do {                                                                                                     \
        struct epoll_event none;                                                                             \
        EXPECT(epoll_wait(epoll, &none, 1, 1) >= 0);                                                         \
    } while (0)

CASE(F7, each_datagram_is_a_root) {
    int server = serve(0), peers[2] = {raw_peer(), raw_peer()};
    static const char *const expected[] = {"dgram#1", "dgram#2", "dgram#3", "dgram#4"};
    for (int i = 0; i < 4; i++) {
        raw_send(peers[i % 2], server, i == 3 ? "" : "question");
        EXPECT(hear_from(server) == (i == 3 ? 0 : 8));
        EXPECT_STACK(expected[i]);
        answer(server, &from);
        EXPECT_STACK(expected[i]);
    }
}

CASE(F7, every_way_to_receive_a_datagram) {
    int server = serve(0), peer = raw_peer();
    char buffer[16], expected[32];
    struct iovec vector = {buffer, 16};
    for (int way = 0; way < 7; way++) {
        struct sockaddr_in name;
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_name = &name, .msg_namelen = 16};
        struct mmsghdr messages = {.msg_hdr = message};
        raw_send(peer, server, "ping");
        EXPECT(way == 0   ? read(server, buffer, 16) == 4
               : way == 1 ? readv(server, &vector, 1) == 4
               : way == 2 ? recv(server, buffer, 16, 0) == 4
               : way == 3 ? recvfrom(server, buffer, 16, 0, NULL, NULL) == 4
               : way == 4 ? recvmsg(server, &message, 0) == 4
               : way == 5 ? recvmmsg(server, &messages, 1, 0, NULL) == 1
                          : recv(server, buffer, 1, MSG_TRUNC) == 4);
        snprintf(expected, sizeof expected, "dgram#%d", way + 1);
        EXPECT_STACK(expected);
    }
}

CASE(F7, a_peek_and_its_datagram_are_one) {
    int server = serve(0), peer = raw_peer();
    for (int i = 1; i < 4; i++) {
        char expected[32];
        raw_send(peer, server, "question");
        snprintf(expected, sizeof expected, "dgram#%d", i);
        for (int peek = 0; peek < 2; peek++) {
            EXPECT(recv(server, heard, 1, MSG_PEEK) == 1);
            EXPECT_STACK(expected);
        }
        EXPECT(hear_from(server) == 8);
        EXPECT_STACK(expected);
    }
}

CASE(F7, nothing_is_no_datagram) {
    int server = serve(SOCK_NONBLOCK), peer = raw_peer();
    EXPECT(hear_from(server) == -1 && errno == EAGAIN);
    EXPECT_STACK("");
    raw_send(peer, server, "x");
    EXPECT(recv(server, *(void *volatile *)&(void *){(void *)1}, 1, 0) == -1 && errno == EFAULT);
    raw_send(peer, server, "x");
    EXPECT(hear_from(server) == 1);
    EXPECT_STACK("dgram#1");
}

/* An answer that comes later, from a timer, say, is for whom that address asked for. */
CASE(F7, a_late_answer_finds_its_request) {
    int server = serve(0), epoll = epoll_create1(0), peers[3];
    struct sockaddr_in addresses[3];
    for (int i = 0; i < 3; i++) {
        peers[i] = raw_peer();
        addresses[i] = address_of(peers[i]);
        raw_send(peers[i], server, "question");
        hear_from(server);
    }
    EXPECT_STACK("dgram#3");
    static const int order[] = {1, 0, 2};
    static const char *const expected[] = {"dgram#2", "dgram#1", "dgram#3"};
    for (int i = 0; i < 3; i++) {
        struct itimerspec soon = {.it_value.tv_nsec = 1};
        struct epoll_event event;
        int timer = timerfd_create(CLOCK_MONOTONIC, 0);
        ctxshim_scope nobody = ctxshim_attach(NULL);
        REQUIRE(timerfd_settime(timer, 0, &soon, NULL) == 0);
        ctxshim_pop(&nobody);
        watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN);
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        close(timer);
        answer(server, &addresses[order[i]]);
        EXPECT_STACK(expected[i]);
    }
}

CASE(F7, two_questions_from_one_address_are_in_doubt) {
    int server = serve(0), epoll = epoll_create1(0), peer = raw_peer();
    struct sockaddr_in address = address_of(peer);
    struct epoll_event event;
    for (int i = 0; i < 2; i++) {
        raw_send(peer, server, "question");
        hear_from(server);
    }
    EXPECT_STACK("dgram#2");
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("");
    answer(server, &address);
    EXPECT_STACK("dgram#2?");
}

/* Whose own answer it is needs no address to tell. */
CASE(F7, each_of_two_from_one_address_answers_for_itself) {
    int server = serve(0), peer = raw_peer();
    for (int i = 0; i < 2; i++)
        raw_send(peer, server, "question");
    struct sockaddr_in address = address_of(peer);
    hear_from(server);
    ctxshim_context *first = ctxshim_capture();
    hear_from(server);
    ctxshim_context *second = ctxshim_capture();
    ctxshim_scope scope = ctxshim_attach(first);
    answer(server, &address);
    EXPECT_STACK("dgram#1");
    ctxshim_pop(&scope);
    scope = ctxshim_attach(second);
    answer(server, &address);
    EXPECT_STACK("dgram#2");
    ctxshim_pop(&scope);
    ctxshim_release(first);
    ctxshim_release(second);
}

CASE(F7, unix_datagrams_have_addresses_too) {
    struct sockaddr_un any = {.sun_family = AF_UNIX}, name[2];
    int server = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t size[2] = {sizeof name[0], sizeof name[1]};
    REQUIRE(bind(server, (struct sockaddr *)&any, sizeof any.sun_family) == 0);
    struct sockaddr_un to;
    socklen_t to_size = sizeof to;
    getsockname(server, (struct sockaddr *)&to, &to_size);
    for (int i = 0; i < 2; i++) {
        int peer = (int)kernel_call(SYS_socket, AF_UNIX, SOCK_DGRAM, 0, 0, 0, 0);
        kernel_call(SYS_bind, peer, (long)&any, sizeof any.sun_family, 0, 0, 0);
        getsockname(peer, (struct sockaddr *)&name[i], &size[i]);
        REQUIRE(kernel_call(SYS_sendto, peer, (long)"x", 1, 0, (long)&to, to_size) == 1);
        EXPECT(recv(server, heard, 1, MSG_PEEK) == 1);
        struct sockaddr_un got;
        socklen_t got_size = sizeof got;
        EXPECT(recvfrom(server, heard, 1, 0, (struct sockaddr *)&got, &got_size) == 1);
        EXPECT(got_size == size[i] && memcmp(&got, &name[i], got_size) == 0);
    }
    EXPECT_STACK("dgram#2");
    int epoll = epoll_create1(0);
    struct epoll_event event;
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLOUT);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT(sendto(server, "y", 1, 0, (struct sockaddr *)&name[0], size[0]) == 1);
    EXPECT_STACK("dgram#1");
}

/* --- E12 ------------------------------------------------------------------------------------------ */

CASE(E12, many_datagrams_in_one_call) {
    enum { COUNT = 4 };
    int server = serve(0), peers[COUNT], epoll = epoll_create1(0);
    struct epoll_event event;
    char bytes[COUNT][16];
    struct sockaddr_in names[COUNT];
    struct iovec vectors[COUNT];
    struct mmsghdr messages[COUNT];
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
    for (int i = 0; i < COUNT; i++) {
        peers[i] = raw_peer();
        raw_send(peers[i], server, "question");
        vectors[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i],
                                                   .msg_iovlen = 1,
                                                   .msg_name = &names[i],
                                                   .msg_namelen = sizeof names[i]}};
    }
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("");
    EXPECT(recvmmsg(server, messages, COUNT, 0, NULL) == COUNT);
    EXPECT_STACK("dgram#1?");
    static const char *const expected[] = {"dgram#1", "dgram#2", "dgram#3", "dgram#4"};
    for (int i = COUNT - 1; i > 0; i--) {
        answer(server, &names[i]);
        EXPECT_STACK(expected[i]);
    }
}

/* Answers to several in one call: nobody's in particular. */
CASE(E12, many_answers_in_one_call) {
    int server = serve(0), peers[2];
    struct sockaddr_in names[2];
    struct iovec vector = {"answer", 6};
    struct mmsghdr messages[2];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) {
            peers[i] = raw_peer();
            names[i] = address_of(peers[i]);
            raw_send(peers[i], server, "question");
            hear_from(server);
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector,
                                                       .msg_iovlen = 1,
                                                       .msg_name = &names[i],
                                                       .msg_namelen = sizeof names[i]}};
        }
        EXPECT_STACK(round == 0 ? "dgram#2" : "dgram#4");
        EXPECT(sendmmsg(server, messages + round, 2 - (unsigned)round, 0) == 2 - round);
        EXPECT_STACK(round == 0 ? "dgram#2?" : "dgram#4");
    }
}

/* --- F8 ------------------------------------------------------------------------------------------- */

static void ask_in(int fd, const char *name, int to) {
    ctxshim_scope clean = ctxshim_attach(NULL), scope = ctxshim_push(name);
    struct sockaddr_in address = address_of(to);
    EXPECT(sendto(fd, "question", 8, 0, (struct sockaddr *)&address, sizeof address) == 8);
    ctxshim_pop(&scope);
    ctxshim_pop(&clean);
}

CASE(F8, a_reply_is_for_whom_its_sender_was_asked_last) {
    int client = socket(AF_INET, SOCK_DGRAM, 0), peers[2] = {raw_peer(), raw_peer()};
    static const char *const names[] = {"A", "B"};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            ask_in(client, names[i], peers[(i + round) % 2]);
        for (int i = 1; i >= 0; i--) {
            raw_send(peers[(i + round) % 2], client, "reply");
            EXPECT(hear_from(client) == 5);
            EXPECT_STACK(names[i]);
        }
    }
    int stranger = raw_peer();
    raw_send(stranger, client, "reply");
    EXPECT(hear_from(client) == 5);
    EXPECT_STACK("");
}

CASE(F8, replies_of_one_server_to_several_are_in_doubt) {
    int client = socket(AF_INET, SOCK_DGRAM, 0), peer = raw_peer();
    ask_in(client, "A", peer);
    ask_in(client, "B", peer);
    raw_send(peer, client, "reply");
    raw_send(peer, client, "reply");
    EXPECT(hear_from(client) == 5);
    EXPECT_STACK("B?");
    expect_reader(client, "B");
    ask_in(client, "C", peer);
    raw_send(peer, client, "reply");
    expect_reader(client, "C");
}

CASE(F8, a_connected_socket_of_datagrams) {
    int client = socket(AF_INET, SOCK_DGRAM, 0), peer = raw_peer(), epoll = epoll_create1(0);
    struct sockaddr_in address = address_of(peer);
    struct epoll_event event;
    REQUIRE(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    watch(epoll, EPOLL_CTL_ADD, client, EPOLLIN);
    static const char *const names[] = {"A", "B", "C"};
    for (int i = 0; i < 3; i++) {
        ctxshim_scope scope = ctxshim_push(names[i]);
        say_to(client, "question");
        ctxshim_pop(&scope);
        raw_send(peer, client, "reply");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT_STACK(names[i]);
        EXPECT(i == 0 ? hear(client) == 5 : i == 1 ? hear_from(client) == 5 : recv(client, heard, 9, 0) == 5);
        EXPECT_STACK(names[i]);
        WAIT_HERE(epoll);
        EXPECT_STACK("");
    }
}

/* Who binds to a port and then asks first still asks; what comes unasked is work of its own. */
CASE(F8, a_bound_socket_that_asks) {
    int fd = serve(0), server = raw_peer(), stranger = raw_peer();
    ask_in(fd, "A", server);
    raw_send(server, fd, "reply");
    expect_reader(fd, "A");
    raw_send(stranger, fd, "question");
    EXPECT(hear_from(fd) == 8);
    EXPECT_STACK("dgram#1");
    answer(fd, &from);
    EXPECT_STACK("dgram#1");
}

CASE(F8, the_ring_of_peers_forgets_the_oldest) {
    static _Atomic int destroyed;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    int client = socket(AF_INET, SOCK_DGRAM, 0), peer = raw_peer();
    struct sockaddr_in address = address_of(peer);
    for (int i = 0; i < 1000; i++) {
        ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
        answer(client, &address);
        ctxshim_pop(&scope);
    }
    settle();
    EXPECT(atomic_load(&destroyed) >= 1000 - 128);
    close(client);
    settle();
    EXPECT(atomic_load(&destroyed) == 1000);
}

/* --- the host ------------------------------------------------------------------------------------- */

CASE(H6, a_raw_close_and_another_socket_of_datagrams) {
    int server = serve(0), peer = raw_peer();
    raw_send(peer, server, "question");
    hear_from(server);
    raw_close(server);
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(other == server);
    ask_in(other, "A", peer);
    raw_send(peer, other, "reply");
    expect_reader(other, "A");
}

/* H22: addresses that are not there, or shorter than they are. */
HOST_CASE(H22, bad_addresses) {
    int server = serve(SOCK_NONBLOCK), peer = raw_peer();
    static struct sockaddr *volatile nowhere = (struct sockaddr *)1;
    socklen_t none = 0, size = 4;
    struct sockaddr_in own = address_of(server);
    raw_send(peer, server, "x");
    EXPECT(recvfrom(server, heard, 1, 0, nowhere, &none) == 1 && none == sizeof(struct sockaddr_in));
    raw_send(peer, server, "x");
    EXPECT(recvfrom(server, heard, 1, 0, (struct sockaddr *)&from, &size) == 1);
    raw_send(peer, server, "x");
    none = sizeof from;
    EXPECT(recvfrom(server, heard, 1, 0, nowhere, &none) == -1 && errno == EFAULT);
    EXPECT(sendto(server, "x", 1, 0, nowhere, sizeof from) == -1 && errno == EFAULT);
    EXPECT(sendto(server, "x", 1, 0, (struct sockaddr *)&own, 1) == -1 && errno == EINVAL);
    EXPECT(sendmsg(server, (struct msghdr *)(void *)nowhere, 0) == -1 && errno == EFAULT);
    EXPECT(recvmsg(server, (struct msghdr *)(void *)nowhere, MSG_DONTWAIT) == -1);
    EXPECT(bind(server, nowhere, sizeof own) == -1);
    EXPECT(connect(server, nowhere, sizeof own) == -1 && errno == EFAULT);
}

HOST_CASE(H12, datagrams_leave_errno_alone) {
    int server = serve(SOCK_NONBLOCK), peer = raw_peer();
    raw_send(peer, server, "question");
    errno = E2BIG;
    EXPECT(hear_from(server) == 8 && errno == E2BIG);
    answer(server, &from);
    EXPECT(errno == E2BIG);
    EXPECT(hear_from(server) == -1 && errno == EAGAIN);
}
