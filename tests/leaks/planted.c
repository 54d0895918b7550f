/* Programs that leak a context, each in one way, and their clean twins: `planted NAME leak|clean`. A line with
 * the comment HERE and a name is the one that the report has to name.
 *
 * They are small servers: the client's side goes through raw system calls, which the shim does not see. */
#include "../../ctxstore/kernel.h"

#include <ctxshim.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* --- a server and its client ------------------------------------------------------------------------ */

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener = -1;

static void need(bool held, const char *what) {
    if (held)
        return;
    fprintf(stderr, "planted: %s failed\n", what);
    exit(99);
}

static void server_listen(void) {
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &size) == 0,
         "listen");
}

static int client_connect(void) {
    int fd = (int)kernel_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
    need(kernel_call(SYS_connect, fd, (long)&address, sizeof address, 0, 0, 0) == 0, "connect");
    return fd;
}

static void client_ask(int client) {
    need(kernel_call(SYS_write, client, (long)"ask", 3, 0, 0, 0) == 3, "ask");
}

/* One connection with a request on it. */
struct served {
    int client, connection;
};

static struct served serve(void) {
    char byte[8];
    struct served served;
    if (listener < 0)
        server_listen();
    served.client = client_connect();
    served.connection = accept(listener, NULL, NULL);
    client_ask(served.client);
    need(read(served.connection, byte, sizeof byte) == 3, "read");
    return served;
}

static void answer(const struct served *served) {
    need(write(served->connection, "answer", 6) == 6, "answer");
}

/* Answered and closed: the request is over. */
static void finish(const struct served *served) {
    answer(served);
    close(served->connection);
    kernel_call(SYS_close, served->client, 0, 0, 0, 0, 0);
}

/* --- timers ------------------------------------------------------------------------------------------- */

static const struct itimerspec often = {{0, 5000000}, {0, 5000000}}, rarely = {{1000, 0}, {1000, 0}},
                               once = {{0, 0}, {1000, 0}}, never = {{0, 0}, {0, 0}};

static void timer_read(int timer) {
    uint64_t fired;
    need(read(timer, &fired, sizeof fired) == sizeof fired, "the timer");
}

static void timer_repeats(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_repeats */
    if (!leak)
        timerfd_settime(timer, 0, &never, NULL);
    finish(&served);
}

static void timer_repeats_after_firing(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &often, NULL); /* HERE timer_repeats_after_firing */
    finish(&served);
    timer_read(timer);
    timer_read(timer);
    if (!leak)
        close(timer);
}

static void timer_in_epoll(bool leak) {
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

static void timer_in_poll(bool leak) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct served served = serve();
    timerfd_settime(timer, 0, &often, NULL); /* HERE timer_in_poll */
    finish(&served);
    need(poll(&(struct pollfd){timer, POLLIN, 0}, 1, -1) == 1, "poll");
    timer_read(timer);
    if (!leak)
        close(timer);
}

static void timer_once(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &once, NULL); /* HERE timer_once */
    finish(&served);
    if (!leak)
        close(timer);
}

