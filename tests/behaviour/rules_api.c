/* The public contract of ctxshim.h under preload: errors, ownership, notices, when values are destroyed. */
#include "case.h"

#include <setjmp.h>
#include <stdlib.h>

static _Atomic int destroyed;

#define EXPECT_FAILS(call, error)                                                                            \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        EXPECT((call) == -1);                                                                                \
        EXPECT(errno == (error));                                                                            \
    } while (0)

static bool is_none(ctxshim_scope scope) {
    return scope.node == NULL && scope.serial == 0 && scope.flow == 0;
}

CASE(api, null_arguments) {
    EXPECT(ctxshim_active() == 1);
    errno = 0;
    EXPECT(is_none(ctxshim_push(NULL)) && errno == EINVAL);
    errno = 0;
    EXPECT(is_none(ctxshim_root(NULL)) && errno == EINVAL);
    errno = 0;
    EXPECT(is_none(ctxshim_with(NULL, "x")) && errno == EINVAL);
    EXPECT_FAILS(ctxshim_pop(NULL), EINVAL);
    EXPECT_FAILS(ctxshim_rename(NULL), EINVAL);
    EXPECT_FAILS(ctxshim_rename("x"), ENOENT);
    EXPECT_FAILS(ctxshim_set(NULL, "x"), EINVAL);
    EXPECT_FAILS(ctxshim_key_destroy(NULL), EINVAL);
    EXPECT_FAILS(ctxshim_on_change(NULL, NULL, NULL), EINVAL);
    EXPECT_FAILS(ctxshim_on_change_remove(NULL, NULL), EINVAL);
    EXPECT_FAILS(ctxshim_run(NULL, NULL, NULL), EINVAL);
    EXPECT(ctxshim_get(NULL) == NULL);
    EXPECT(ctxshim_retain(NULL) == NULL);
    ctxshim_release(NULL);
    EXPECT(ctxshim_capture() == NULL);
    EXPECT(ctxshim_stack(NULL, 0) == 0);
    ctxshim_scope none = {0};
    errno = 12345;
    EXPECT(ctxshim_pop(&none) == 0 && errno == 12345);
    ctxshim_key *key = ctxshim_key_create(NULL, NULL);
    EXPECT(key != NULL && ctxshim_set(key, "x") == 0);
    EXPECT_FAILS(ctxshim_on_change_remove(key, NULL), ENOENT);
    EXPECT(ctxshim_key_destroy(key) == 0);
}

static void fail_in_errno(void *value) {
    count_destroy(value);
    errno = ENOTTY;
}

/* errno is left alone by what succeeds, whatever the program's own destroy does to it. */
CASE(api, success_leaves_errno_alone) {
    ctxshim_key *key = ctxshim_key_create("key", fail_in_errno);
    errno = 12345;
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(errno == 12345);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    EXPECT(ctxshim_set(key, NULL) == 0 && errno == 12345);
    EXPECT(ctxshim_pop(&with) == 0 && errno == 12345);
    EXPECT(atomic_load(&destroyed) == 1);
    ctxshim_context *captured = ctxshim_capture();
    ctxshim_scope attached = ctxshim_attach(captured), quiet = ctxshim_suppress_flow();
    ctxshim_scope root = ctxshim_root("R");
    EXPECT(ctxshim_rename("R2") == 0);
    ctxshim_pop(&root);
    ctxshim_pop(&quiet);
    ctxshim_pop(&attached);
    ctxshim_release(captured);
    EXPECT(ctxshim_pop(&a) == 0 && errno == 12345);
}

CASE(api, foreign_scopes) {
    ctxshim_scope a = ctxshim_push("A");
    ctxshim_context *inside = ctxshim_capture();
    ctxshim_scope empty = ctxshim_attach(NULL);
    EXPECT_STACK("");
    ctxshim_pop(&empty);
    EXPECT(ctxshim_pop(&a) == 0);
    EXPECT(ctxshim_pop(&a) == 0);
    ctxshim_release(inside);
}

static ctxshim_scope foreign;

static void *close_foreign(void *unused) {
    EXPECT_FAILS(ctxshim_pop(&foreign), EPERM);
    EXPECT_STACK("");
    return unused;
}

