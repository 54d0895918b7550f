/* The descriptors that operations work on, and what the kernel knows of them: see monkey.h.
 *
 * In a crowd several threads use and close the same ones at a time, and numbers are taken again meanwhile:
 * that is a program's own fault, but the shim has to live with it. */
#include "monkey.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <time.h>

struct slot slots[SLOTS];
static _Atomic unsigned origins;

enum { BAD_FD = 777, AWAIT_TIMES = 2000, UNREAD_AT_MOST = 30000, TAKEN = -2 };

void slots_begin(void) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        slot->fd = -1;
}

unsigned origin_new(void) {
    return ++origins;
}

/* Nobody else's. */
static bool take(struct slot *slot) {
    int empty = -1;
    return atomic_compare_exchange_strong(&slot->fd, &empty, TAKEN);
}

static struct slot *slot_free(void) {
    for (;;) {
        unsigned first = below(SLOTS);
        for (unsigned i = 0; i < SLOTS; i++)
            if (take(&slots[(first + i) % SLOTS]))
                return &slots[(first + i) % SLOTS];
        slot_close(&slots[first]);
    }
}

struct slot *slot_keep(int fd, int kind, unsigned origin, unsigned peer) {
    if (fd < 0)
        return NULL;
    struct slot *slot = slot_free();
    if (kind == TCP) /* what is written is sent */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    slot->kind = kind;
    slot->origin = origin;
    slot->peer = peer;
    slot->fd = fd;
    return slot;
}

struct slot *slot_pick(int kinds) {
    if (chance(4))
        kinds = ANY;
    if (chance(1))
        return NULL;
    unsigned first = below(SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[(first + i) % SLOTS];
        if (slot->fd >= 0 && (slot->kind & kinds) != 0)
            return slot;
    }
    return NULL;
}

int slot_fd(const struct slot *slot) {
    int fd = slot != NULL ? slot->fd : -1;
    return fd >= 0 ? fd : (int)ONE_OF(-1, BAD_FD);
}

int pick_fd(int kinds) {
    return slot_fd(slot_pick(kinds));
}

/* A connection that is closed tells its peer, through the network. */
static void peer_hears(unsigned origin, unsigned peer) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd >= 0 && slot->origin == origin)
            return;
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd >= 0 && peer != 0 && slot->origin == peer && slot->kind == TCP)
            for (int i = 0; i < 50 && !fd_ready(slot->fd, POLLRDHUP); i++)
                kernel_call(SYS_nanosleep, (long)&(struct timespec){0, 1000000}, 0, 0, 0, 0, 0);
}

void slots_forget(int first, int last) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd >= first && slot->fd <= last) {
            slot->fd = -1;
            if (slot->kind == TCP && asked.threads == 0)
                peer_hears(slot->origin, slot->peer);
        }
}

void slot_close(struct slot *slot) {
    int fd = slot->fd;
    if (fd < 0 || !atomic_compare_exchange_strong(&slot->fd, &fd, -1))
        return;
    DO(close, fd);
    if (slot->kind == TCP && asked.threads == 0)
        peer_hears(slot->origin, slot->peer);
}

void slots_close_all(void) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        slot_close(slot);
    for (int fd = 3; fd < LOG_FD && asked.threads > 0; fd++) /* what two have kept in one place */
        close(fd);
}

/* --- asking the kernel ------------------------------------------------------------------------------- */

bool fd_ready(int fd, short events) {
    struct pollfd polled = {fd, events, 0};
    return kernel_call(SYS_poll, (long)&polled, 1, 0, 0, 0, 0) == 1;
}

bool fd_blocks(int fd, short events) {
    long flags = kernel_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
    return flags >= 0 && !(flags & O_NONBLOCK) && !fd_ready(fd, events);
}

bool fd_never_blocks(int fd) {
    long flags = kernel_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
    return flags < 0 || (flags & O_NONBLOCK);
}

