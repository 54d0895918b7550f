/* F4, F7, F8, F15: bytes that move without passing through the program, and descriptors inside messages. */
#include "case.h"

#include <stdlib.h>

static _Atomic int destroyed;

static void say_in(int fd, const char *name, const char *text) {
    ctxshim_scope clean = ctxshim_attach(NULL), scope = ctxshim_push(name);
    say_to(fd, text);
    ctxshim_pop(&scope);
    ctxshim_pop(&clean);
}

/* --- splice, tee, vmsplice, sendfile --------------------------------------------------------------- */

CASE(F4, splice_from_pipe_to_pipe) {
    int in[2], out[2];
    REQUIRE(pipe(in) == 0 && pipe(out) == 0);
    say_in(in[1], "A", "abc");
    say_in(in[1], "B", "def");
    EXPECT(splice(in[0], NULL, out[1], NULL, 2, 0) == 2);
    EXPECT_STACK("A");
    EXPECT(splice(in[0], NULL, out[1], NULL, 1, 0) == 1);
    EXPECT_STACK("A");
    EXPECT(splice(in[0], NULL, out[1], NULL, 100, 0) == 3);
    EXPECT_STACK("B");
    char bytes[8];
    EXPECT(read(out[0], bytes, 3) == 3);
    EXPECT_STACK("A");
    EXPECT(read(out[0], bytes, 3) == 3);
    EXPECT_STACK("B");
}

CASE(F4, tee_takes_nothing) {
    int in[2], out[2];
    char bytes[8];
    REQUIRE(pipe(in) == 0 && pipe(out) == 0);
    say_in(in[1], "A", "abc");
    EXPECT(tee(in[0], out[1], 100, 0) == 3);
    EXPECT(read(out[0], bytes, 8) == 3);
    EXPECT_STACK("A");
    say_in(in[1], "B", "d");
    EXPECT(read(in[0], bytes, 3) == 3);
    EXPECT_STACK("A");
    expect_reader(in[0], "B");
}

CASE(F4, vmsplice_goes_both_ways) {
    int ends[2];
    char bytes[8] = "abcdefg";
    struct iovec vector = {bytes, 4};
    REQUIRE(pipe(ends) == 0);
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(vmsplice(ends[1], &vector, 1, 0) == 4);
    ctxshim_pop(&a);
    say_in(ends[1], "B", "x");
    EXPECT(vmsplice(ends[0], &vector, 1, 0) == 4);
    EXPECT_STACK("A");
    expect_reader(ends[0], "B");
}

/* A proxy that never sees the bytes: connection to pipe to server behind, and back. */
CASE(F7, a_request_spliced_through_a_proxy) {
    int listener = listen_somewhere(), behind = listen_somewhere(), there[2], back[2];
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    REQUIRE(pipe(there) == 0 && pipe(back) == 0);
    getsockname(behind, (struct sockaddr *)&address, &size);
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    int outbound = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(connect(outbound, (struct sockaddr *)&address, size) == 0);
    int peer = (int)kernel_call(SYS_accept4, behind, 0, 0, 0, 0, 0), epoll = epoll_create1(0);
    struct epoll_event event;
    char bytes[16];
    watch(epoll, EPOLL_CTL_ADD, outbound, EPOLLIN);
    for (int i = 1; i < 4; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "conn#1 req#%d", i);
        raw_write(client, "question");
        EXPECT(splice(server, NULL, there[1], NULL, 100, 0) == 8);
        EXPECT_STACK(expected);
        EXPECT(splice(there[0], NULL, outbound, NULL, 8, 0) == 8);
        EXPECT_STACK(expected);
        EXPECT(raw_read(peer, bytes, 16) == 8);
        raw_write(peer, "answer");
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT_STACK(expected);
        EXPECT(splice(outbound, NULL, back[1], NULL, 100, 0) == 6);
        EXPECT_STACK(expected);
        EXPECT(splice(back[0], NULL, server, NULL, 6, 0) == 6);
        EXPECT_STACK(expected);
        EXPECT(raw_read(client, bytes, 16) == 6);
        EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    }
}

