/* F12: signal handlers. */
#include "case.h"

#include <setjmp.h>
#include <spawn.h>
#include <stdlib.h>

enum { ALTERNATE = 64 << 10 };

static char seen[128];
static int to_self, into_self;
static _Atomic int destroyed;
static _Atomic int handled;

static void use_alternate_stack(void) {
    stack_t alternate = {.ss_sp = malloc(ALTERNATE), .ss_size = ALTERNATE};
    REQUIRE(sigaltstack(&alternate, NULL) == 0);
}

static void on(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    REQUIRE(sigaction(number, &action, NULL) == 0);
}

/* --- what the program sees ------------------------------------------------------------------------ */

static void one(int number) {
    (void)number;
    handled++;
}

static void two(int number, siginfo_t *info, void *interrupted) {
    EXPECT(number == SIGUSR1 && info->si_signo == SIGUSR1 && info->si_pid == getpid() && interrupted != NULL);
    handled += 10;
}

HOST_CASE(F12, sigaction_tells_the_program_its_own_handler) {
    struct sigaction action = {.sa_handler = one, .sa_flags = SA_RESTART | SA_NODEFER}, before;
    sigaddset(&action.sa_mask, SIGUSR2);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(sigaction(SIGUSR1, NULL, &before) == 0);
    EXPECT(before.sa_handler == one && (before.sa_flags & ~0x04000000) == (SA_RESTART | SA_NODEFER));
    EXPECT(sigismember(&before.sa_mask, SIGUSR2) == 1 && sigismember(&before.sa_mask, SIGHUP) == 0);
    action = (struct sigaction){.sa_sigaction = two, .sa_flags = SA_SIGINFO};
    struct sigaction *volatile same = &action; /* one memory for both */
    REQUIRE(sigaction(SIGUSR1, &action, same) == 0);
    EXPECT(action.sa_handler == one);
    REQUIRE(sigaction(SIGUSR1, NULL, &before) == 0);
    EXPECT(before.sa_sigaction == two && (before.sa_flags & SA_SIGINFO));
    raise(SIGUSR1);
    EXPECT(handled == 10);
    EXPECT(sigaction(SIGKILL, &action, NULL) == -1 && errno == EINVAL);
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
    raise(SIGUSR1);
    EXPECT(handled == 11);
}

HOST_CASE(F12, defaults_and_ignoring_are_what_they_are) {
    EXPECT(signal(SIGUSR1, SIG_IGN) == SIG_DFL);
    EXPECT(raise(SIGUSR1) == 0);
    EXPECT(signal(SIGUSR1, one) == SIG_IGN);
    EXPECT(signal(SIGUSR1, SIG_DFL) == one);
    EXPECT(signal(SIGKILL, one) == SIG_ERR && errno == EINVAL);
    EXPECT(ssignal(SIGUSR1, one) == SIG_DFL);
    EXPECT(sysv_signal(SIGUSR1, one) == one);
    raise(SIGUSR1);
    EXPECT(handled == 1);
    EXPECT(signal(SIGUSR1, SIG_DFL) == SIG_DFL); /* the old kind is reset by being delivered */
    on(SIGUSR2, one, SA_RESETHAND);
    raise(SIGUSR2);
    EXPECT(handled == 2 && signal(SIGUSR2, SIG_DFL) == SIG_DFL);
}

/* A program that goes to the kernel itself finds something that it can put back. */
struct kernel_action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

HOST_CASE(F12, raw_system_calls_may_save_and_restore) {
    struct kernel_action kept, mine;
    on(SIGUSR1, one, SA_RESTART);
    REQUIRE(kernel_call(SYS_rt_sigaction, SIGUSR1, 0, (long)&kept, 8, 0, 0) == 0);
    mine = kept;
    mine.handler = (uintptr_t)two;
    mine.flags |= SA_SIGINFO;
    REQUIRE(kernel_call(SYS_rt_sigaction, SIGUSR1, (long)&mine, 0, 8, 0, 0) == 0);
    struct sigaction now;
    EXPECT(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_sigaction == two);
    raise(SIGUSR1);
    EXPECT(handled == 10);
    REQUIRE(kernel_call(SYS_rt_sigaction, SIGUSR1, (long)&kept, 0, 8, 0, 0) == 0);
    EXPECT(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == one);
    raise(SIGUSR1);
    EXPECT(handled == 11);
    ((void (*)(int))kept.handler)(SIGUSR1); /* and chained to */
    EXPECT(handled == 12);
}

HOST_CASE(F12, a_vfork_child_sets_its_own) {
    on(SIGUSR1, one, 0);
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, one);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    raise(SIGUSR1);
    EXPECT(handled == 1 && signal(SIGUSR2, SIG_DFL) == SIG_DFL);
}

