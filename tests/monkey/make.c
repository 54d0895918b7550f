/* Descriptors come to be. In a crowd none of them blocks. */
#include "ops.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* O_NONBLOCK, or the same by another name, most times. */
static int or_block(int flag) {
    return asked.threads > 0 || chance(80) ? flag : 0;
}

static int or_keep(int flag) {
    return chance(50) ? flag : 0;
}

void make_pipe(void) {
    int ends[2] = {-1, -1};
    unsigned in = origin_new(), out = origin_new();
    if (asked.threads == 0 && chance(30))
        DO(pipe, ends);
    else
        DO(pipe2, ends, or_block(O_NONBLOCK) | or_keep(O_CLOEXEC));
    slot_keep(ends[0], PIPE_IN, in, out);
    slot_keep(ends[1], PIPE_OUT, out, in);
}

static void make_pair_of(int type, int kind) {
    int ends[2] = {-1, -1};
    unsigned one = origin_new(), other = origin_new();
    DO(socketpair, AF_UNIX, type | or_block(SOCK_NONBLOCK) | or_keep(SOCK_CLOEXEC), 0, ends);
    slot_keep(ends[0], kind, one, other);
    slot_keep(ends[1], kind, other, one);
}

void make_pair(void) {
    make_pair_of(chance(90) ? SOCK_STREAM : SOCK_SEQPACKET, UNIX);
}

/* --- sockets with addresses ---------------------------------------------------------------------------- */

static bool is_unix(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_UNIX;
}

/* To any free address: the kernel chooses. */
static void bind_somewhere(int fd, int family) {
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    if (family == AF_UNIX)
        DO(bind, fd, (struct sockaddr *)&local, sizeof local.sun_family);
    else
        DO(bind, fd, (struct sockaddr *)&internet, sizeof internet);
}

static struct slot *listener_of(int family) {
    int fd = (int)DO(socket, family, SOCK_STREAM | or_block(SOCK_NONBLOCK) | or_keep(SOCK_CLOEXEC), 0);
    if (fd < 0)
        return NULL;
    bind_somewhere(fd, family);
    DO(listen, fd, 64);
    return slot_keep(fd, LISTENER, origin_new(), 0);
}

void make_listener(void) {
    listener_of(chance(60) ? AF_UNIX : AF_INET);
}

/* A client of one of the listeners. What accept returns next is its other end, if it is the only one. */
void make_connection(void) {
    struct slot *listener = slot_pick(LISTENER);
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (listener == NULL || listener->kind != LISTENER)
        listener = listener_of(chance(60) ? AF_UNIX : AF_INET);
    if (listener == NULL)
        return;
    bool here = is_unix(listener->fd), pending = fd_ready(listener->fd, POLLIN);
    if (getsockname(listener->fd, (struct sockaddr *)&address, &size) != 0 || (pending && !here))
        return;
    int fd = (int)DO(socket, here ? AF_UNIX : AF_INET, SOCK_STREAM | or_block(SOCK_NONBLOCK), 0);
    if (fd < 0)
        return;
    long connected = DO(connect, fd, (struct sockaddr *)&address, size);
    if (connected == 0 || errno == EINPROGRESS)
        await(listener->fd, POLLIN);
    slot_keep(fd, here ? UNIX : TCP, origin_new(), 0);
}

static int port_of(int fd, int (*ask)(int, __SOCKADDR_ARG, socklen_t *)) {
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    return ask(fd, (struct sockaddr *)&address, &size) == 0 ? address.sin_port : -1;
}

/* Which of ours has connected? Gives it its peer. */
static unsigned introduce(int accepted, unsigned origin) {
    int port = port_of(accepted, getpeername);
    unsigned peer = 0;
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd >= 0 && slot->kind == TCP && port_of(slot->fd, getsockname) == port) {
            peer = slot->origin;
            slot->peer = origin;
        }
    return peer;
}

void accept_one(void) {
    int fd = pick_fd(LISTENER);
    if (fd_blocks(fd, POLLIN))
        return;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    bool asks = chance(50);
    struct sockaddr *from = asks ? (struct sockaddr *)&address : NULL;
    bool here = is_unix(fd);
    int accepted = chance(40) && asked.threads == 0
                       ? (int)DO(accept, fd, from, asks ? &size : NULL)
                       : (int)DO(accept4, fd, from, asks ? &size : NULL,
                                 or_block(SOCK_NONBLOCK) | or_keep(SOCK_CLOEXEC));
    if (accepted < 0)
        return;
    unsigned origin = origin_new();
    slot_keep(accepted, here ? UNIX : TCP, origin, here ? 0 : introduce(accepted, origin));
}

void make_datagrams(void) {
    if (chance(60)) {
        make_pair_of(SOCK_DGRAM, DATAGRAMS);
        return;
    }
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    int server = (int)DO(socket, AF_INET, SOCK_DGRAM | or_block(SOCK_NONBLOCK), 0);
    int client = (int)DO(socket, AF_INET, SOCK_DGRAM | or_block(SOCK_NONBLOCK), 0);
    unsigned one = origin_new(), other = origin_new();
    if (server >= 0 && client >= 0) {
        bind_somewhere(server, AF_INET);
        getsockname(server, (struct sockaddr *)&address, &size);
        if (chance(80))
            DO(connect, client, (struct sockaddr *)&address, sizeof address);
    }
    slot_keep(server, UDP, one, 0);
    slot_keep(client, UDP, other, one);
}