CASE(api, a_thread_that_is_not_inside_may_not_close) {
    pthread_t thread;
    ctxshim_scope quiet = ctxshim_suppress_flow();
    foreign = ctxshim_push("A");
    REQUIRE(pthread_create(&thread, NULL, close_foreign, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT_STACK("A");
    EXPECT(ctxshim_pop(&foreign) == 0);
    EXPECT(ctxshim_pop(&quiet) == 0);
}

CASE(api, ownership_of_values) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    _Atomic int other = 0;
    EXPECT(ctxshim_set(key, (void *)&destroyed) == 0);
    EXPECT(ctxshim_set(key, (void *)&destroyed) == 1);
    EXPECT(ctxshim_get(key) == (void *)&destroyed);
    ctxshim_scope with = ctxshim_with(key, (void *)&other);
    EXPECT(ctxshim_get(key) == (void *)&other);
    ctxshim_pop(&with);
    EXPECT(atomic_load(&other) == 1 && atomic_load(&destroyed) == 0);
    EXPECT(ctxshim_set(key, NULL) == 0);
    EXPECT(atomic_load(&destroyed) == 1);
    EXPECT(ctxshim_set(key, NULL) == 1);
}

CASE(api, c8_a_destroyed_key) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    EXPECT(ctxshim_set(key, (void *)&destroyed) == 0);
    EXPECT(ctxshim_key_destroy(key) == 0);
    for (int i = 0; i < 10; i++)
        EXPECT(ctxshim_get(ctxshim_key_create("key", NULL)) == NULL);
    EXPECT(atomic_load(&destroyed) == 0);
    ctxshim_attach(NULL);
}

/* --- when destroy runs ---------------------------------------------------------------------------- */

static int timer;

/* Drops a value inside a hook: a timer's last reference goes with its close. */
static void drop_in_a_hook(ctxshim_key *key) {
    struct itimerspec far = {.it_value.tv_sec = 1000};
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    atomic_store(&destroyed, 0);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    timerfd_settime(timer, 0, &far, NULL);
    ctxshim_pop(&with);
    EXPECT(atomic_load(&destroyed) == 0);
    close(timer);
    EXPECT(atomic_load(&destroyed) == 0); /* never inside another hook */
}

static void *drop_and_end(void *key) {
    drop_in_a_hook(key);
    return NULL;
}

CASE(api, destroy_runs_at_the_next_call_wait_or_end) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    struct epoll_event event;
    pthread_t thread;
    int epoll = epoll_create1(0);
    drop_in_a_hook(key);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
    drop_in_a_hook(key);
    EXPECT(epoll_wait(epoll, &event, 1, 0) == 0);
    EXPECT(atomic_load(&destroyed) == 0); /* a poll is no wait: its caller may hold a lock */
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT(atomic_load(&destroyed) == 1);
    REQUIRE(pthread_create(&thread, NULL, drop_and_end, key) == 0);
    pthread_join(thread, NULL);
    EXPECT(atomic_load(&destroyed) == 1);
}

static ctxshim_key *nested_key;

static void destroy_with_calls(void *value) {
    ctxshim_scope scope = ctxshim_push("destroying");
    ctxshim_set(nested_key, value);
    ctxshim_pop(&scope);
    count_destroy(value);
}

CASE(api, destroy_may_call_the_api) {
    static _Atomic int inner;
    ctxshim_key *key = ctxshim_key_create("key", destroy_with_calls);
    nested_key = ctxshim_key_create("nested", NULL);
    ctxshim_set(key, (void *)&inner);
    ctxshim_set(key, NULL);
    EXPECT(atomic_load(&inner) == 1);
    EXPECT_STACK("");
}

/* --- notices -------------------------------------------------------------------------------------- */

struct notice {
    int calls, switched;
    void *before, *after;
};

static void note(void *before, void *after, int switched, void *arg) {
    struct notice *notice = arg;
    *notice = (struct notice){notice->calls + 1, switched, before, after};
}

#define EXPECT_NOTICE(old, new, is_switch)                                                                   \
    do {                                                                                                     \
        EXPECT(notice.calls == 1);                                                                           \
        EXPECT(notice.before == (old) && notice.after == (new));                                             \
        EXPECT(notice.switched == (is_switch));                                                              \
        notice.calls = 0;                                                                                    \
    } while (0)