/* The connection stays, and its next request ends the first. */
static void timer_of_earlier_request(bool leak) {
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

static void timer_by_copy(bool leak) {
    struct served served = serve();
    int timer = timerfd_create(CLOCK_MONOTONIC, 0), copy = dup(timer);
    timerfd_settime(timer, 0, &rarely, NULL); /* HERE timer_by_copy */
    close(timer);
    finish(&served);
    if (!leak)
        close(copy);
}

static void *arm_in_thread(void *timer) {
    timerfd_settime(*(int *)timer, 0, &rarely, NULL); /* HERE timer_of_thread */
    return NULL;
}

static void timer_of_thread(bool leak) {
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

static void timer_of_coroutine(bool leak) {
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

static void timer_of_fork(bool leak) {
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

/* --- pooled connections ------------------------------------------------------------------------------- */

static int backend_connect(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect"); /* HERE pool_connected */
    return fd;
}

static void pool_connected(bool leak) {
    struct served served = serve();
    int backend = backend_connect();
    finish(&served);
    if (!leak)
        close(backend);
}

static void pool_asked(bool leak) {
    struct served served = serve();
    int backend = backend_connect();
    need(write(backend, "ask", 3) == 3, "ask"); /* HERE pool_asked */
    finish(&served);
    if (!leak)
        close(backend);
}

static void pool_answered(bool leak) {
    char byte[8];
    struct served served = serve();
    int backend = backend_connect();
    int far = (int)kernel_call(SYS_accept, listener, 0, 0, 0, 0, 0);
    need(write(backend, "ask", 3) == 3, "ask"); /* HERE pool_answered */
    kernel_call(SYS_write, far, (long)"reply", 5, 0, 0, 0);
    need(read(backend, byte, sizeof byte) == 5, "reply");
    finish(&served);
    if (!leak)
        close(backend);
}

/* --- queues --------------------------------------------------------------------------------------------- */

static void eventfd_queued(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, 0);
    struct served served = serve();
    eventfd_write(wake, 1); /* HERE eventfd_queued */
    finish(&served);
    if (!leak)
        eventfd_read(wake, &value);
}

static void eventfd_semaphore(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, EFD_SEMAPHORE);
    struct served served = serve();
    eventfd_write(wake, 2); /* HERE eventfd_semaphore */
    finish(&served);
    eventfd_read(wake, &value);
    if (!leak)
        eventfd_read(wake, &value);
}

static void *wake_from_thread(void *wake) {
    uint64_t one = 1;
    need(write(*(int *)wake, &one, sizeof one) == sizeof one, "wake"); /* HERE eventfd_of_thread */
    return NULL;
}

static void eventfd_of_thread(bool leak) {
    pthread_t thread;
    int wake = eventfd(0, 0);
    struct served served = serve();
    pthread_create(&thread, NULL, wake_from_thread, &wake);
    pthread_join(thread, NULL);
    finish(&served);
    if (!leak)
        close(wake);
}

static void pipe_unread(bool leak) {
    char byte[8];
    int ends[2];
    need(pipe(ends) == 0, "pipe");
    struct served served = serve();
    need(write(ends[1], "job", 3) == 3, "job"); /* HERE pipe_unread */
    finish(&served);
    if (!leak)
        need(read(ends[0], byte, sizeof byte) == 3, "job");
}

static void socketpair_unread(bool leak) {
    char byte[8];
    int ends[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    struct served served = serve();
    need(send(ends[1], "job", 3, 0) == 3, "job"); /* HERE socketpair_unread */
    finish(&served);
    if (!leak)
        need(recv(ends[0], byte, sizeof byte, 0) == 3, "job");
}

/* --- registrations -------------------------------------------------------------------------------------- */

static void epoll_registered(bool leak) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), watch = inotify_init1(0);
    struct served served = serve();
    epoll_ctl(epoll, EPOLL_CTL_ADD, watch, &event); /* HERE epoll_registered */
    finish(&served);
    if (!leak)
        epoll_ctl(epoll, EPOLL_CTL_DEL, watch, NULL);
}

static void epoll_modified(bool leak) {
    struct epoll_event event = {.events = 0};
    int epoll = epoll_create1(0), watch = inotify_init1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, watch, &event);
    struct served served = serve();
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_MOD, watch, &event); /* HERE epoll_modified */
    finish(&served);
    if (!leak)
        close(watch);
}

/* --- threads -------------------------------------------------------------------------------------------- */

