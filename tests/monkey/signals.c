/* Signals: handlers are installed by each name, run at once (raise), do what a handler may and more, and are
 * left by returning or by a jump; and calls that one interrupts. */
#include "ops.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

static sigjmp_buf back;
static volatile sig_atomic_t jumps, may_jump, depth;
static int interruptions = -1;
static char *other_stack;

/* What a handler does is thrown by the dice of who raised the signal. */
static void handle(int number) {
    int where = here_where;
    remark("  signal");
    noted("signal", number);
    if (++depth < 3)
        for (unsigned i = 1 + below(2); i > 0; i--)
            step(HANDLER);
    depth--;
    here_where = where;
    if (may_jump && jumps)
        siglongjmp(back, 1);
}

static void handle_with_more(int number, siginfo_t *info, void *context) {
    MUST(info != NULL && context != NULL && info->si_signo == number);
    handle(number);
}

static void count_interruption(int number) {
    (void)number;
    int saved = errno;
    eventfd_write(interruptions, 1);
    errno = saved;
}

void signals_begin(void) {
    stack_t stack = {.ss_size = 256 * 1024};
    stack.ss_sp = other_stack = malloc(stack.ss_size);
    MUST(sigaltstack(&stack, NULL) == 0);
    int low = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    interruptions = fcntl(low, F_DUPFD_CLOEXEC, LOG_FD + 1); /* out of the way */
    MUST(interruptions > LOG_FD && close(low) == 0);
}

void signals_end(void) {
    stack_t none = {.ss_flags = SS_DISABLE};
    signal(SIGUSR1, SIG_DFL);
    sigaltstack(&none, NULL);
    free(other_stack);
    close(interruptions);
}

static const char *name_of(sighandler_t handler) {
    return handler == SIG_DFL   ? "default"
           : handler == SIG_IGN ? "ignored"
           : handler == handle  ? "ours"
                                : "another";
}

static void tell_before(sighandler_t before) {
    if (before == SIG_ERR)
        noted("before", -1);
    else
        told_bytes("before", name_of(before), strlen(name_of(before)));
}

void set_handler(void) {
    struct sigaction action = {.sa_handler = handle}, before = {0};
    int number = (int)ONE_OF(SIGUSR1, SIGUSR1, SIGUSR1, SIGUSR1, SIGRTMIN, SIGKILL, 999);
    sighandler_t next = chance(80) ? handle : SIG_IGN;
    action.sa_flags = (int)ONE_OF(0, SA_RESTART, SA_ONSTACK, SA_NODEFER, SA_ONSTACK | SA_NODEFER);
    if (chance(30)) {
        action.sa_sigaction = handle_with_more;
        action.sa_flags |= SA_SIGINFO;
    }
    switch (below(10)) {
    case 0:
        tell_before(DO_POINTER(signal, number, next));
        break;
    case 1:
        tell_before(DO_POINTER(bsd_signal, number, next));
        break;
    case 2:
        tell_before(DO_POINTER(ssignal, number, next));
        break;
    case 3:
        tell_before(DO_POINTER(sysv_signal, number, next));
        break;
    case 4:
        tell_before(DO_POINTER(__sysv_signal, number, next));
        break;
    case 5:
        tell_before(DO_POINTER(sigset, number, next));
        break;
    case 6:
        DO(__sigaction, number, &action, &before);
        break;
    default:
        DO(sigaction, number, chance(80) ? &action : NULL, chance(80) ? &before : NULL);
    }
    if (before.sa_handler != NULL)
        noted("flags", before.sa_flags);
}

/* Only where somebody handles it: by default it would end us. */
void raise_signal(void) {
    struct sigaction action;
    int number = (int)ONE_OF(SIGUSR1, SIGUSR1, SIGRTMIN);
    struct dice kept = dice;
    if (depth > 0 || sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_DFL)
        return;
    jumps = chance(30);
    if (sigsetjmp(back, 1) == 0) {
        may_jump = 1;
        CTXSHIM_SCOPE("raises");
        noted("raise", raise(number));
    } else {
        depth = 0;
        dice = kept;
        draw();
        noted("jumped", 1);
    }
    may_jump = 0;
}

/* A signal that comes again and again until the call has returned. */
void interrupted_call(void) {
    struct sigaction action = {.sa_handler = count_interruption}, before;
    struct itimerspec often = {{0, 500000}, {0, 500000}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    timer_t timer;
    int ends[2];
    char byte;
    sigaction(SIGALRM, &action, &before);
    MUST(pipe(ends) == 0);
    struct pollfd polled = {ends[0], POLLIN, 0};
    unsigned way = below(3);
    event._sigev_un._tid = gettid();
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &often, NULL) == 0);
    if (way == 0)
        DO(read, ends[0], &byte, 1);
    else if (way == 1)
        DO(poll, &polled, 1, -1);
    else
        DO(recv, ends[0], &byte, 1, 0);
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    close(ends[0]);
    close(ends[1]);
}