/* Each delivery meets the handler with its own flags, while another thread changes them all the time. */
static void check_plain(int number) {
    EXPECT(number == SIGUSR1);
    handled++;
}
static void check_info(int number, siginfo_t *info, void *interrupted) {
    (void)interrupted;
    EXPECT(number == SIGUSR1 && info->si_signo == SIGUSR1);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    EXPECT(sigismember(&now, SIGUSR2) == 1); /* this one's mask, not the other's */
    handled++;
}
static _Atomic bool stop;
static void *replace(void *unused) {
    struct sigaction plain = {.sa_handler = check_plain, .sa_flags = SA_RESTART};
    struct sigaction info = {.sa_sigaction = check_info, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sigaddset(&info.sa_mask, SIGUSR2);
    while (!stop) {
        sigaction(SIGUSR1, &plain, NULL);
        sigaction(SIGUSR1, &info, NULL);
    }
    return unused;
}

HOST_CASE(F12, handlers_are_replaced_while_they_are_delivered) {
    pthread_t thread;
    on(SIGUSR1, check_plain, SA_RESTART);
    REQUIRE(pthread_create(&thread, NULL, replace, NULL) == 0);
    for (int i = 0; i < 20000; i++)
        raise(SIGUSR1);
    stop = true;
    pthread_join(thread, NULL);
    EXPECT(handled == 20000);
}

/* More handlers than there are doors: they work all the same. */
#define STUB(n)                                                                                              \
    static void stub_##n(int number) {                                                                       \
        handled += number == SIGUSR1;                                                                        \
    }
STUB(0)
STUB(1)

