/* Storms: see storm.h. */
#include "storm.h"

#include <semaphore.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#define MUST(condition) (bad += !(condition))

static int loops_and_timers(void) {
    int bad = 0, epoll = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7}, got[4];
    uint64_t value = 0;
    MUST(epoll >= 0 && fd >= 0 && timer >= 0);
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    MUST(eventfd_write(fd, 3) == 0);
    MUST(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u64 == 7);
    MUST(read(fd, &value, sizeof value) == sizeof value && value == 3);
    MUST(eventfd_read(fd, &value) == -1 && errno == EAGAIN);
    MUST(timerfd_settime(timer, 0, &soon, NULL) == 0);
    event.data.u64 = 8;
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) == 0);
    MUST(epoll_pwait(epoll, got, 4, 1000, NULL) == 1 && got[0].data.u64 == 8);
    MUST(read(timer, &value, sizeof value) == sizeof value && value == 1);
    MUST(epoll_ctl(epoll, EPOLL_CTL_DEL, timer, NULL) == 0);
    MUST(close(timer) == 0 && close(fd) == 0 && close(epoll) == 0);
    return bad;
}

static int sockets(void) {
    int bad = 0, client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), listener = listen_somewhere();
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    char got[16];
    struct iovec parts[] = {{(char[]){'a'}, 1}, {(char[]){'b', 'c'}, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    MUST(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    MUST(connect(client, (struct sockaddr *)&address, size) == 0);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    MUST(server >= 0 && send(client, "question", 8, 0) == 8);
    MUST(recv(server, got, sizeof got, MSG_PEEK) == 8 && recv(server, got, 3, 0) == 3);
    MUST(read(server, got, sizeof got) == 5 && memcmp(got, "stion", 5) == 0);
    MUST(sendmsg(server, &message, 0) == 3 && writev(server, parts, 2) == 3);
    struct pollfd ready = {client, POLLIN, 0};
    MUST(poll(&ready, 1, 1000) == 1 && ready.revents == POLLIN);
    MUST(recv(client, got, sizeof got, 0) == 6 && memcmp(got, "abcabc", 6) == 0);
    MUST(close(server) == 0 && read(client, got, 1) == 0 && close(client) == 0 && close(listener) == 0);
    return bad;
}

static int descriptors(void) {
    int bad = 0, ends[2] = {-1, -1}, pair[2] = {-1, -1};
    char byte = 0;
    MUST(pipe2(ends, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    int copy = fcntl(ends[1], F_DUPFD_CLOEXEC, 3), other = dup(ends[0]);
    MUST(copy >= 0 && other >= 0 && write(copy, "x", 1) == 1 && read(other, &byte, 1) == 1 && byte == 'x');
    MUST(send(pair[0], "yz", 2, 0) == 2 && recv(pair[1], &byte, 1, MSG_TRUNC) == 2 && byte == 'y');
    MUST(dup3(pair[0], copy, O_CLOEXEC) == copy && write(copy, "w", 1) == 1);
    MUST(read(pair[1], &byte, 1) == 1 && byte == 'w');
    MUST(close(copy) == 0 && close(other) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    MUST(close(pair[0]) == 0 && close(pair[1]) == 0);
    FILE *stream = fopen("/dev/null", "we");
    MUST(stream != NULL && fprintf(stream, "%d\n", 5) == 2 && fputs("x", stream) >= 0);
    MUST(stream != NULL && fclose(stream) == 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Not by dprintf: glibc lists its stream, which lies on the stack, and a fork child inherits that list.
     */
    MUST(null >= 0 && write(null, "four", 4) == 4 && close(null) == 0);
    return bad;
}

struct handover {
    sem_t begun;
    mtx_t lock;
    cnd_t changed;
    bool done;
};

static int hand_over(void *argument) {
    struct handover *handover = argument;
    sem_post(&handover->begun);
    mtx_lock(&handover->lock);
    handover->done = true;
    cnd_signal(&handover->changed);
    mtx_unlock(&handover->lock);
    return 5;
}

static int threads(void) {
    int bad = 0, result = 0;
    struct handover handover = {.done = false};
    thrd_t thread;
    MUST(sem_init(&handover.begun, 0, 0) == 0 && mtx_init(&handover.lock, mtx_plain) == thrd_success);
    MUST(cnd_init(&handover.changed) == thrd_success);
    if (thrd_create(&thread, hand_over, &handover) != thrd_success)
        return bad + 1;
    while (sem_wait(&handover.begun) != 0)
        MUST(errno == EINTR);
    mtx_lock(&handover.lock);
    while (!handover.done)
        cnd_wait(&handover.changed, &handover.lock);
    mtx_unlock(&handover.lock);
    MUST(thrd_join(thread, &result) == thrd_success && result == 5);
    cnd_destroy(&handover.changed);
    mtx_destroy(&handover.lock);
    sem_destroy(&handover.begun);
    return bad;
}

static int scopes(void) {
    int bad = 0;
    char text[64];
    ctxshim_scope outer = ctxshim_push("outer"), inner = ctxshim_push("inner");
    ctxshim_context *captured = ctxshim_capture();
    ctxshim_stack(text, sizeof text);
    ctxshim_release(captured);
    MUST(ctxshim_pop(&inner) == 0 && ctxshim_pop(&outer) == 0);
    return bad;
}

int storm_once(void) {
    return scopes() + loops_and_timers() + sockets() + descriptors() + threads();
}

static void *storm(void *argument) {
    struct storms *storms = argument;
    while (!atomic_load(&storms->over)) {
        atomic_fetch_add(&storms->bad, storm_once());
        atomic_fetch_add(&storms->done, 1);
    }
    return NULL;
}

void storms_begin(struct storms *storms, int count) {
    storms->count = 0;
    atomic_store(&storms->over, false);
    atomic_store(&storms->done, 0);
    atomic_store(&storms->bad, 0);
    while (storms->count < count)
        REQUIRE(pthread_create(&storms->threads[storms->count++], NULL, storm, storms) == 0);
}

long storms_end(struct storms *storms) {
    atomic_store(&storms->over, true);
    for (int i = 0; i < storms->count; i++)
        pthread_join(storms->threads[i], NULL);
    return atomic_load(&storms->bad);
}

int storm_scale(int quick, int thorough) {
    return getenv("HAZARDS_THOROUGH") != NULL ? thorough : quick;
}
