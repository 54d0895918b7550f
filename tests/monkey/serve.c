/* A server of its own, in one operation: clients ask, a loop answers at once, later, or after it has asked
 * another server, and hands work to itself. The order of its events is the loop's affair; what each client is
 * told is not. */
#include "ops.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { CLIENTS = 5, TURNS = 12, LATER = 64, ROOM = 256 };

struct work {
    int fd;
    size_t size;
    char bytes[ROOM];
};

struct server {
    int epoll, listener, wake, pipe[2], upstream[2];
    int clients[CLIENTS];
    int connections[CLIENTS * 2];
    unsigned connected;
    struct work later[LATER], waiting[LATER]; /* answers that wait for a later phase; for upstream */
    unsigned laters, waitings;
    unsigned manner; /* how it does what it does */
};

static void watch(const struct server *server, int fd, uint32_t events) {
    struct epoll_event event = {events, {.fd = fd}};
    MUST(epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int connect_raw(const struct server *server) {
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    MUST(getsockname(server->listener, (struct sockaddr *)&address, &size) == 0);
    long fd = kernel_call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, 0, 0, 0);
    MUST(kernel_call(SYS_connect, fd, (long)&address, size, 0, 0, 0) == 0);
    return (int)fd;
}

static void server_begin(struct server *server) {
    struct sockaddr_un nameless = {.sun_family = AF_UNIX};
    *server = (struct server){.manner = below(1U << 16)};
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    server->wake = eventfd(0, EFD_NONBLOCK);
    MUST(bind(server->listener, (struct sockaddr *)&nameless, sizeof nameless.sun_family) == 0);
    MUST(listen(server->listener, 16) == 0);
    MUST(pipe2(server->pipe, O_NONBLOCK) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, server->upstream) == 0);
    watch(server, server->listener, EPOLLIN);
    watch(server, server->wake, server->manner & 1 ? EPOLLIN | EPOLLET : EPOLLIN);
    watch(server, server->pipe[0], EPOLLIN);
    watch(server, server->upstream[0], EPOLLIN);
    for (int i = 0; i < CLIENTS; i++)
        server->clients[i] = connect_raw(server);
}

static void answer(const struct work *work) {
    struct iovec parts[2] = {
        {(void *)(uintptr_t)work->bytes, work->size / 2},
        {(void *)(uintptr_t)(work->bytes + work->size / 2), work->size - work->size / 2}};
    if (work->size % 2 == 0)
        MUST(write(work->fd, work->bytes, work->size) == (ssize_t)work->size);
    else
        MUST(writev(work->fd, parts, 2) == (ssize_t)work->size);
}

static void hear(struct server *server, int fd) {
    struct work work = {.fd = fd};
    ssize_t got = read(fd, work.bytes, sizeof work.bytes);
    if (got <= 0) {
        MUST(got == 0 || errno == EAGAIN || errno == ECONNRESET);
        return;
    }
    work.size = (size_t)got;
    unsigned way = (server->manner >> (2 + (unsigned)work.bytes[0] % 4)) % 4;
    if (server->manner & 2)
        fprintf(stderr, "heard\n");
    if (way == 1 && server->laters < LATER) {
        server->later[server->laters++] = work;
    } else if (way == 2 && server->waitings < LATER) {
        MUST(write(server->upstream[0], "?", 1) == 1);
        server->waiting[server->waitings++] = work;
    } else {
        if (way == 3) {
            eventfd_write(server->wake, 1);
            MUST(write(server->pipe[1], "job", 3) == 3);
        }
        answer(&work);
    }
}

static void answer_all(struct work *works, unsigned *count) {
    for (unsigned i = 0; i < *count; i++)
        answer(&works[i]);
    *count = 0;
}

static void handle(struct server *server, int fd) {
    char bytes[ROOM];
    if (fd == server->listener) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        if (accepted < 0)
            return;
        MUST(server->connected < LENGTH(server->connections));
        server->connections[server->connected++] = accepted;
        watch(server, accepted, EPOLLIN);
    } else if (fd == server->wake) {
        eventfd_t value;
        eventfd_read(fd, &value);
    } else if (fd == server->pipe[0]) {
        (void)!read(fd, bytes, sizeof bytes);
    } else if (fd == server->upstream[0]) {
        (void)!read(fd, bytes, sizeof bytes);
        answer_all(server->waiting, &server->waitings);
    } else {
        hear(server, fd);
    }
}

/* Until nothing is left to do. Whoever has put something off does not wait. */
static void turn(struct server *server) {
    struct epoll_event events[8];
    char bytes[ROOM];
    for (int idle = 0, round = 0; idle < 2; round++) {
        MUST(round < 10000);
        bool ready = fd_ready(server->epoll, POLLIN);
        int count = epoll_wait(server->epoll, events, 1 + (int)(server->manner >> 12) % 8,
                               server->laters > 0 ? 0
                               : ready            ? 1000
                                                  : 1);
        MUST(count >= 0);
        for (int i = 0; i < count; i++)
            handle(server, events[i].data.fd);
        long asked_for = kernel_call(SYS_read, server->upstream[1], (long)bytes, sizeof bytes, 0, 0, 0);
        if (asked_for > 0)
            kernel_call(SYS_write, server->upstream[1], (long)bytes, asked_for, 0, 0, 0);
        if (count == 0 && server->laters > 0)
            answer_all(server->later, &server->laters);
        else
            idle = count == 0 ? idle + 1 : 0;
    }
}

void serve_loop(void) {
    struct server server;
    char text[ROOM];
    server_begin(&server);
    for (int i = 0; i < TURNS; i++) {
        for (unsigned k = 1 + below(CLIENTS); k > 0; k--) {
            int length = snprintf(text, sizeof text, "%c question %d", (char)('a' + (i + (int)k) % 26), i);
            kernel_call(SYS_write, server.clients[below(CLIENTS)], (long)text, length, 0, 0, 0);
        }
        turn(&server);
    }
    for (int i = 0; i < CLIENTS; i++) {
        char all[4096];
        long got = kernel_call(SYS_read, server.clients[i], (long)all, sizeof all, 0, 0, 0);
        told_bytes("a client got", all, got > 0 ? (size_t)got : 0);
        kernel_call(SYS_close, server.clients[i], 0, 0, 0, 0, 0);
    }
    for (unsigned i = 0; i < server.connected; i++)
        close(server.connections[i]);
    int others[] = {server.epoll,   server.listener,    server.wake,       server.pipe[0],
                    server.pipe[1], server.upstream[0], server.upstream[1]};
    for (size_t i = 0; i < LENGTH(others); i++)
        close(others[i]);
}
