/* Bytes come and go, by each call for one buffer or several; counts of eventfds, and timers. */
#include "ops.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

static size_t some_size(void) {
    return (size_t)ONE_OF(0, 1, 2, 7, 8, 8, 16, 100, 1000, 2000);
}

static void came(const char *buffer, long got, size_t size) {
    if (got > 0)
        told_bytes("came", buffer, (size_t)got < size ? (size_t)got : size);
}

/* Two parts of one buffer, the second of which may be empty. */
static void cut(struct iovec parts[2], char *buffer, size_t size) {
    size_t first = below((unsigned)size + 1);
    parts[0] = (struct iovec){buffer, first};
    parts[1] = (struct iovec){buffer + first, size - first};
}

void read_some(void) {
    int fd = pick_fd(READABLE | DATA);
    size_t size = some_size();
    char *buffer = pick_buffer();
    struct iovec parts[2];
    if (fd_blocks(fd, POLLIN))
        return;
    switch (below(4)) {
    case 0:
        cut(parts, buffer, size);
        came(buffer, DO(readv, fd, parts, ONE_OF(2, 2, 1, 0, -1)), size);
        break;
    case 1:
        came(buffer, DO(__read_chk, fd, buffer, size, BUFFER_SIZE), size);
        break;
    default:
        came(buffer, DO(read, fd, buffer, size), size);
    }
}

/* Something new, or what came in last into that buffer. */
static char *something(size_t size) {
    return chance(60) ? fill_buffer(size) : pick_buffer();
}

void write_some(void) {
    int fd = pick_fd(WRITABLE | DATA | LOG);
    size_t size = some_size();
    char *buffer = something(size);
    struct iovec parts[2];
    if (!may_write(fd))
        return;
    if (chance(70)) {
        DO(write, fd, buffer, size);
    } else {
        cut(parts, buffer, size);
        DO(writev, fd, parts, ONE_OF(2, 2, 1, 0, -1));
    }
    has_written(fd);
}

void receive_some(void) {
    int fd = pick_fd(STREAMS | DATAGRAMS | UDP);
    size_t size = some_size();
    char *buffer = pick_buffer();
    int flags = (int)ONE_OF(0, 0, MSG_PEEK, MSG_DONTWAIT, MSG_TRUNC, MSG_PEEK | MSG_TRUNC,
                            MSG_WAITALL | MSG_DONTWAIT);
    struct sockaddr_storage address;
    socklen_t address_size = sizeof address;
    bool asks = chance(50);
    struct sockaddr *from = asks ? (struct sockaddr *)&address : NULL;
    /* Of a TCP stream MSG_TRUNC throws away, and leaves the buffer as it is. */
    if (fd_blocks(fd, POLLIN) || ((flags & MSG_TRUNC) && slot_of(fd) != NULL && slot_of(fd)->kind == TCP))
        return;
    switch (below(4)) {
    case 0:
        came(buffer, DO(recv, fd, buffer, size, flags), size);
        break;
    case 1:
        came(buffer, DO(__recv_chk, fd, buffer, size, BUFFER_SIZE, flags), size);
        break;
    case 2:
        came(buffer, DO(recvfrom, fd, buffer, size, flags, from, asks ? &address_size : NULL), size);
        break;
    default:
        came(buffer,
             DO(__recvfrom_chk, fd, buffer, size, BUFFER_SIZE, flags, from, asks ? &address_size : NULL),
             size);
    }
}