CASE(F4, sendfile_into_a_pipe) {
    int ends[2], file = memfd_create("file", 0);
    off_t offset = 0;
    REQUIRE(pipe(ends) == 0 && write(file, "ten bytes.", 10) == 10);
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(sendfile(ends[1], file, &offset, 100) == 10);
    ctxshim_pop(&a);
    say_in(ends[1], "B", "x");
    char bytes[16];
    EXPECT(read(ends[0], bytes, 10) == 10);
    EXPECT_STACK("A");
    expect_reader(ends[0], "B");
}

HOST_CASE(H12, moving_leaves_errno_alone) {
    int in[2], out[2];
    REQUIRE(pipe2(in, O_NONBLOCK) == 0 && pipe2(out, O_NONBLOCK) == 0);
    EXPECT(splice(in[0], NULL, out[1], NULL, 1, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    EXPECT(splice(in[1], NULL, out[1], NULL, 1, 0) == -1 && errno == EBADF);
    EXPECT(splice(-1, NULL, out[1], NULL, 1, 0) == -1 && errno == EBADF);
    EXPECT(tee(in[0], out[1], 1, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    EXPECT(vmsplice(-1, NULL, 0, 0) == -1 && errno == EBADF);
    errno = E2BIG;
    say_to(in[1], "abc");
    EXPECT(splice(in[0], NULL, out[1], NULL, 9, 0) == 3 && errno == E2BIG);
    EXPECT(sendfile(out[1], in[0], NULL, 1) == -1);
}

/* --- descriptors inside messages ------------------------------------------------------------------- */

/* Sends `count` descriptors with a text. */
static long send_fds(int to, const char *text, const int *fds, size_t count) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec vector = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(to, &message, 0);
}

/* Receives up to `size` bytes; how many descriptors came goes to `*count`. */
static long receive_fds(int from, size_t size, int *fds, size_t *count) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
    char buffer[64];
    struct iovec vector = {buffer, size};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    long result = recvmsg(from, &message, 0);
    struct cmsghdr *header = result >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    *count = header != NULL ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (header != NULL)
        memcpy(fds, CMSG_DATA(header), *count * sizeof(int));
    return result;
}

static void poke_in(int fd, const char *name) {
    ctxshim_scope clean = ctxshim_attach(NULL), scope = ctxshim_push(name);
    poke(fd);
    ctxshim_pop(&scope);
    ctxshim_pop(&clean);
}

CASE(F15, a_descriptor_passed_inside_the_process_shares_the_context) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int type = 0; type < 3; type++) {
        int pair[2], sent[2] = {eventfd(0, EFD_SEMAPHORE), eventfd(0, EFD_SEMAPHORE)}, got[8];
        size_t count;
        REQUIRE(socketpair(AF_UNIX, types[type], 0, pair) == 0);
        for (int i = 0; i < 2; i++)
            poke_in(sent[i], i == 0 ? "A" : "B");
        EXPECT(send_fds(pair[0], "two descriptors", sent, 2) == 15);
        close(sent[0]);
        close(sent[1]);
        EXPECT(receive_fds(pair[1], types[type] == SOCK_STREAM ? 3 : 64, got, &count) ==
               (types[type] == SOCK_STREAM ? 3 : 15));
        REQUIRE(count == 2);
        for (int i = 0; i < 2; i++) {
            expect_reader(got[i], i == 0 ? "A" : "B");
            poke_in(got[i], "C");
            expect_reader(got[i], "C");
            close(got[i]);
        }
    }
}

CASE(F15, a_pipe_passed_through_another_is_that_pipe) {
    int pair[2], ends[2], got[8];
    size_t count;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0);
    say_in(ends[1], "A", "x");
    EXPECT(send_fds(pair[0], "y", ends, 2) == 1);
    close(ends[0]);
    close(ends[1]);
    EXPECT(receive_fds(pair[1], 1, got, &count) == 1 && count == 2);
    say_in(got[1], "B", "z");
    char byte;
    EXPECT(read(got[0], &byte, 1) == 1 && byte == 'x');
    EXPECT_STACK("A");
    expect_reader(got[0], "B");
}

