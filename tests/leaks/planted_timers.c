/* Timers that go on: see planted.h. */
#include "planted.h"

#include "../../ctxstore/kernel.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

static const struct itimerspec often = {{0, 5000000}, {0, 5000000}}, rarely = {{1000, 0}, {1000, 0}},
                               once = {{0, 0}, {1000, 0}}, never = {{0, 0}, {0, 0}};

static void timer_read(int timer) {
    uint64_t fired;
    need(read(timer, &fired, sizeof fired) == sizeof fired, "the timer");
}

void timer_repeats(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_repeats */
    if (!leak)
        timerfd_settime(timer, 0, &never, NULL);
    finish(&served);
}

void timer_repeats_after_firing(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &often, NULL); /* HERE timer_repeats_after_firing */
    finish(&served);
    timer_read(timer);
    timer_read(timer);
    if (!leak)
        close(timer);
}

void timer_in_epoll(bool leak) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    event.data.fd = timer;
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    struct served served = serve();
    timerfd_settime(timer, 0, &often, NULL); /* HERE timer_in_epoll */
    finish(&served);
    need(epoll_wait(epoll, &event, 1, -1) == 1, "epoll");
    timer_read(timer);
    if (!leak)
        timerfd_settime(timer, 0, &never, NULL);
}

void timer_in_poll(bool leak) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct served served = serve();
    timerfd_settime(timer, 0, &often, NULL); /* HERE timer_in_poll */
    finish(&served);
    need(poll(&(struct pollfd){timer, POLLIN, 0}, 1, -1) == 1, "poll");
    timer_read(timer);
    if (!leak)
        close(timer);
}

void timer_once(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &once, NULL); /* HERE timer_once */
    finish(&served);
    if (!leak)
        close(timer);
}

/* The connection stays, and its next request ends the first. */
void timer_of_earlier_request(bool leak) {
    char byte[8];
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_of_earlier_request */
    answer(&served);
    client_ask(served.client);
    need(read(served.connection, byte, sizeof byte) == 3, "read");
    if (!leak)
        timerfd_settime(timer, 0, &never, NULL);
    finish(&served);
}

void timer_by_copy(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0), copy = dup(timer);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_by_copy */
    close(timer);
    finish(&served);
    if (!leak)
        close(copy);
}

/* A datagram's request is over when it is answered. */
void timer_of_datagram(bool leak) {
    char byte[8];
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t size = sizeof own;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    int client = (int)kernel_call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
    need(bind(fd, (struct sockaddr *)&own, size) == 0 && getsockname(fd, (struct sockaddr *)&own, &size) == 0,
         "bind");
    kernel_call(SYS_sendto, client, (long)"ask", 3, 0, (long)&own, size);
    need(recvfrom(fd, byte, sizeof byte, 0, (struct sockaddr *)&from, &size) == 3, "ask");
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_of_datagram */
    need(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, size) == 6, "answer");
    if (!leak)
        close(timer);
}

static void *arm_in_thread(void *timer) {
    timerfd_settime(*(int *)timer, 0, &rarely, NULL); /* HERE timer_of_thread */
    return NULL;
}

void timer_of_thread(bool leak) {
    pthread_t thread;
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    pthread_create(&thread, NULL, arm_in_thread, &timer);
    pthread_join(thread, NULL);
    finish(&served);
    if (!leak)
        close(timer);
}

static ucontext_t main_context, coroutine;
static int coroutine_timer;
static void arm_in_coroutine(void) {
    timerfd_settime(coroutine_timer, 0, &rarely, NULL); /* HERE timer_of_coroutine */
}

void timer_of_coroutine(bool leak) {
    static char stack[65536];
    struct served served = serve();
    coroutine_timer = timerfd_create(CLOCK_MONOTONIC, 0);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    coroutine.uc_link = &main_context;
    makecontext(&coroutine, arm_in_coroutine, 0);
    swapcontext(&main_context, &coroutine);
    finish(&served);
    if (!leak)
        close(coroutine_timer);
}

void timer_of_fork(bool leak) {
    struct served served = serve();
    pid_t child = fork();
    if (child == 0) {
        int timer = timerfd_create(CLOCK_MONOTONIC, 0);
        timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_of_fork */
        finish(&served);
        if (!leak)
            close(timer);
        exit(0);
    }
    waitpid(child, NULL, 0);
    close(served.connection);
}

static void callback_of_timer(union sigval value) {
    (void)value;
}

void timer_of_posix(bool leak) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = callback_of_timer};
    timer_t timer;
    need(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
    struct served served = serve();
    timer_settime(timer, 0, &once, NULL); /* HERE timer_of_posix */
    finish(&served);
    if (!leak)
        timer_delete(timer);
}

/* The child has the timer, too; but its request was over before. */
void timer_before_fork(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_before_fork */
    finish(&served);
    poll(NULL, 0, 50);
    pid_t child = fork();
    if (child == 0)
        exit(0);
    waitpid(child, NULL, 0);
    if (!leak)
        close(timer);
}