CASE(api, c30_notices) {
    struct notice notice = {0};
    struct epoll_event event;
    int a, b, fd = eventfd(0, 0), epoll = epoll_create1(0);
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    EXPECT(ctxshim_on_change(key, note, &notice) == 0);
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    EXPECT(ctxshim_set(key, &a) == 0);
    EXPECT_NOTICE(NULL, &a, 0);
    poke(fd);
    ctxshim_scope with = ctxshim_with(key, &b);
    EXPECT_NOTICE(&a, &b, 0);
    ctxshim_pop(&with);
    EXPECT_NOTICE(&b, &a, 0);
    EXPECT(ctxshim_set(key, NULL) == 0);
    EXPECT_NOTICE(&a, NULL, 0);
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_NOTICE(NULL, &a, 1);
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_NOTICE(&a, NULL, 1);
    EXPECT(ctxshim_on_change_remove(key, &notice) == 0);
    EXPECT(ctxshim_set(key, &a) == 0);
    EXPECT(notice.calls == 0);
    EXPECT_FAILS(ctxshim_on_change_remove(key, &notice), ENOENT);
}

static ctxshim_key *own_key;

static void set_own(void *before, void *after, int switched, void *arg) {
    (void)before, (void)switched;
    errno = ENOTTY;
    if (after != NULL && after != arg)
        ctxshim_set(own_key, arg);
}

CASE(api, c32_a_notice_may_set_its_own_key) {
    static int mine, theirs;
    own_key = ctxshim_key_create("own", NULL);
    EXPECT(ctxshim_on_change(own_key, set_own, &mine) == 0);
    errno = 12345;
    EXPECT(ctxshim_set(own_key, &theirs) == 0);
    EXPECT(ctxshim_get(own_key) == &mine);
    EXPECT(errno == 12345);
    EXPECT(ctxshim_set(own_key, NULL) == 0);
    ctxshim_scope with = ctxshim_with(own_key, &theirs);
    EXPECT(ctxshim_get(own_key) == &mine);
    EXPECT(ctxshim_pop(&with) == 0);
    EXPECT(ctxshim_get(own_key) == NULL);
}

static jmp_buf way_out;

static void jump(void *before, void *after, int switched, void *arg) {
    (void)before, (void)after, (void)switched;
    ++*(int *)arg;
    longjmp(way_out, 1);
}

static __attribute__((noinline)) void set_and_jump(ctxshim_key *key, void *value) {
    if (setjmp(way_out) == 0)
        ctxshim_set(key, value);
}

/* More often than notices may nest: none of those that were left counts. */
CASE(api, c30_a_run_of_nothing_notifies_nobody) {
    static int value;
    struct notice notice = {0};
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    EXPECT(ctxshim_set(key, &value) == 0);
    EXPECT(ctxshim_on_change(key, note, &notice) == 0);
    EXPECT_FAILS(ctxshim_run(NULL, NULL, NULL), EINVAL);
    EXPECT(notice.calls == 0);
}

static pthread_key_t last_words;
static ctxshim_key *late_key;

static void speak_late(void *value) {
    errno = 0;
    EXPECT(is_none(ctxshim_push("late")) && errno == 0);
    EXPECT_FAILS(ctxshim_set(late_key, value), EAGAIN);
    errno = 0;
    EXPECT(is_none(ctxshim_with(late_key, value)) && errno == EAGAIN);
    EXPECT_STACK("");
    EXPECT(ctxshim_get(late_key) == NULL && ctxshim_capture() == NULL);
}

static void *leave_last_words(void *value) {
    ctxshim_push("thread");
    EXPECT(pthread_setspecific(last_words, value) == 0);
    return value;
}

/* The value stays the caller's: it is not destroyed. */
CASE(api, after_a_threads_end_calls_do_nothing) {
    pthread_t thread;
    late_key = ctxshim_key_create("late", count_destroy);
    REQUIRE(pthread_key_create(&last_words, speak_late) == 0);
    REQUIRE(pthread_create(&thread, NULL, leave_last_words, (void *)&destroyed) == 0);
    pthread_join(thread, NULL);
    EXPECT(atomic_load(&destroyed) == 0);
}

static volatile int child_result, child_error;

