/* H19, H22: signals that interrupt our own code, handlers that leave by a jump, and programs that live on
 * faults. */
#include "storm.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int self_pipe[2], handler_event;
static sem_t handler_semaphore;
static _Atomic long handled, handler_forks;

/* What POSIX lets a handler call, and programs do in one. */
static void handler_at_work(int number) {
    int kept = errno;
    char byte = 'x';
    (void)number;
    long count = atomic_fetch_add(&handled, 1);
    (void)!write(self_pipe[1], &byte, 1);
    while (read(self_pipe[0], &byte, 1) == 1)
        ;
    eventfd_write(handler_event, 1);
    sem_post(&handler_semaphore);
    close(open("/dev/null", O_RDONLY));
    close(dup(0));
    struct pollfd ready = {self_pipe[0], POLLIN, 0};
    poll(&ready, 1, 0);
    fcntl(self_pipe[0], F_GETFL);
    if (count % 100 == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(write(self_pipe[1], "y", 1) == 1 ? 0 : 1);
        int status = -1;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR)
            ;
        atomic_fetch_add(&handler_forks, status == 0);
    }
    errno = kept;
}

static timer_t ticking;

static void tick_at_1_khz(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &ticking) == 0);
    REQUIRE(timer_settime(ticking, 0, &every, NULL) == 0);
}

static bool go_on(int seconds) {
    static struct timespec end;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (end.tv_sec == 0)
        end = (struct timespec){now.tv_sec + seconds, now.tv_nsec};
    return now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec);
}

/* With SA_RESTART nothing of the storm fails but waits, which are asked again. */
HOST_CASE(H19, handlers_at_1_khz_in_a_storm) {
    REQUIRE(pipe2(self_pipe, O_NONBLOCK) == 0 && sem_init(&handler_semaphore, 0, 0) == 0);
    handler_event = eventfd(0, EFD_NONBLOCK);
    struct storms storms;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    tick_at_1_khz(handler_at_work, SA_RESTART);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    storms_begin(&storms, 3);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    int bytes[2];
    char got = 0;
    REQUIRE(pipe(bytes) == 0);
    for (long i = 0; go_on(storm_scale(2, 10)); i++) {
        char byte = (char)i;
        int fd = eventfd((unsigned)(i & 0xff), EFD_NONBLOCK);
        uint64_t value = 0;
        EXPECT(write(bytes[1], &byte, 1) == 1 && read(bytes[0], &got, 1) == 1 && got == byte);
        EXPECT((i & 0xff) == 0 || (read(fd, &value, 8) == 8 && value == (uint64_t)(i & 0xff)));
        EXPECT(close(fd) == 0);
    }
    timer_delete(ticking);
    EXPECT(storms_end(&storms) == 0);
    EXPECT(atomic_load(&handled) > 50);
    EXPECT(atomic_load(&handler_forks) == (atomic_load(&handled) + 99) / 100);
}

static _Atomic long interruptions;

static void only_interrupt(int number) {
    (void)number;
    atomic_fetch_add(&interruptions, 1);
}

/* Without SA_RESTART: each call comes back with EINTR when it must, and only then. */
HOST_CASE(H19, blocking_calls_are_interrupted) {
    int ends[2], epoll = epoll_create1(0), event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    int listener = listen_somewhere(), two[2];
    char byte;
    struct epoll_event ready;
    struct pollfd polled;
    uint64_t value;
    REQUIRE(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, two) == 0);
    polled = (struct pollfd){ends[0], POLLIN, 0};
    sem_init(&handler_semaphore, 0, 0);
    tick_at_1_khz(only_interrupt, 0);
    for (int round = 0; round < 20; round++) {
        SHOW(read(ends[0], &byte, 1));
        SHOW(eventfd_read(event, &value));
        SHOW(read(timer, &value, sizeof value));
        SHOW(epoll_wait(epoll, &ready, 1, -1));
        SHOW(epoll_pwait(epoll, &ready, 1, -1, NULL));
        SHOW(poll(&polled, 1, -1));
        SHOW(ppoll(&polled, 1, NULL, NULL));
        SHOW(select(0, NULL, NULL, NULL, NULL));
        SHOW(accept(listener, NULL, NULL));
        SHOW(recv(two[0], &byte, 1, 0));
        SHOW(sem_wait(&handler_semaphore));
    }
    timer_delete(ticking);
}

static volatile sig_atomic_t in_child, children, children_well;

static void tick_once(long microseconds) {
    struct itimerspec next = {{0, 0}, {0, microseconds * 1000}};
    timer_settime(ticking, 0, &next, NULL);
}

static void fork_and_go_on(int number) {
    int status = -1;
    (void)number;
    pid_t child = fork();
    if (child == 0) {
        in_child = 1;
        return;
    }
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        ;
    children++;
    children_well += status == 0;
    tick_once(500 + children * 7 % 50);
}

/* The handler's fork interrupts the writing of an event, which goes on in both. */
HOST_CASE(H3, a_handler_forks_while_the_timeline_is_written) {
    ctxshim_scope scopes[4];
    int rest = 100, wanted = storm_scale(40, 400);
    tick_at_1_khz(fork_and_go_on, SA_RESTART);
    tick_once(1000);
    while (children < wanted && rest > 0) {
        for (int i = 0; i < 4; i++)
            scopes[i] = ctxshim_push("interrupted");
        for (int i = 3; i >= 0; i--)
            ctxshim_pop(&scopes[i]);
        rest -= in_child;
    }
    if (in_child)
        _exit(0);
    timer_delete(ticking);
    EXPECT(children_well == children);
}

