/* Waits: epoll, poll, select, each by all its names.
 *
 * What is ready is asked of the kernel first, so that no wait goes on for long. An exact loop gets its events
 * one a wait, and that is no difference that counts: unless single waits count (--whole), an epoll is waited
 * for until each event had its turn, and what came is told in order of the programs' data. */
#include "ops.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

enum { EVENTS = 16, ROUNDS = 60, CAME = 64 };

/* --- epoll --------------------------------------------------------------------------------------------- */

void epoll_register(void) {
    static _Atomic uint32_t number;
    int epoll = pick_fd(EPOLL), fd = pick_fd(chance(90) ? ANY & ~EPOLL : EPOLL);
    uint32_t events =
        (uint32_t)ONE_OF(EPOLLIN, EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLRDHUP, 0);
    events |=
        (uint32_t)ONE_OF(0, 0, 0, EPOLLET, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT, EPOLLEXCLUSIVE);
    /* Data that no other registration has, or that some share. */
    uint64_t data = chance(80) ? (uint64_t)++number << 32 | (uint32_t)fd : 7;
    struct epoll_event event = {events, {.u64 = data}};
    int operation = (int)ONE_OF(EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, 9);
    DO(epoll_ctl, epoll, operation, fd, chance(2) ? NULL : &event);
}

struct came {
    struct epoll_event events[CAME];
    size_t count;
};

static void came_add(struct came *came, const struct epoll_event *event) {
    for (size_t i = 0; i < came->count; i++)
        if (came->events[i].data.u64 == event->data.u64 && came->events[i].events == event->events)
            return;
    if (came->count < CAME)
        came->events[came->count++] = *event;
}

static int by_data(const void *left, const void *right) {
    const struct epoll_event *one = left, *other = right;
    if (one->data.u64 != other->data.u64)
        return one->data.u64 < other->data.u64 ? -1 : 1;
    return (one->events > other->events) - (one->events < other->events);
}

static void came_tell(struct came *came) {
    qsort(came->events, came->count, sizeof *came->events, by_data);
    for (size_t i = 0; i < came->count; i++) {
        noted("event of", (long)came->events[i].data.u64);
        noted("events", came->events[i].events);
    }
}

static int wait_once(int epoll, struct epoll_event *events, int most, int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    sigset_t none;
    sigemptyset(&none);
    errno = UNTOUCHED;
    switch (below(3)) {
    case 0:
        hook_used(HOOK_epoll_wait);
        return epoll_wait(epoll, events, most, milliseconds);
    case 1:
        hook_used(HOOK_epoll_pwait);
        return epoll_pwait(epoll, events, most, milliseconds, &none);
    default:
        hook_used(HOOK_epoll_pwait2);
        return epoll_pwait2(epoll, events, most, &time, chance(50) ? &none : NULL);
    }
}

void epoll_waits(void) {
    int epoll = pick_fd(EPOLL), most = (int)ONE_OF(1, 2, EVENTS, EVENTS, EVENTS);
    struct epoll_event events[EVENTS];
    struct came came = {.count = 0};
    errno = UNTOUCHED;
    /* Nothing ready, or none of an epoll's. */
    if (!fd_ready(epoll, POLLIN)) {
        told("epoll with nothing",
             wait_once(epoll, events, (int)ONE_OF(0, 1, EVENTS), (int)ONE_OF(0, 0, 1, 2)));
        return;
    }
    for (int round = 0; round < (asked.whole ? 1 : ROUNDS) && fd_ready(epoll, POLLIN); round++) {
        int count = wait_once(epoll, events, most,
                              round == 0          ? (int)ONE_OF(0, 1000, -1)
                              : asked.threads > 0 ? 1
                                                  : 1000);
        for (int i = 0; i < count; i++)
            came_add(&came, &events[i]);
        if (count < 0 || asked.whole)
            told("epoll", count);
        if (count < 0 || asked.threads > 0)
            break;
    }
    came_tell(&came);
}

