/* What `ctxshim ps` looks at. Says "ready" when it stands as its mode says, and then stays so:
 *
 * - still: five threads: one in no context, one in scopes (a long name, one with an escape sequence), one
 * that read a request from a connection, two that were handed work by the main one: over an eventfd, and by
 * the event of a timer;
 * - doubt: one thread that took a wake-up of two;
 * - churn: four threads that push and pop as fast as they can: thread N never has anything but names of its
 *   own, all letters of one name alike, none deeper than its number of letters says. */
#include <ctxshim.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_barrier_t ready;

static void stay(void) {
    pthread_barrier_wait(&ready);
    while (1)
        pause();
}

static void *idler(void *unused) {
    prctl(PR_SET_NAME, "idler");
    stay();
    return unused;
}

static void *scoped(void *unused) {
    prctl(PR_SET_NAME, "scoped");
    ctxshim_push("Main");
    ctxshim_push("an operation of more than twenty-four bytes");
    ctxshim_push("\033[31mred\n");
    stay();
    return unused;
}

static int timer, loop;

/* What the main thread armed. */
static void *waiter(void *unused) {
    struct epoll_event event;
    prctl(PR_SET_NAME, "waiter");
    if (epoll_wait(loop, &event, 1, -1) == 1)
        stay();
    return unused;
}

static void arm(void) {
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    CTXSHIM_SCOPE("armed");
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    loop = epoll_create1(0);
    epoll_ctl(loop, EPOLL_CTL_ADD, timer, &event);
    timerfd_settime(timer, 0, &soon, NULL);
}

/* The client's side goes past the shim. */
static void *server(void *unused) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address.sun_family;
    char byte;
    prctl(PR_SET_NAME, "server");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, size);
    listen(listener, 1);
    size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    long client = syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    syscall(SYS_connect, client, &address, size);
    syscall(SYS_write, client, "x", 1);
    if (read(accept(listener, NULL, NULL), &byte, 1) == 1)
        stay();
    return unused;
}

static int handed;

static void *worker(void *unused) {
    uint64_t value;
    prctl(PR_SET_NAME, "worker");
    if (eventfd_read(handed, &value) == 0)
        stay();
    return unused;
}

static void still(void) {
    static void *(*const work[])(void *) = {idler, scoped, server, worker, waiter};
    pthread_t thread;
    pthread_barrier_init(&ready, NULL, 6);
    handed = eventfd(0, 0);
    arm();
    for (int i = 0; i < 5; i++)
        pthread_create(&thread, NULL, work[i], NULL);
    ctxshim_scope scope = ctxshim_push("handed over");
    eventfd_write(handed, 1);
    ctxshim_pop(&scope);
    pthread_barrier_wait(&ready);
}

static void doubt(void) {
    static const char *const names[] = {"one", "two"};
    int fd = eventfd(0, 0);
    uint64_t value;
    for (int i = 0; i < 2; i++) {
        CTXSHIM_SCOPE(names[i]);
        eventfd_write(fd, 1);
    }
    eventfd_read(fd, &value);
}

enum { CHURNERS = 4, DEEPEST = 40 };

static void *churner(void *number) {
    char name[DEEPEST + 1], letter = (char)('a' + (intptr_t)number);
    ctxshim_scope scopes[DEEPEST];
    prctl(PR_SET_NAME, (char[]){'c', 'h', 'u', 'r', 'n', letter, '\0'});
    while (1) {
        for (int depth = 0; depth < DEEPEST; depth++) {
            memset(name, letter, (size_t)depth + 1);
            name[depth + 1] = '\0';
            scopes[depth] = ctxshim_push(name);
        }
        for (int depth = DEEPEST; depth-- > 0;)
            ctxshim_pop(&scopes[depth]);
    }
    return NULL;
}

static void churn(void) {
    pthread_t thread;
    for (intptr_t i = 0; i < CHURNERS; i++)
        pthread_create(&thread, NULL, churner, (void *)i);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "still") == 0)
        still();
    else if (strcmp(mode, "doubt") == 0)
        doubt();
    else if (strcmp(mode, "churn") == 0)
        churn();
    puts("ready");
    fflush(stdout);
    while (1)
        pause();
}