static sigjmp_buf back;
static _Atomic long jumps;

static void jump_out(int number) {
    (void)number;
    atomic_fetch_add(&jumps, 1);
    siglongjmp(back, 1);
}

/* Out of the middle of anything, ours too. Only calls that allocate nothing and hold no lock: else the
 * program itself would be wrong. */
HOST_CASE(H19, handlers_that_jump_out_of_hooks) {
    int ends[2], event = eventfd(0, EFD_NONBLOCK), epoll = epoll_create1(0);
    uint64_t value;
    char byte = 0;
    struct epoll_event ready;
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    watch(epoll, EPOLL_CTL_ADD, event, EPOLLIN);
    tick_at_1_khz(jump_out, SA_NODEFER);
    sigsetjmp(back, 1);
    while (go_on(storm_scale(2, 10))) {
        eventfd_write(event, 1);
        epoll_wait(epoll, &ready, 1, 0);
        (void)!read(event, &value, sizeof value);
        (void)!write(ends[1], &byte, 1);
        (void)!read(ends[0], &byte, 1);
        ctxshim_scope scope = ctxshim_push("left by a jump");
        fcntl(ends[0], F_GETFL);
        ctxshim_pop(&scope);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_delete(ticking);
    EXPECT(atomic_load(&jumps) > 50);
    EXPECT(storm_once() == 0);
}

/* A handler on a stack of its own, which uses every hook there. */
static int on_other_stack;
static void storm_in_handler(int number) {
    (void)number;
    on_other_stack += storm_once() == 0;
}

HOST_CASE(H19, a_handler_on_an_alternate_stack) {
    stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
    struct sigaction action = {.sa_handler = storm_in_handler, .sa_flags = SA_ONSTACK}, old;
    REQUIRE(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 50; i++)
        raise(SIGUSR1);
    EXPECT(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == storm_in_handler);
    EXPECT((old.sa_flags & SA_ONSTACK) != 0);
    printf("%d\n", on_other_stack);
}

static void on_info(int number, siginfo_t *info, void *machine) {
    (void)machine;
    printf("%d %d %d\n", number, info->si_code, info->si_value.sival_int);
}

static int order[4], ordered;
static void note(int number) {
    order[ordered++ & 3] = number;
}

/* What the program asks of signals comes back as it was put in. */
HOST_CASE(H19, handlers_are_the_programs_own) {
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    SHOW(sigaction(SIGUSR1, &action, NULL));
    SHOW(sigaction(SIGUSR1, NULL, &old));
    printf("%d %x %d\n", old.sa_sigaction == on_info, (unsigned)old.sa_flags & ~0x04000000U,
           sigismember(&old.sa_mask, SIGUSR2));
    SHOW(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77}));
    void (*before)(int) = signal(SIGUSR1, note);
    printf("%d\n", memcmp(&before, &old.sa_sigaction, sizeof before) == 0);
    printf("%d\n", signal(SIGUSR1, SIG_IGN) == note);
    printf("%d\n", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
    printf("%d\n", signal(SIGUSR1, note) == SIG_DFL);
    printf("%d\n", signal(SIGUSR2, note) == SIG_DFL);
    raise(SIGUSR1);
    raise(SIGUSR2);
    printf("%d %d %d\n", ordered, order[0], order[1]);
    SHOW(signal(SIGKILL, note) == SIG_ERR);
    SHOW(sigaction(SIGSTOP, &action, NULL));
    SHOW(sigaction(0, &action, NULL));
    SHOW(sigaction(65, NULL, &old));
    SHOW(sigaction(-1, NULL, NULL));
}

/* Once, and then the default again. */
HOST_CASE(H19, a_handler_for_one_time) {
    struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND}, old;
    SHOW(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    SHOW(sigaction(SIGUSR1, NULL, &old));
    printf("%d %d\n", ordered, old.sa_handler == SIG_DFL);
    fflush(stdout);
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        raise(SIGUSR1);
        _exit(0);
    }
    EXPECT(waitpid(child, &status, 0) == child);
    printf("%d\n", WTERMSIG(status));
}

/* --- H22 ------------------------------------------------------------------------------------------ */

/* As the JVM does: pages appear when they are touched, and a fault in a library's call is mended or fatal. */
static char *fault_area;
static _Atomic long faults;

static void mend(int number, siginfo_t *info, void *machine) {
    (void)number;
    (void)machine;
    char *page = (char *)((uintptr_t)info->si_addr & ~4095UL);
    if (page < fault_area || page >= fault_area + (1 << 20))
        _exit(9);
    atomic_fetch_add(&faults, 1);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

HOST_CASE(H22, faults_are_the_programs_own) {
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    int ends[2];
    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0 && pipe(ends) == 0);
    fault_area = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(write(ends[1], fault_area, 8));
    SHOW(write(ends[1], "12345678", 8));
    SHOW(read(ends[0], fault_area, 8));
    SHOW(writev(ends[1], (struct iovec *)fault_area, 1));
    SHOW(send(ends[1], fault_area, 8, 0));
    SHOW(poll((struct pollfd *)fault_area, 1, 0));
    SHOW(select(1, (fd_set *)fault_area, NULL, NULL, &(struct timeval){0, 0}));
    SHOW(open(fault_area, O_RDONLY));
    SHOW(epoll_wait(epoll_create1(0), (struct epoll_event *)fault_area, 1, 0));
    SHOW(eventfd_read(eventfd(1, 0), (eventfd_t *)(fault_area + 4096)));
    for (int i = 2; i < 100; i++)
        fault_area[i * 4096] = 'x';
    printf("%ld faults\n", atomic_load(&faults));
}