HOST_CASE(F12, without_doors_handlers_are_the_kernels) {
    enum { CODE = 600 };
    unsigned char *code =
        mmap(NULL, CODE * 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return;
    for (int i = 0; i < CODE; i++) {
        struct sigaction now;
        memset(code + i * 16, 0xc3, 16); /* ret */
        sighandler_t handler = (sighandler_t)(uintptr_t)(code + i * 16);
        signal(SIGUSR1, handler);
        raise(SIGUSR1);
        EXPECT(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == handler);
    }
    on(SIGUSR1, stub_0, 0);
    raise(SIGUSR1);
    on(SIGUSR1, stub_1, 0);
    raise(SIGUSR1);
    EXPECT(handled == 2);
}

/* --- contexts ------------------------------------------------------------------------------------- */

static void tell_myself(int number) {
    ctxshim_stack(seen, sizeof seen);
    poke(to_self);
    (void)number;
}

static void *look(void *unused) {
    ctxshim_stack(seen, sizeof seen);
    return unused;
}

CASE(F12, what_a_handler_hands_on_is_nobodys) {
    to_self = eventfd(0, 0);
    on(SIGTERM, tell_myself, 0);
    ctxshim_scope request = ctxshim_push("request");
    raise(SIGTERM);
    EXPECT(strcmp(seen, "request") == 0);
    poke(to_self); /* the request itself does hand on: with the handler's, a doubt */
    EXPECT_STACK("request");
    ctxshim_pop(&request);
    hear(to_self);
    EXPECT(strcmp(stack_now(), "request") != 0);
    raise(SIGTERM);
    expect_reader(to_self, "");
}

static void change_everything(int number) {
    uint64_t got;
    ctxshim_push("handler");
    ctxshim_set(ctxshim_key_create("key", NULL), &handled);
    ctxshim_attach(NULL);
    EXPECT(read(into_self, &got, sizeof got) == sizeof got);
    ctxshim_stack(seen, sizeof seen);
    (void)number;
}

static void interrupted_flow_is_as_it_was(int flags) {
    int epoll = epoll_create1(0), event_fd = eventfd(0, 0);
    struct epoll_event event;
    into_self = eventfd(0, EFD_NONBLOCK);
    if (flags & SA_ONSTACK)
        use_alternate_stack();
    on(SIGUSR1, change_everything, flags);
    watch(epoll, EPOLL_CTL_ADD, event_fd, EPOLLIN);
    ctxshim_scope a = ctxshim_push("A");
    poke(event_fd);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    poke(into_self);
    ctxshim_pop(&b);
    REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
    hear(event_fd);
    ctxshim_scope step = ctxshim_push("step");
    raise(SIGUSR1);
    EXPECT_STACK("A step");
    EXPECT(ctxshim_pop(&step) == 0);
    EXPECT_STACK("A");
    REQUIRE(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_STACK("");
}

CASE(F12, a_handler_changes_nothing) {
    interrupted_flow_is_as_it_was(0);
}
CASE(F12, a_handler_on_another_stack_changes_nothing) {
    interrupted_flow_is_as_it_was(SA_ONSTACK);
}

static void poll_in_handler(int number) {
    struct pollfd none = {-1, 0, 0};
    EXPECT(poll(&none, 1, 1) == 0);
    hear(-1);
    (void)number;
}

static void keeps_its_frame_over_a_wait_in_a_handler(int flags) {
    int epoll = epoll_create1(0), event_fd = eventfd(0, 0);
    struct epoll_event event;
    if (flags & SA_ONSTACK)
        use_alternate_stack();
    on(SIGUSR1, poll_in_handler, flags);
    watch(epoll, EPOLL_CTL_ADD, event_fd, EPOLLIN);
    ctxshim_scope a = ctxshim_push("A");
    poke(event_fd);
    ctxshim_pop(&a);
    REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
    hear(event_fd);
    raise(SIGUSR1);
    EXPECT_STACK("A");
}

CASE(F12, a_wait_in_a_handler_ends_nothing) {
    keeps_its_frame_over_a_wait_in_a_handler(0);
}
CASE(F12, a_wait_in_a_handler_on_another_stack_ends_nothing) {
    keeps_its_frame_over_a_wait_in_a_handler(SA_ONSTACK);
}

static sigjmp_buf back;
static int uses; /* does the handler use the shim before it jumps? */
static void jump(int number) {
    if (uses)
        ctxshim_push("handler");
    (void)number;
    siglongjmp(back, 1);
}

static __attribute__((noinline)) void raise_below(int depth) {
    volatile char room[512];
    room[0] = (char)depth;
    if (depth > 0)
        raise_below(depth - 1);
    else
        raise(SIGUSR1);
    (void)room[0];
}

static void after_a_jump_all_is_as_before(int flags) {
    if (flags & SA_ONSTACK)
        use_alternate_stack();
    on(SIGUSR1, jump, flags);
    to_self = eventfd(0, 0);
    for (uses = 0; uses < 2; uses++) {
        ctxshim_scope request = ctxshim_push("request");
        if (sigsetjmp(back, 1) == 0)
            raise_below(10);
        poke(to_self);
        EXPECT_STACK("request");
        EXPECT(ctxshim_pop(&request) == 0);
        EXPECT_STACK("");
        expect_reader(to_self, "request");
    }
}

static __attribute__((noinline)) void jump_out(void) {
    if (sigsetjmp(back, 1) == 0)
        raise_below(10);
}

/* What the program does before any hook has noticed is its own again. */
CASE(F12, what_is_done_after_a_jump_stays) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    static _Atomic int mine;
    on(SIGUSR1, jump, 0);
    for (uses = 0; uses < 2; uses++) {
        ctxshim_scope request = ctxshim_push("request");
        jump_out();
        ctxshim_scope after = ctxshim_push("after");
        EXPECT_STACK("request after");
        EXPECT(ctxshim_set(key, (void *)&mine) == 0);
        to_self = eventfd(0, 0);
        poke(to_self);
        EXPECT_STACK("request after");
        EXPECT(ctxshim_get(key) == (void *)&mine && atomic_load(&mine) == uses);
        expect_reader(to_self, "request after");
        EXPECT(ctxshim_pop(&after) == 0);
        EXPECT(ctxshim_pop(&request) == 0);
        EXPECT_STACK("");
    }
}

CASE(F12, what_is_captured_after_a_jump_is_the_programs) {
    on(SIGUSR1, jump, 0);
    uses = 1;
    ctxshim_scope request = ctxshim_push("request");
    jump_out();
    ctxshim_context *captured = ctxshim_capture();
    EXPECT(ctxshim_pop(&request) == 0);
    ctxshim_scope attached = ctxshim_attach(captured);
    EXPECT_STACK("request");
    EXPECT(ctxshim_pop(&attached) == 0);
    ctxshim_release(captured);
}

/* The last reference goes in a handler: the value, with the program's next call. */
static ctxshim_context *last;
static void release_last(int number) {
    ctxshim_release(last);
    (void)number;
}
/* From one place: the second time there is nothing left to learn about it. */
static __attribute__((noinline)) void call(void) {
    ctxshim_scope scope = ctxshim_push("call");
    ctxshim_pop(&scope);
}
CASE(F12, what_dies_in_a_handler_is_destroyed_at_the_next_call) {
    static _Atomic int value;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    on(SIGUSR1, release_last, 0);
    ctxshim_scope with = ctxshim_with(key, (void *)&value);
    last = ctxshim_capture();
    EXPECT(ctxshim_pop(&with) == 0);
    call();
    raise(SIGUSR1);
    EXPECT(atomic_load(&value) == 0);
    call();
    EXPECT(atomic_load(&value) == 1);
}

CASE(F12, a_handler_may_jump_out) {
    after_a_jump_all_is_as_before(0);
}
CASE(F12, a_handler_may_jump_out_of_another_stack) {
    after_a_jump_all_is_as_before(SA_ONSTACK);
}

/* A value that dies in a handler is destroyed later. */
static _Atomic bool in_handler;
static void destroy_outside(void *value) {
    EXPECT(!in_handler);
    count_destroy(value);
}
static ctxshim_key *dying;
static void let_die(int number) {
    in_handler = true;
    ctxshim_scope with = ctxshim_with(dying, (void *)&destroyed);
    ctxshim_pop(&with);
    ctxshim_scope again = ctxshim_push("again");
    ctxshim_pop(&again);
    EXPECT(atomic_load(&destroyed) == 0);
    in_handler = false;
    (void)number;
}

CASE(F12, nothing_is_destroyed_in_a_handler) {
    dying = ctxshim_key_create("dying", destroy_outside);
    on(SIGUSR1, let_die, 0);
    raise(SIGUSR1);
    EXPECT(atomic_load(&destroyed) == 0);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

static void start_a_thread(int number) {
    pthread_t thread;
    ctxshim_context *interrupted = ctxshim_capture();
    REQUIRE(pthread_create(&thread, NULL, look, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT(strcmp(seen, "") == 0);
    ctxshim_scope scope = ctxshim_attach(interrupted); /* by hand it may */
    REQUIRE(pthread_create(&thread, NULL, look, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT(strcmp(seen, "request") == 0);
    ctxshim_pop(&scope);
    ctxshim_release(interrupted);
    (void)number;
}

CASE(F12, what_is_attached_by_hand_is_handed_on) {
    on(SIGUSR1, start_a_thread, 0);
    ctxshim_scope request = ctxshim_push("request");
    raise(SIGUSR1);
    EXPECT_STACK("request");
    ctxshim_pop(&request);
}

static void outer(int number) {
    ctxshim_scope scope = ctxshim_push("outer");
    raise(SIGUSR2);
    EXPECT_STACK("request outer");
    ctxshim_pop(&scope);
    (void)number;
}
static void inner(int number) {
    ctxshim_push("inner");
    EXPECT_STACK("request outer inner");
    (void)number;
}

CASE(F12, handlers_interrupt_handlers) {
    on(SIGUSR1, outer, 0);
    on(SIGUSR2, inner, 0);
    ctxshim_scope request = ctxshim_push("request");
    raise(SIGUSR1);
    EXPECT_STACK("request");
    EXPECT(ctxshim_pop(&request) == 0);
}

static void end_thread(int number) {
    ctxshim_push("ending");
    (void)number;
    pthread_exit(NULL);
}
static void *be_ended(void *unused) {
    raise(SIGUSR1);
    return unused;
}

CASE(F12, a_thread_may_end_in_a_handler) {
    pthread_t thread;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    on(SIGUSR1, end_thread, 0);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(pthread_create(&thread, NULL, be_ended, NULL) == 0);
    pthread_join(thread, NULL);
    ctxshim_pop(&with);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

static sigjmp_buf out_of_handler;

static void use_and_jump(int number) {
    (void)number;
    ctxshim_push("handler");
    say_to(into_self, "x");
    siglongjmp(out_of_handler, 1);
}

/* Nobody needs to make a hooked call first: scopes close, and what is opened stays. */
CASE(F12, a_handler_that_was_jumped_out_of_is_over_for_who_uses_the_interface) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    into_self = ends[1];
    on(SIGUSR1, use_and_jump, 0);
    ctxshim_scope outer = ctxshim_push("outer"), hidden = ctxshim_attach(NULL);
    if (sigsetjmp(out_of_handler, 1) == 0)
        raise(SIGUSR1);
    EXPECT_STACK("");
    EXPECT(ctxshim_pop(&hidden) == 0);
    EXPECT_STACK("outer");
    if (sigsetjmp(out_of_handler, 1) == 0)
        raise(SIGUSR1);
    ctxshim_scope after = ctxshim_push("after");
    EXPECT(poll(NULL, 0, 1) == 0);
    EXPECT_STACK("outer after");
    if (sigsetjmp(out_of_handler, 1) == 0)
        raise(SIGUSR1);
    ctxshim_context *captured = ctxshim_capture();
    EXPECT(captured != NULL);
    ctxshim_release(captured);
    EXPECT(ctxshim_pop(&after) == 0 && ctxshim_pop(&outer) == 0);
    EXPECT_STACK("");
}