/* --- poll and select ------------------------------------------------------------------------------------ */

static int timeout_of(bool ready) {
    return ready && asked.threads == 0 ? (int)ONE_OF(0, 1000, -1) : (int)ONE_OF(0, 0, 1, 2);
}

void poll_waits(void) {
    struct pollfd fds[EVENTS], copies[EVENTS];
    nfds_t count = below(EVENTS);
    for (nfds_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){pick_fd(ANY),
                                 (short)ONE_OF(POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT, POLLRDHUP, 0), 0};
    memcpy(copies, fds, sizeof *fds * count);
    bool ready = kernel_call(SYS_poll, (long)copies, (long)count, 0, 0, 0, 0) > 0;
    int milliseconds = timeout_of(ready);
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    const struct timespec *limit = milliseconds < 0 ? NULL : &time;
    long result;
    switch (below(4)) {
    case 0:
        result = DO(__poll_chk, fds, count, milliseconds, sizeof fds);
        break;
    case 1:
        result = DO(ppoll, fds, count, limit, NULL);
        break;
    case 2:
        result = DO(__ppoll_chk, fds, count, limit, NULL, sizeof fds);
        break;
    default:
        result = DO(poll, fds, count, milliseconds);
    }
    for (nfds_t i = 0; result > 0 && i < count; i++)
        noted("revents", fds[i].revents);
}

void select_waits(void) {
    fd_set sets[3];
    int most = -1;
    for (int i = 0; i < 3; i++)
        FD_ZERO(&sets[i]);
    for (unsigned i = below(8); i > 0; i--) {
        int fd = pick_fd(ANY);
        if (fd >= 0 && fd < FD_SETSIZE)
            FD_SET(fd, &sets[below(3)]);
        most = fd > most && fd < FD_SETSIZE ? fd : most;
    }
    fd_set *reads = &sets[0], *writes = &sets[1], *errors = chance(50) ? &sets[2] : NULL;
    fd_set copies[3];
    memcpy(copies, sets, sizeof sets);
    struct timeval now = {0, 0};
    bool ready = kernel_call(SYS_select, most + 1, (long)&copies[0], (long)&copies[1],
                             errors != NULL ? (long)&copies[2] : 0, (long)&now, 0) > 0;
    int milliseconds = timeout_of(ready);
    struct timeval limit = {milliseconds / 1000, milliseconds % 1000 * 1000L};
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    long result = chance(50)
                      ? DO(select, most + 1, reads, writes, errors, milliseconds < 0 ? NULL : &limit)
                      : DO(pselect, most + 1, reads, writes, errors, milliseconds < 0 ? NULL : &time, NULL);
    for (int i = 0; result > 0 && i < (errors != NULL ? 3 : 2); i++)
        told_bytes("set", &sets[i], sizeof sets[i]);
}

/* --- a read with a time limit, in a function of its own ---------------------------------------------------
 */

__attribute__((noinline)) static long read_in_time(int fd, char *buffer) {
    struct pollfd one = {fd, POLLIN, 0};
    if (DO(poll, &one, 1, timeout_of(fd_ready(fd, POLLIN))) != 1 || fd_blocks(fd, POLLIN))
        return -1;
    long got = DO(read, fd, buffer, BUFFER_SIZE);
    if (chance(30))
        count_eventfd();
    else if (chance(30))
        step(here_where);
    return got;
}

void timed_read(void) {
    int fd = pick_fd(STREAMS | PIPE_IN);
    char *buffer = pick_buffer();
    long got = read_in_time(fd, buffer);
    if (got > 0)
        told_bytes("came", buffer, (size_t)got);
    for (unsigned i = below(3); i > 0; i--)
        step(here_where);
    if (chance(70) && may_write(fd)) {
        DO(write, fd, "in time\n", 8);
        has_written(fd);
    }
}