static _Atomic bool may_end;
static _Atomic bool started;
static void *linger(void *nothing) {
    started = true;
    while (!may_end)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    return nothing;
}
static int linger_c11(void *nothing) {
    linger(nothing);
    return 0;
}
static void wait_started(void) {
    while (!started)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static void thread_started(bool leak) {
    pthread_t thread;
    struct served served = serve();
    pthread_create(&thread, NULL, linger, NULL); /* HERE thread_started */
    wait_started();
    finish(&served);
    may_end = !leak;
    if (!leak)
        pthread_join(thread, NULL);
}

static void thread_of_c11(bool leak) {
    thrd_t thread;
    struct served served = serve();
    thrd_create(&thread, linger_c11, NULL); /* HERE thread_of_c11 */
    wait_started();
    finish(&served);
    may_end = !leak;
    if (!leak)
        thrd_join(thread, NULL);
}

static void thread_of_fork(bool leak) {
    struct served served = serve();
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, linger, NULL); /* HERE thread_of_fork */
        wait_started();
        finish(&served);
        may_end = !leak;
        if (!leak)
            pthread_join(thread, NULL);
        exit(0);
    }
    waitpid(child, NULL, 0);
    close(served.connection);
}

/* --- captures ------------------------------------------------------------------------------------------- */

static void capture_forgotten(bool leak) {
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture(); /* HERE capture_forgotten */
    finish(&served);
    if (!leak)
        ctxshim_release(context);
}

static void *capture_in_thread(void *context) {
    *(ctxshim_context **)context = ctxshim_capture(); /* HERE capture_of_thread */
    return NULL;
}

static void capture_of_thread(bool leak) {
    pthread_t thread;
    ctxshim_context *context = NULL;
    struct served served = serve();
    pthread_create(&thread, NULL, capture_in_thread, &context);
    pthread_join(thread, NULL);
    finish(&served);
    if (!leak)
        ctxshim_release(context);
}

static void capture_of_root(bool leak) {
    ctxshim_scope root = ctxshim_root("request");
    ctxshim_context *context = ctxshim_retain(ctxshim_capture()); /* HERE capture_of_root */
    ctxshim_release(context);
    ctxshim_pop(&root);
    if (!leak)
        ctxshim_release(context);
}

/* --- scopes --------------------------------------------------------------------------------------------- */

static void push_at_end(bool leak) {
    ctxshim_scope scope = ctxshim_push("Forgotten"); /* HERE push_at_end */
    if (!leak)
        ctxshim_pop(&scope);
}

static void *push_in_thread(void *leak) {
    ctxshim_scope scope = ctxshim_push("Forgotten"); /* HERE push_of_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    return NULL;
}

static void push_of_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_in_thread, &leak);
    pthread_join(thread, NULL);
}

static void *push_and_wait(void *leak) {
    ctxshim_scope scope = ctxshim_push("Cancelled"); /* HERE push_of_cancelled_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    started = true;
    while (true)
        pause();
    return NULL;
}

static void push_of_cancelled_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_and_wait, &leak);
    wait_started();
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

static NOINLINE void callback(int wake, bool leak) {
    eventfd_t value;
    eventfd_read(wake, &value);
    ctxshim_scope scope = ctxshim_push("Callback"); /* HERE push_in_epoll_callback */
    if (!leak)
        ctxshim_pop(&scope);
}

static void push_in_epoll_callback(bool leak) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), wake = eventfd(1, 0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event);
    for (int round = 0; round < 2; round++)
        if (epoll_wait(epoll, &event, 1, 0) == 1)
            callback(wake, leak);
    epoll_wait(epoll, &event, 1, 1);
}

static void push_in_eventfd_worker(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, EFD_SEMAPHORE);
    struct served served = serve();
    eventfd_write(wake, 2);
    finish(&served);
    for (int item = 0; item < 2; item++) {
        eventfd_read(wake, &value);
        ctxshim_scope scope = ctxshim_push("Item"); /* HERE push_in_eventfd_worker */
        if (!leak || item == 1)
            ctxshim_pop(&scope);
    }
}

static jmp_buf back;
static NOINLINE void jump_out(bool leak) {
    ctxshim_scope scope = ctxshim_push_block("Jumped over"); /* HERE push_jumped_over */
    if (!leak)
        ctxshim_pop(&scope);
    longjmp(back, 1);
}

static void push_jumped_over(bool leak) {
    if (setjmp(back) == 0)
        jump_out(leak);
    poll(NULL, 0, 1);
}