static __attribute__((noinline)) void call_in_vfork_child(ctxshim_key *key, ctxshim_scope *scope) {
    pid_t child = vfork();
    if (child == 0) {
        ctxshim_push("child");
        errno = 0;
        child_result = ctxshim_set(key, &child);
        child_error = errno;
        ctxshim_pop(scope);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* It is in its parent's memory. */
CASE(api, in_a_vfork_child_calls_do_nothing) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope scope = ctxshim_push("parent");
    EXPECT(ctxshim_set(key, (void *)&destroyed) == 0);
    call_in_vfork_child(key, &scope);
    EXPECT(child_result == -1 && child_error == EAGAIN);
    EXPECT_STACK("parent");
    EXPECT(ctxshim_get(key) == (void *)&destroyed && atomic_load(&destroyed) == 0);
    EXPECT(ctxshim_pop(&scope) == 0);
    EXPECT(atomic_load(&destroyed) == 1);
}

CASE(api, c32_a_notice_may_be_left_by_a_jump) {
    static char values[20];
    static int told;
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    EXPECT(ctxshim_on_change(key, jump, &told) == 0);
    for (int i = 0; i < 20; i++) {
        set_and_jump(key, &values[i]);
        EXPECT(ctxshim_get(key) == &values[i]);
    }
    EXPECT(told == 20);
    EXPECT(ctxshim_on_change_remove(key, &told) == 0);
}

/* --- run, capture, root --------------------------------------------------------------------------- */

static void expect_inside(void *expected) {
    EXPECT_STACK(expected);
    ctxshim_push("left open");
}

CASE(api, c1_c2_run) {
    ctxshim_scope a = ctxshim_push("A");
    ctxshim_context *captured = ctxshim_capture();
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(ctxshim_run(captured, expect_inside, "A") == 0);
    EXPECT_STACK("B");
    EXPECT(ctxshim_run(NULL, expect_inside, "") == 0);
    EXPECT_STACK("B");
    ctxshim_release(captured);
    ctxshim_pop(&b);
    EXPECT_STACK("");
}

static void expect_flow(void *unused) {
    ctxshim_context *here = ctxshim_capture();
    (void)unused;
    EXPECT(here != NULL);
    ctxshim_release(here);
}

CASE(api, c17_run_flows_again_under_suppression) {
    ctxshim_scope a = ctxshim_push("A");
    ctxshim_context *captured = ctxshim_capture();
    ctxshim_scope quiet = ctxshim_suppress_flow();
    EXPECT(ctxshim_capture() == NULL);
    EXPECT(ctxshim_run(captured, expect_flow, NULL) == 0);
    EXPECT(ctxshim_capture() == NULL);
    ctxshim_pop(&quiet);
    ctxshim_release(captured);
    ctxshim_pop(&a);
}

CASE(api, a_root_starts_clean_and_can_be_renamed) {
    ctxshim_scope main = ctxshim_push("Main");
    ctxshim_scope root = ctxshim_root("GET /");
    EXPECT_STACK("GET /");
    EXPECT(ctxshim_rename("GET /x") == 0);
    EXPECT_STACK("GET /x");
    EXPECT(ctxshim_pop(&root) == 0);
    EXPECT_STACK("Main");
    ctxshim_pop(&main);
}

static void *leave_block(void *argument) {
    CTXSHIM_SCOPE("outer");
    {
        CTXSHIM_SCOPE("inner");
        EXPECT_STACK("outer inner");
        if (argument != NULL)
            pthread_exit(NULL);
    }
    EXPECT_STACK("outer");
    return NULL;
}

CASE(api, c16_the_scope_macro) {
    pthread_t thread;
    leave_block(NULL);
    EXPECT_STACK("");
    REQUIRE(pthread_create(&thread, NULL, leave_block, "exit") == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
}

CASE(api, stack_counts_as_snprintf) {
    char buffer[8];
    ctxshim_scope main = ctxshim_push("Main"), one = ctxshim_push("1");
    EXPECT(ctxshim_stack(NULL, 0) == 6);
    EXPECT(ctxshim_stack(buffer, 4) == 6 && strcmp(buffer, "Mai") == 0);
    EXPECT(ctxshim_stack(buffer, 7) == 6 && strcmp(buffer, "Main 1") == 0);
    ctxshim_pop(&one);
    ctxshim_pop(&main);
}
