/* Dispatch frames: what a callback does to its context does not reach the loop or the next callback (C22). */
#include "case.h"

#include <setjmp.h>

static int epoll_fd, pipes[2][2];

/* Two registered pipes, of A and of B. */
static void open_loop(void) {
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < 2; i++) {
        REQUIRE(pipe2(pipes[i], O_NONBLOCK) == 0);
        ctxshim_scope scope = ctxshim_push(i == 0 ? "A" : "B");
        watch(epoll_fd, EPOLL_CTL_ADD, pipes[i][0], EPOLLIN);
        ctxshim_pop(&scope);
    }
}

static void wake(int which) {
    REQUIRE(kernel_call(SYS_write, pipes[which][1], (long)"x", 1, 0, 0, 0) == 1);
}

#define WAIT_FOR(which)                                                                                      \
    do {                                                                                                     \
        struct epoll_event got;                                                                              \
        wake(which);                                                                                         \
        REQUIRE(epoll_wait(epoll_fd, &got, 1, 1000) == 1 && got.data.fd == pipes[which][0]);                 \
        hear(pipes[which][0]);                                                                               \
    } while (0)

/* Any hook, called from the case's own depth. */
#define TOUCH()                                                                                              \
    do {                                                                                                     \
        char byte;                                                                                           \
        EXPECT(read(pipes[0][0], &byte, 1) == -1);                                                           \
    } while (0)

static _Atomic int destroyed;

CASE(frame, a_forgotten_push_ends_with_its_callback) {
    open_loop();
    ctxshim_scope main = ctxshim_push("Main");
    WAIT_FOR(0);
    EXPECT_STACK("A");
    ctxshim_scope forgotten = ctxshim_push("forgotten");
    EXPECT_STACK("A forgotten");
    WAIT_FOR(1);
    EXPECT_STACK("B");
    EXPECT(ctxshim_pop(&forgotten) == 0);
    EXPECT_STACK("B");
    struct epoll_event event;
    EXPECT(epoll_wait(epoll_fd, &event, 1, 1) == 0);
    EXPECT_STACK("Main");
    ctxshim_pop(&main);
}

CASE(frame, a_forgotten_set_ends_with_its_callback) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    open_loop();
    WAIT_FOR(0);
    EXPECT(ctxshim_set(key, (void *)&destroyed) == 0);
    WAIT_FOR(1);
    EXPECT(ctxshim_get(key) == NULL);
    EXPECT(atomic_load(&destroyed) == 1);
}

CASE(frame, a_forgotten_attach_ends_with_its_callback) {
    open_loop();
    ctxshim_scope other = ctxshim_push("other");
    ctxshim_context *captured = ctxshim_capture();
    ctxshim_pop(&other);
    for (int kind = 0; kind < 4; kind++) {
        WAIT_FOR(0);
        if (kind == 0)
            ctxshim_attach(captured);
        else if (kind == 1)
            ctxshim_attach(NULL);
        else if (kind == 2)
            ctxshim_suppress_flow();
        else
            ctxshim_root("request");
        WAIT_FOR(1);
        EXPECT_STACK("B");
        ctxshim_context *here = ctxshim_capture();
        EXPECT(here != NULL); /* not suppressed */
        ctxshim_release(here);
    }
    ctxshim_release(captured);
}

__attribute__((noinline)) static void nested_loop(void) {
    struct epoll_event event;
    WAIT_FOR(1);
    EXPECT_STACK("B");
    WAIT_FOR(1);
    EXPECT_STACK("B");
    EXPECT(epoll_wait(epoll_fd, &event, 1, 1) == 0);
}

CASE(frame, a_deeper_wait_gives_the_outer_callback_back) {
    open_loop();
    WAIT_FOR(0);
    EXPECT_STACK("A");
    nested_loop();
    TOUCH();
    EXPECT_STACK("A");
    WAIT_FOR(1);
    EXPECT_STACK("B");
}

__attribute__((noinline)) static void loop_that_returns(void) {
    WAIT_FOR(0);
    EXPECT_STACK("A");
    ctxshim_push("forgotten");
}

CASE(frame, a_loop_that_was_left_is_over) {
    open_loop();
    ctxshim_scope main = ctxshim_push("Main");
    loop_that_returns();
    TOUCH();
    EXPECT_STACK("Main");
    ctxshim_pop(&main);
}

static jmp_buf out;

__attribute__((noinline, noreturn)) static void jump_out(void) {
    WAIT_FOR(0);
    ctxshim_push("left by longjmp");
    longjmp(out, 1);
}

CASE(frame, longjmp_out_of_a_callback) {
    open_loop();
    ctxshim_scope main = ctxshim_push("Main");
    if (setjmp(out) == 0)
        jump_out();
    TOUCH();
    EXPECT_STACK("Main");
    WAIT_FOR(1);
    EXPECT_STACK("B");
    ctxshim_pop(&main);
}