bool await(int fd, short events) {
    for (int i = 0; i < AWAIT_TIMES && !fd_ready(fd, events); i++)
        kernel_call(SYS_nanosleep, (long)&(struct timespec){0, 200000}, 0, 0, 0, 0, 0);
    return fd_ready(fd, events);
}

/* Struct tcp_info is as old as libc's headers: these two came later, and lie behind it in the kernel's. */
struct tcp_bytes {
    struct tcp_info info;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
    uint32_t delivered, delivered_ce;
    uint64_t bytes_sent, bytes_retrans;
};

static bool tcp_bytes(int fd, struct tcp_bytes *bytes) {
    socklen_t size = sizeof *bytes;
    return kernel_call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, (long)bytes, (long)&size, 0) == 0 &&
           size == sizeof *bytes;
}

/* Not for one whose other end is gone. */
static bool has_arrived(int from, int to) {
    struct tcp_bytes sent, got;
    if (!tcp_bytes(from, &sent) || !tcp_bytes(to, &got))
        return true;
    return sent.info.tcpi_state != TCP_ESTABLISHED || got.info.tcpi_state != TCP_ESTABLISHED ||
           (sent.notsent_bytes == 0 && sent.bytes_sent - sent.bytes_retrans <= got.bytes_received);
}

void network_settle(void) {
    if (asked.threads > 0)
        return;
    for (struct slot *from = slots; from < slots + SLOTS; from++)
        for (struct slot *to = slots; from->fd >= 0 && from->kind == TCP && to < slots + SLOTS; to++)
            if (to->fd >= 0 && to->origin == from->peer)
                for (int i = 0; i < AWAIT_TIMES && !has_arrived(from->fd, to->fd); i++)
                    kernel_call(SYS_nanosleep, (long)&(struct timespec){0, 200000}, 0, 0, 0, 0, 0);
}

struct slot *slot_of(int fd) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd == fd && fd >= 0)
            return slot;
    return NULL;
}

struct slot *slot_of_origin(unsigned origin) {
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        if (slot->fd >= 0 && slot->origin == origin && origin != 0)
            return slot;
    return NULL;
}

bool may_write(int fd) {
    struct slot *slot = slot_of(fd), *peer = slot != NULL ? slot_of_origin(slot->peer) : NULL;
    int unread = 0;
    if (asked.threads > 0 || slot == NULL)
        return true;
    if (fd_blocks(fd, POLLOUT))
        return false;
    if (slot->kind == UDP)
        return peer != NULL && !fd_ready(peer->fd, POLLIN);
    if (slot->kind != TCP)
        return true;
    if (peer == NULL)
        return fd_ready(fd, POLLRDHUP);
    kernel_call(SYS_ioctl, peer->fd, SIOCINQ, (long)&unread, 0, 0, 0);
    return unread < UNREAD_AT_MOST;
}

void has_written(int fd) {
    struct slot *slot = slot_of(fd), *peer = slot != NULL ? slot_of_origin(slot->peer) : NULL;
    int saved = errno;
    if (asked.threads > 0 || slot == NULL || !(slot->kind & (UDP | TCP)))
        return;
    if (peer != NULL && slot->kind == UDP)
        await(peer->fd, POLLIN);
    for (int i = 0; peer == NULL && i < 50 && !fd_ready(fd, POLLERR); i++)
        kernel_call(SYS_nanosleep, (long)&(struct timespec){0, 1000000}, 0, 0, 0, 0, 0);
    network_settle();
    errno = saved;
}

static _Thread_local char buffers[4][BUFFER_SIZE];

char *pick_buffer(void) {
    return buffers[below(LENGTH(buffers))];
}

char *fill_buffer(size_t size) {
    static _Atomic unsigned number;
    char *buffer = pick_buffer();
    unsigned mine = number++;
    for (size_t i = 0; i < size && i < BUFFER_SIZE; i++)
        buffer[i] = (char)('a' + (mine + i * (mine + 1)) % 26);
    return buffer;
}