static void push_of_fork(bool leak) {
    pid_t child = fork();
    if (child == 0) {
        ctxshim_scope scope = ctxshim_push("Forked"); /* HERE push_of_fork */
        if (!leak)
            ctxshim_pop(&scope);
        exit(0);
    }
    waitpid(child, NULL, 0);
}

static void *attach_in_thread(void *leak) {
    ctxshim_scope scope = ctxshim_attach(NULL); /* HERE attach_of_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    return NULL;
}

static void attach_of_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, attach_in_thread, &leak);
    pthread_join(thread, NULL);
}

static void pop_out_of_order(bool leak) {
    ctxshim_scope outer = ctxshim_push("Outer");
    ctxshim_scope inner = ctxshim_push("Inner"); /* HERE pop_out_of_order */
    if (!leak)
        ctxshim_pop(&inner);
    ctxshim_pop(&outer);
}

static void *pop_in_thread(void *scope) {
    ctxshim_pop(scope);
    return NULL;
}

static void pop_by_other_thread(bool leak) {
    pthread_t thread;
    ctxshim_scope scope = ctxshim_attach(NULL); /* HERE pop_by_other_thread */
    pthread_create(&thread, NULL, leak ? pop_in_thread : linger, &scope);
    may_end = true;
    pthread_join(thread, NULL);
    ctxshim_pop(&scope);
}

/* --- ingress -------------------------------------------------------------------------------------------- */

static void accept_inside_attached(bool leak) {
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture();
    finish(&served);
    poll(NULL, 0, 1);
    ctxshim_scope scope = ctxshim_attach(context); /* HERE accept_inside_attached */
    if (!leak)
        ctxshim_pop(&scope);
    int client = client_connect(), connection = accept(listener, NULL, NULL);
    close(connection);
    kernel_call(SYS_close, client, 0, 0, 0, 0, 0);
    ctxshim_pop(&scope);
    ctxshim_release(context);
}

static void read_inside_attached(bool leak) {
    char byte[8];
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture();
    finish(&served);
    int client = client_connect(), connection = accept(listener, NULL, NULL);
    client_ask(client);
    ctxshim_scope scope = ctxshim_attach(context); /* HERE read_inside_attached */
    if (!leak)
        ctxshim_pop(&scope);
    need(read(connection, byte, sizeof byte) == 3, "read");
    ctxshim_pop(&scope);
    close(connection);
    ctxshim_release(context);
}

static void root_inside_root(bool leak) {
    ctxshim_scope roots[2];
    for (int request = 0; request < 2; request++) {
        roots[request] = ctxshim_root("request"); /* HERE root_inside_root */
        if (!leak)
            ctxshim_pop(&roots[request]);
    }
    ctxshim_pop(&roots[1]);
    ctxshim_pop(&roots[0]);
}

/* --- values --------------------------------------------------------------------------------------------- */

static void value_captured(bool leak) {
    ctxshim_key *key = ctxshim_key_create("user", free);
    ctxshim_scope root = ctxshim_root("request");
    ctxshim_set(key, malloc(8)); /* HERE value_captured */
    ctxshim_context *context = ctxshim_capture();
    ctxshim_pop(&root);
    if (!leak)
        ctxshim_release(context);
}

/* --- which ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*body)(bool leak);
} cases[] = {
#define LEAK(name, kind, api) {#name, name},
#include "cases.def"
#undef LEAK
};

static void *push_in_thread_that_ends(void *nothing) {
    ctxshim_push("Killed");
    return nothing;
}

/* Leaks, and goes on until it is killed. */
static void killed(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_in_thread_that_ends, NULL);
    while (true)
        pause();
}

int main(int argc, char **argv) {
    need(argc == 3, "planted NAME leak|clean");
    if (strcmp(argv[1], "killed") == 0)
        killed();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].body(strcmp(argv[2], "leak") == 0);
            return 0;
        }
    need(false, argv[1]);
}