CASE(frame, an_explicit_scope_wins_over_reads) {
    struct epoll_event event;
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    open_loop();
    WAIT_FOR(0);
    ctxshim_scope mine = ctxshim_push("mine");
    raw_write(client, "x");
    hear(server);
    EXPECT_STACK("A mine");
    ctxshim_pop(&mine);
    EXPECT_STACK("A");
    raw_write(client, "more");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    EXPECT(epoll_wait(epoll_fd, &event, 1, 1) == 0);
    EXPECT_STACK("");
}

/* The same, when the work that was adopted carries a value and another was set first. */
static int work;

static void *serve_with_scope(void *argument) {
    ctxshim_key *other = ctxshim_key_create("other", NULL);
    int *fds = argument;
    EXPECT(hear(work) == 8);
    EXPECT(ctxshim_set(other, fds) == 0);
    ctxshim_scope mine = ctxshim_push("mine");
    hear(fds[0]);
    EXPECT_STACK("mine");
    ctxshim_pop(&mine);
    return NULL;
}

CASE(frame, an_explicit_scope_wins_after_a_set_too) {
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    int listener = listen_somewhere(), client = raw_connect(listener);
    int fds[1] = {accept(listener, NULL, NULL)}, value;
    pthread_t thread;
    work = eventfd(0, 0);
    raw_write(client, "question");
    ctxshim_set(key, &value);
    poke(work);
    ctxshim_set(key, NULL);
    REQUIRE(pthread_create(&thread, NULL, serve_with_scope, fds) == 0);
    pthread_join(thread, NULL);
}

static void *serve_with_inherited_value(void *argument) {
    ctxshim_key *other = ctxshim_key_create("other", NULL);
    int *fds = argument;
    EXPECT(ctxshim_set(other, fds) == 0);
    ctxshim_scope mine = ctxshim_push("mine");
    hear(fds[0]);
    EXPECT_STACK("mine");
    ctxshim_pop(&mine);
    return NULL;
}

CASE(frame, an_explicit_scope_wins_in_a_thread_that_inherited_a_value) {
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    int listener = listen_somewhere(), client = raw_connect(listener);
    int fds[1] = {accept(listener, NULL, NULL)}, value;
    pthread_t thread;
    raw_write(client, "question");
    ctxshim_set(key, &value);
    REQUIRE(pthread_create(&thread, NULL, serve_with_inherited_value, fds) == 0);
    pthread_join(thread, NULL);
}

/* Whoever began the work has left its own scopes long ago; who adopts it is still inside them. */
CASE(frame, a_scope_in_adopted_work_returns_to_it) {
    open_loop();
    WAIT_FOR(0);
    ctxshim_scope step = ctxshim_push("step");
    EXPECT_STACK("A step");
    ctxshim_pop(&step);
    EXPECT_STACK("A");
    ctxshim_scope hidden = ctxshim_attach(NULL);
    ctxshim_pop(&hidden);
    EXPECT_STACK("A");
}

/* Loops inside callbacks inside loops: deeper than is kept track of, nothing is attributed to another. */
__attribute__((noinline)) static void deeper(int level) {
    WAIT_FOR(level % 2);
    const char *expected = level % 2 == 0 ? "A" : "B";
    EXPECT(strcmp(stack_now(), expected) == 0 || strcmp(stack_now(), "") == 0);
    if (level < 14)
        deeper(level + 1);
    TOUCH();
}

CASE_WITH("dispatch=batch", frame, fourteen_loops_inside_each_other) {
    open_loop();
    deeper(0);
    WAIT_FOR(1);
    EXPECT_STACK("B");
}

/* A thread's loop in which each callback starts a thread: they inherit the callback's context. */
static char inherited[64];
static void *look(void *unused) {
    ctxshim_stack(inherited, sizeof inherited);
    return unused;
}

CASE(frame, work_started_in_a_callback_inherits_it) {
    open_loop();
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        WAIT_FOR(i % 2);
        REQUIRE(pthread_create(&thread, NULL, look, NULL) == 0);
        pthread_join(thread, NULL);
        EXPECT(strcmp(inherited, i % 2 == 0 ? "A" : "B") == 0);
    }
}

/* A program may attach something around its loop, and let it go in a callback. */
CASE(frame, what_was_attached_around_a_callback_and_let_go_inside_does_not_come_back) {
    open_loop();
    ctxshim_scope scope = ctxshim_push("C");
    ctxshim_context *captured = ctxshim_capture();
    EXPECT(ctxshim_pop(&scope) == 0);
    scope = ctxshim_attach(captured);
    ctxshim_release(captured);
    WAIT_FOR(0);
    EXPECT_STACK("A");
    EXPECT(ctxshim_pop(&scope) == 0);
    EXPECT_STACK("");
    WAIT_FOR(1);
    EXPECT_STACK("B");
    struct epoll_event event;
    EXPECT(epoll_wait(epoll_fd, &event, 1, 1) == 0);
    EXPECT_STACK("");
}