void misuse_socket(void) {
    struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    int fd = pick_fd(UNIX | DATAGRAMS | OTHER | LISTENER);
    switch (below(5)) {
    case 0:
        DO(socket, ONE_OF(AF_UNIX, AF_INET, -1), SOCK_RAW | SOCK_NONBLOCK, 255);
        break;
    case 1:
        DO(bind, fd, (struct sockaddr *)&nobody, sizeof nobody);
        break;
    case 2:
        DO(listen, fd, 5);
        break;
    case 3:
        DO(connect, fd, (struct sockaddr *)&nobody, sizeof nobody);
        break;
    default:
        noted("shutdown", shutdown(fd, SHUT_WR));
    }
}

/* --- the others ---------------------------------------------------------------------------------------- */

void make_eventfd(void) {
    int flags = EFD_NONBLOCK | or_keep(EFD_CLOEXEC) | (chance(30) ? EFD_SEMAPHORE : 0);
    slot_keep((int)DO(eventfd, below(4), flags), EVENTFD, origin_new(), 0);
}

void make_timerfd(void) {
    int flags = or_block(TFD_NONBLOCK) | or_keep(TFD_CLOEXEC);
    slot_keep((int)DO(timerfd_create, ONE_OF(CLOCK_MONOTONIC, CLOCK_REALTIME), flags), TIMERFD, origin_new(),
              0);
}

void make_epoll(void) {
    int fd = chance(30) ? (int)DO(epoll_create, 8) : (int)DO(epoll_create1, or_keep(EPOLL_CLOEXEC));
    slot_keep(fd, EPOLL, origin_new(), 0);
}

/* A file of this process alone, without a name. */
static int file_open(int way) {
    static _Atomic unsigned number;
    char name[64];
    int flags = O_RDWR | O_CREAT | O_TRUNC, fd = -1;
    snprintf(name, sizeof name, "monkey-%d-%u.dat", getpid(), number++);
    switch (way) {
    case 0:
        fd = (int)DO(open, name, flags, 0600);
        break;
    case 1:
        fd = (int)DO(open64, name, flags | O_CLOEXEC, 0600);
        break;
    case 2:
        fd = (int)DO(openat, AT_FDCWD, name, flags, 0600);
        break;
    case 3:
        fd = (int)DO(openat64, AT_FDCWD, name, flags, 0600);
        break;
    case 4:
        fd = (int)DO(creat, name, 0600);
        break;
    case 5:
        fd = (int)DO(creat64, name, 0600);
        break;
    case 6:
        strcpy(name, "monkey-XXXXXX");
        fd = (int)DO(mkstemp, name);
        break;
    case 7:
        strcpy(name, "monkey-XXXXXX");
        fd = (int)DO(mkstemp64, name);
        break;
    case 8:
        strcpy(name, "monkey-XXXXXX");
        fd = (int)DO(mkostemp, name, O_CLOEXEC);
        break;
    case 9:
        strcpy(name, "monkey-XXXXXX");
        fd = (int)DO(mkostemp64, name, 0);
        break;
    case 10:
        return (int)DO(memfd_create, "monkey", MFD_CLOEXEC);
    default:
        snprintf(name, sizeof name, "/monkey-%d-%u", getpid(), number++);
        fd = (int)DO(shm_open, name, flags, 0600);
        shm_unlink(name);
        return fd;
    }
    unlink(name);
    return fd;
}

void make_file(void) {
    char name[64];
    if (chance(80)) {
        slot_keep(file_open((int)below(12)), DATA, origin_new(), 0);
        return;
    }
    snprintf(name, sizeof name, "monkey-%d-%u.log", getpid(), origin_new());
    slot_keep((int)DO(open, name, O_WRONLY | O_CREAT | O_APPEND, 0600), LOG, origin_new(), 0);
    unlink(name);
}

void make_other(void) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    int fd = -1, kind = OTHER;
    switch (below(10)) {
    case 0:
        fd = (int)DO(open, "/dev/null", O_RDWR);
        break;
    case 1:
        fd = (int)DO(__open_2, "/dev/null", O_RDWR);
        break;
    case 2:
        fd = (int)DO(__open64_2, "/dev/zero", O_RDONLY);
        break;
    case 3:
        fd = (int)DO(__openat_2, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
        break;
    case 4:
        fd = (int)DO(__openat64_2, AT_FDCWD, "/nonexistent", O_RDWR);
        break;
    case 5:
        fd = (int)DO(inotify_init);
        break;
    case 6:
        fd = (int)DO(inotify_init1, IN_NONBLOCK);
        break;
    case 7:
        fd = (int)DO(posix_openpt, O_RDWR | O_NOCTTY | O_NONBLOCK);
        break;
    default:
        fd = (int)DO(signalfd, -1, &mask, or_block(SFD_NONBLOCK) | or_keep(SFD_CLOEXEC));
        kind = SIGNALFD;
    }
    slot_keep(fd, kind, origin_new(), 0);
}