void send_some(void) {
    struct slot *slot = slot_pick(STREAMS | DATAGRAMS | UDP);
    int fd = slot_fd(slot), flags = (int)ONE_OF(0, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_MORE | MSG_NOSIGNAL);
    size_t size = some_size();
    char *buffer = something(size);
    if (!may_write(fd))
        return;
    if (slot != NULL && slot->kind == TCP)
        flags &= ~MSG_MORE;
    struct slot *peer = slot != NULL && slot->kind == UDP ? slot_of_origin(slot->peer) : NULL;
    struct sockaddr_in address;
    socklen_t address_size = sizeof address;
    if (peer != NULL && getsockname(peer->fd, (struct sockaddr *)&address, &address_size) == 0 && chance(80))
        DO(sendto, fd, buffer, size, flags & ~MSG_MORE, (struct sockaddr *)&address, address_size);
    else if (chance(30))
        DO(sendto, fd, buffer, size, flags, NULL, 0);
    else
        DO(send, fd, buffer, size, flags);
    has_written(fd);
}

/* --- a client's question, and its answer -----------------------------------------------------------------
 */

/* One end asks, unseen by the shim or not; the other one reads it, and answers now or later. */
void ask_and_answer(void) {
    struct slot *client = slot_pick(STREAMS), *server = client != NULL ? slot_of_origin(client->peer) : NULL;
    char question[32], *buffer = pick_buffer();
    static _Atomic unsigned number;
    if (server == NULL || !may_write(client->fd))
        return;
    int length = snprintf(question, sizeof question, "question %u", number++);
    if (chance(70))
        noted("a question", kernel_call(SYS_write, client->fd, (long)question, length, 0, 0, 0) > 0);
    else
        DO(write, client->fd, question, (size_t)length);
    has_written(client->fd);
    if (chance(10) || fd_blocks(server->fd, POLLIN))
        return;
    came(buffer, DO(read, server->fd, buffer, BUFFER_SIZE), BUFFER_SIZE);
    if (chance(30))
        step(here_where);
    int fd = server->fd;
    if (chance(20) || !may_write(fd))
        return;
    DO(write, fd, "an answer\n", 10);
    has_written(fd);
    if (chance(60) && client->fd >= 0 && !fd_blocks(client->fd, POLLIN))
        came(buffer, DO(read, client->fd, buffer, BUFFER_SIZE), BUFFER_SIZE);
}

/* --- counters and timers ---------------------------------------------------------------------------------
 */

void count_eventfd(void) {
    int fd = pick_fd(EVENTFD);
    eventfd_t value = 0;
    if (!fd_never_blocks(fd))
        return;
    if (chance(50)) {
        DO(eventfd_write, fd, (eventfd_t)ONE_OF(1, 1, 1, 3, 0, -2));
    } else if (DO(eventfd_read, fd, &value) == 0) {
        noted("count", (long)value);
    }
}

/* One that runs out is waited for: when would be a matter of time. */
void arm_timerfd(void) {
    int fd = pick_fd(TIMERFD);
    struct itimerspec time = {.it_value.tv_nsec = ONE_OF(1, 1000, 300000, 0),
                              .it_interval.tv_sec = ONE_OF(0, 1000)};
    if (chance(20))
        time.it_value.tv_sec = 1000;
    long armed = DO(timerfd_settime, fd, (int)ONE_OF(0, 0, 0, TFD_TIMER_ABSTIME, 64), &time, NULL);
    if (armed == 0 && time.it_value.tv_sec == 0 && time.it_value.tv_nsec != 0)
        await(fd, POLLIN);
}

void bad_pointers(void) {
    void *volatile bad = (void *)8;
    int fd = pick_fd(STREAMS | PIPE_IN | PIPE_OUT | DATAGRAMS);
    if (!fd_never_blocks(fd) || !may_write(fd))
        return;
    switch (below(8)) {
    case 0:
        DO(read, fd, bad, 8);
        break;
    case 1:
        DO(write, fd, bad, 8);
        break;
    case 2:
        DO(writev, fd, bad, 2);
        break;
    case 3:
        DO(readv, fd, bad, 2);
        break;
    case 4:
        DO(recvmsg, fd, bad, 0);
        break;
    case 5:
        DO(sendmsg, fd, bad, 0);
        break;
    case 6:
        DO(pipe2, bad, 0);
        break;
    default:
        DO(connect, fd, bad, 16);
    }
    has_written(fd);
}