/* Who reads without room for descriptors loses them; the next that come are other ones. */
CASE(F15, descriptors_that_nobody_took_are_not_the_next_ones) {
    int pair[2], sent[2] = {eventfd(0, 0), eventfd(0, 0)}, got[8];
    size_t count;
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    poke_in(sent[0], "A");
    poke_in(sent[1], "B");
    EXPECT(send_fds(pair[0], "x", &sent[0], 1) == 1 && send_fds(pair[0], "y", &sent[1], 1) == 1);
    close(sent[0]);
    close(sent[1]);
    EXPECT(hear(pair[1]) == 1);
    EXPECT(receive_fds(pair[1], 1, got, &count) == 1 && count == 1);
    expect_reader(got[0], "B");
}

/* C35 */
CASE(F15, what_is_on_its_way_when_the_end_is_closed_is_dropped) {
    int pair[2], fd = eventfd(0, 0), bad = 999;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    poke(fd);
    ctxshim_pop(&scope);
    EXPECT(send_fds(pair[0], "x", &fd, 1) == 1);
    EXPECT(send_fds(pair[0], "x", &bad, 1) == -1 && errno == EBADF);
    close(fd);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
    close(pair[1]);
    close(pair[0]);
    close(eventfd(0, 0));
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* Where it goes, somebody else may write to it. */
CASE(F15, a_descriptor_passed_away_is_shared) {
    int listener = listen_somewhere(), ends[2];
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    int out = socket(AF_UNIX, SOCK_STREAM, 0), count_fd = eventfd(0, 0);
    REQUIRE(pipe(ends) == 0 && connect(out, (struct sockaddr *)&address, size) == 0);
    int sent[2] = {count_fd, ends[1]};
    say_in(ends[1], "A", "x");
    poke_in(count_fd, "A");
    EXPECT(send_fds(out, "y", sent, 2) == 1);
    say_in(ends[1], "B", "x");
    expect_reader(ends[0], "");
    expect_reader(count_fd, "");
}

/* H6: what arrives is nothing that its number was. */
CASE(F15, a_received_descriptor_is_a_new_one) {
    for (int way = 0; way < 2; way++) {
        int listener = listen_somewhere(), client = raw_connect(listener),
            number = accept(listener, NULL, NULL);
        int file = memfd_create("again", 0), got[8];
        size_t count;
        int raw[2];
        REQUIRE(kernel_call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)raw, 0, 0) == 0);
        kernel_call(SYS_pwrite64, file, (long)"x", 1, 0, 0, 0);
        raw_write(client, "question");
        EXPECT(send_fds(raw[0], "y", &file, 1) == 1);
        raw_close(number);
        if (way == 0) {
            EXPECT(receive_fds(raw[1], 1, got, &count) == 1 && count == 1 && got[0] == number);
        } else {
            _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
            char byte;
            struct iovec vector = {&byte, 1};
            struct mmsghdr messages = {.msg_hdr = {.msg_iov = &vector,
                                                   .msg_iovlen = 1,
                                                   .msg_control = control,
                                                   .msg_controllen = sizeof control}};
            EXPECT(recvmmsg(raw[1], &messages, 1, 0, NULL) == 1);
            memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&messages.msg_hdr)), sizeof(int));
            EXPECT(got[0] == number);
        }
        expect_reader(got[0], "");
        close(got[0]);
    }
}

/* A listening socket that another process passed is one. */
CASE(F15, connections_of_a_listener_that_was_received_have_roots) {
    int pair[2], got[8], status;
    size_t count;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    if (child == 0) {
        int listener = listen_somewhere();
        _exit(send_fds(pair[0], "x", &listener, 1) != 1);
    }
    EXPECT(receive_fds(pair[1], 1, got, &count) == 1 && count == 1);
    int client = raw_connect(got[0]), server = accept(got[0], NULL, NULL);
    raw_write(client, "question");
    EXPECT(hear(server) == 8);
    EXPECT_STACK("conn#1 req#1");
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}
