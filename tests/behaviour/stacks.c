/* Backtraces (stacks=1): nobody notices them. H5: no descriptor is owned, none of the program's touched. H13:
 * stacks are looked at while other threads load and unload libraries. H12: errno. */
#include "case.h"

#include <dlfcn.h>

static void deep(int levels) { /* NOLINT(misc-no-recursion): that is what it is for */
    if (levels > 0) {
        deep(levels - 1);
        atomic_signal_fence(memory_order_seq_cst); /* no tail call */
        return;
    }
    ctxshim_scope scope = ctxshim_push("deep");
    EXPECT(ctxshim_pop(&scope) == 0);
}

/* The lowest number that is free tells that nothing was opened; what is then opened there stays the
 * program's. */
CASE_WITH("stacks=1", H5, stacks_need_no_descriptor) {
    int before = (int)kernel_call(SYS_dup, 0, 0, 0, 0, 0, 0);
    raw_close(before);
    for (int i = 0; i < 50; i++)
        deep(i);
    int pipes[2];
    REQUIRE(kernel_call(SYS_pipe2, (long)pipes, O_NONBLOCK, 0, 0, 0, 0) == 0);
    EXPECT(pipes[0] == before);
    kernel_call(SYS_write, pipes[1], (long)"x", 1, 0, 0, 0);
    for (int i = 0; i < 50; i++)
        deep(i);
    char bytes[8];
    EXPECT(kernel_call(SYS_read, pipes[0], (long)bytes, sizeof bytes, 0, 0, 0) == 1);
}

CASE_WITH("stacks=1", H12, stacks_leave_errno_alone) {
    errno = 4711;
    deep(10);
    EXPECT(errno == 4711);
}

static _Atomic bool loading;

static void *load(void *unused) {
    while (atomic_load(&loading)) {
        void *library = dlopen("libutil.so.1", RTLD_NOW);
        void *other = dlopen("libcriterion.so.3", RTLD_LAZY);
        if (library != NULL)
            dlclose(library);
        if (other != NULL)
            dlclose(other);
    }
    return unused;
}

CASE_WITH("stacks=1", H13, stacks_while_libraries_come_and_go) {
    enum { LOADERS = 3, LOOKS = 1000 };
    pthread_t loaders[LOADERS];
    atomic_store(&loading, true);
    for (int i = 0; i < LOADERS; i++)
        REQUIRE(pthread_create(&loaders[i], NULL, load, NULL) == 0);
    for (int i = 0; i < LOOKS; i++)
        deep(i % 20);
    atomic_store(&loading, false);
    for (int i = 0; i < LOADERS; i++)
        pthread_join(loaders[i], NULL);
}

static _Atomic int handled;

static void push_in_handler(int unused) {
    (void)unused;
    deep(3);
    atomic_fetch_add(&handled, 1);
}

/* A handler that looks at the stack while the stack is being looked at. */
CASE_WITH("stacks=1", H19, stacks_in_handlers) {
    struct sigaction action = {.sa_handler = push_in_handler, .sa_flags = SA_RESTART};
    struct itimerspec every = {{0, 500000}, {0, 500000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    REQUIRE(timer_settime(timer, 0, &every, NULL) == 0);
    while (atomic_load(&handled) < 500)
        deep(15);
    signal(SIGUSR1, SIG_IGN);
}
