/* C29 to C32: change notification. Strategy: a watcher writes down what it is told, and the list is compared
 * with what the program has done. */
#include "behaviour.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static ctxshim_key *key, *still;
static char one, two, three;

struct notice {
    const void *before, *after;
    int switched;
};

enum { NOTICES = 64 };
static struct notice notices[NOTICES];
static _Atomic size_t told;

static void write_down(void *before, void *after, int switched, void *argument) {
    CHECK(argument == &notices);
    CHECK(ctxshim_get(key) == after); /* it is so already */
    size_t place = atomic_fetch_add(&told, 1);
    CHECK(place < NOTICES);
    notices[place] = (struct notice){before, after, switched};
}

/* Just this was told since the last look. */
static void expect_told(size_t count, const struct notice expected[]) {
    CHECK(atomic_load(&told) == count);
    for (size_t i = 0; i < count; i++)
        CHECK(notices[i].before == expected[i].before && notices[i].after == expected[i].after &&
              notices[i].switched == expected[i].switched);
    atomic_store(&told, 0);
}
#define EXPECT_TOLD(...) expect_told(LENGTH(((struct notice[]){__VA_ARGS__})), (struct notice[]){__VA_ARGS__})

static void told_wrongly(void *before, void *after, int switched, void *argument) {
    (void)before;
    (void)after;
    (void)switched;
    CHECK(argument == NULL); /* never: this key's value is the same everywhere */
}

static void watch_begins(void) {
    key = ctxshim_key_create("key", NULL);
    still = ctxshim_key_create("still", NULL);
    CHECK(ctxshim_set(still, &three) == 0);
    CHECK(ctxshim_on_change(key, write_down, &notices) == 0);
    CHECK(ctxshim_on_change(still, told_wrongly, &notices) == 0);
}

static void watch_ends(void) {
    CHECK(ctxshim_on_change_remove(still, &notices) == 0);
    CHECK(ctxshim_on_change_remove(key, &notices) == 0);
    CHECK(ctxshim_on_change_remove(key, &notices) == -1 && errno == ENOENT);
    CHECK(ctxshim_set(still, NULL) == 0);
    ctxshim_key_destroy(still);
    ctxshim_key_destroy(key);
}

/* A context like the current one, but with this value. */
static ctxshim_context *context_with(void *value) {
    ctxshim_scope scope = ctxshim_with(key, value);
    ctxshim_context *context = ctxshim_capture();
    CHECK(ctxshim_pop(&scope) == 0);
    atomic_store(&told, 0);
    return context;
}

/* --- C30 ------------------------------------------------------------------------------------------- */

static void sets_inside(void *argument) {
    EXPECT_TOLD({NULL, &one, 1});
    CHECK(ctxshim_set(key, argument) == 0);
    EXPECT_TOLD({&one, argument, 0});
}

static void told_of_sets(void) {
    CHECK(ctxshim_set(key, &one) == 0);
    EXPECT_TOLD({NULL, &one, 0});
    CHECK(ctxshim_set(key, &one) == 1);
    CHECK(atomic_load(&told) == 0);
    CHECK(ctxshim_set(key, &two) == 0);
    ctxshim_scope scope = ctxshim_with(key, &three);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_set(key, NULL) == 0);
    EXPECT_TOLD({&one, &two, 0}, {&two, &three, 0}, {&three, &two, 0}, {&two, NULL, 0});
    scope = ctxshim_push("nobody's business");
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(atomic_load(&told) == 0);
}

static void told_of_switches(void) {
    ctxshim_context *first = context_with(&one), *second = context_with(&two);
    CHECK(ctxshim_run(first, sets_inside, &three) == 0);
    EXPECT_TOLD({&three, NULL, 1});
    ctxshim_scope outer = ctxshim_attach(first), inner = ctxshim_attach(second);
    CHECK(ctxshim_pop(&inner) == 0 && ctxshim_pop(&outer) == 0);
    EXPECT_TOLD({NULL, &one, 1}, {&one, &two, 1}, {&two, &one, 1}, {&one, NULL, 1});
    ctxshim_release(first);
    ctxshim_release(second);
}

void C30_a_set_and_a_switch_notify_each_in_its_way(void) {
    watch_begins();
    told_of_sets();
    told_of_switches();
    watch_ends();
}

/* --- C29 ------------------------------------------------------------------------------------------- */

static void timer_taken(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    CHECK(ctxshim_get(key) == watch->argument);
}

static void arms(void *argument) {
    struct watch *watch = argument;
    timer_arm(watch->fd, 1, false);
}

/* Two callbacks of one loop, each in a context of its own. */
static void callbacks_in_turn(ctxshim_context *contexts[2]) {
    struct watch timers[] = {{timer_new(), timer_taken, &one}, {timer_new(), timer_taken, &two}};
    int loop = loop_new();
    for (int i = 0; i < 2; i++) {
        loop_add(loop, &timers[i], EPOLLIN);
        CHECK(ctxshim_run(contexts[i], arms, &timers[i]) == 0);
        atomic_store(&told, 0);
        loop_turn(loop, 1);
        loop_rest(loop);
        EXPECT_TOLD({NULL, timers[i].argument, 1}, {timers[i].argument, NULL, 1});
    }
    for (int i = 0; i < 2; i++)
        close(timers[i].fd);
    close(loop);
}

/* Two threads hand a token to and fro; who leaves its context first is told of it before the other enters. */
struct turn {
    ctxshim_context *context;
    int mine, theirs;
};

static void *take_turns(void *argument) {
    const struct turn *turn = argument;
    for (int i = 0; i < 10; i++) {
        (void)event_take(turn->mine);
        ctxshim_scope scope = ctxshim_attach(turn->context);
        CHECK(ctxshim_pop(&scope) == 0);
        event_post(turn->theirs);
    }
    return NULL;
}

static void threads_in_turn(ctxshim_context *contexts[2]) {
    int events[] = {eventfd(1, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    struct turn turns[] = {{contexts[0], events[0], events[1]}, {contexts[1], events[1], events[0]}};
    ctxshim_scope nothing = ctxshim_attach(NULL);
    atomic_store(&told, 0);
    pthread_t threads[] = {thread_start(take_turns, &turns[0]), thread_start(take_turns, &turns[1])};
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    size_t count = atomic_exchange(&told, 0);
    CHECK(count == 40);
    for (size_t i = 0; i < count; i++) {
        const void *value = i / 2 % 2 == 0 ? &one : &two;
        CHECK(notices[i].before == (i % 2 == 0 ? NULL : value));
        CHECK(notices[i].after == (i % 2 == 0 ? value : NULL));
    }
    CHECK(ctxshim_pop(&nothing) == 0);
    for (int i = 0; i < 2; i++)
        close(events[i]);
}

static void does_nothing(void *argument) {
    (void)argument;
}

void C29_an_unset_comes_before_the_next_set(void) {
    watch_begins();
    ctxshim_context *contexts[] = {context_with(&one), context_with(&two)};
    callbacks_in_turn(contexts);
    CHECK(ctxshim_on_change_remove(still, &notices) == 0); /* the threads begin with nothing at all */
    threads_in_turn(contexts);
    CHECK(ctxshim_on_change(still, told_wrongly, &notices) == 0);

    ctxshim_scope outer = ctxshim_attach(contexts[0]);
    atomic_store(&told, 0);
    ctxshim_scope inner = ctxshim_attach(contexts[0]);
    CHECK(ctxshim_run(contexts[0], does_nothing, NULL) == 0);
    CHECK(ctxshim_pop(&inner) == 0);
    CHECK(atomic_load(&told) == 0); /* the same context twice */
    CHECK(ctxshim_pop(&outer) == 0);
    for (int i = 0; i < 2; i++)
        ctxshim_release(contexts[i]);
    watch_ends();
}

/* --- C31 ------------------------------------------------------------------------------------------- */

static _Thread_local void *mirror;

static void mirror_follows(void *before, void *after, int switched, void *argument) {
    (void)switched;
    (void)argument;
    CHECK(mirror == before);
    mirror = after;
}

static void expect_mirror(const void *value) {
    CHECK(ctxshim_get(key) == value);
    CHECK(mirror == value);
}

static void mirrored_callback(struct watch *watch, uint32_t events) {
    (void)events;
    expect_mirror(&one); /* from the event alone */
    timer_read(watch->fd);
    expect_mirror(&one);
    CHECK(ctxshim_set(key, &three) == 0);
    expect_mirror(&three);
}

static void mirrored_body(void *value) {
    expect_mirror(&one);
    CHECK(ctxshim_set(key, value) == 0);
    expect_mirror(value);
    ctxshim_scope scope = ctxshim_with(key, &three), hidden = ctxshim_attach(NULL);
    expect_mirror(NULL);
    CHECK(ctxshim_pop(&hidden) == 0);
    expect_mirror(&three);
    CHECK(ctxshim_pop(&scope) == 0);
    expect_mirror(value);
}

/* The thread begins with nothing, as its mirror does. */
static void *mirrored_thread(void *context) {
    for (int i = 0; i < 100; i++) {
        expect_mirror(NULL);
        CHECK(ctxshim_run(context, mirrored_body, &two) == 0);
        expect_mirror(NULL);
        ctxshim_scope root = ctxshim_root("request");
        CHECK(ctxshim_set(key, &two) == 0);
        expect_mirror(&two);
        CHECK(ctxshim_pop(&root) == 0);
    }
    return NULL;
}

static void mirrored_loop(ctxshim_context *context) {
    struct watch timer = {timer_new(), mirrored_callback, NULL};
    int loop = loop_new();
    loop_add(loop, &timer, EPOLLIN);
    for (int i = 0; i < 5; i++) {
        CHECK(ctxshim_run(context, arms, &timer) == 0);
        expect_mirror(NULL);
        loop_turn(loop, 1);
        loop_rest(loop);
        expect_mirror(NULL);
    }
    close(timer.fd);
    close(loop);
}

/* A thread that starts with a value is told of it before its routine runs, and that it goes when it ends. */
static _Atomic int mirrors_left;

static void *mirrored_from_the_start(void *unused) {
    (void)unused;
    expect_mirror(&one);
    ctxshim_scope scope = ctxshim_push("scope");
    expect_mirror(&one);
    CHECK(ctxshim_set(key, &two) == 0);
    expect_mirror(&two);
    CHECK(ctxshim_pop(&scope) == 0);
    expect_mirror(&one);
    atomic_fetch_add(&mirrors_left, 1);
    return NULL;
}

/* In its own thread, when that has ended: libc runs this later than the shim's end of the thread. */
static pthread_key_t at_the_end;

static void expect_no_mirror(void *unused) {
    (void)unused;
    CHECK(mirror == NULL);
    atomic_fetch_sub(&mirrors_left, 1);
}

static void *mirrored_to_the_end(void *unused) {
    CHECK(pthread_setspecific(at_the_end, &at_the_end) == 0);
    return mirrored_from_the_start(unused);
}

static void threads_that_start_with_a_value(void) {
    pthread_t threads[4];
    CHECK(pthread_key_create(&at_the_end, expect_no_mirror) == 0);
    ctxshim_scope scope = ctxshim_with(key, &one);
    for (size_t i = 0; i < LENGTH(threads); i++)
        threads[i] = thread_start(mirrored_to_the_end, NULL);
    for (size_t i = 0; i < LENGTH(threads); i++)
        thread_join(threads[i]);
    CHECK(atomic_load(&mirrors_left) == 0);
    expect_mirror(&one);
    CHECK(ctxshim_pop(&scope) == 0);
    expect_mirror(NULL);
    CHECK(pthread_key_delete(at_the_end) == 0);
}

void C31_a_mirror_kept_by_the_callback_equals_the_value(void) {
    pthread_t threads[4];
    key = ctxshim_key_create("key", NULL);
    ctxshim_context *context = context_with(&one);
    CHECK(ctxshim_on_change(key, mirror_follows, NULL) == 0);
    for (size_t i = 0; i < LENGTH(threads); i++)
        threads[i] = thread_start(mirrored_thread, context);
    mirrored_loop(context);
    for (size_t i = 0; i < LENGTH(threads); i++)
        thread_join(threads[i]);
    threads_that_start_with_a_value();
    CHECK(ctxshim_on_change_remove(key, NULL) == 0);
    ctxshim_release(context);
    ctxshim_key_destroy(key);
}

/* --- C32 ------------------------------------------------------------------------------------------- */

/* Puts its own value in the place of &one, whoever sets that. */
static void replaces(void *before, void *after, int switched, void *argument) {
    (void)before;
    (void)switched;
    (void)argument;
    if (after == &one)
        CHECK(ctxshim_set(key, &two) == 0);
}

static void expect_replaced(void *argument) {
    (void)argument;
    CHECK_STACK("captured");
    CHECK(ctxshim_get(key) == &two);
}

static void replaced_everywhere(ctxshim_context *context) {
    CHECK(ctxshim_on_change(key, replaces, NULL) == 0);
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(ctxshim_set(key, &one) == 0);
    CHECK(ctxshim_get(key) == &two);
    CHECK(ctxshim_set(key, NULL) == 0);
    ctxshim_scope value = ctxshim_with(key, &one);
    CHECK(ctxshim_get(key) == &two);
    CHECK(ctxshim_pop(&value) == 0);
    CHECK(ctxshim_get(key) == NULL);
    CHECK(ctxshim_run(context, expect_replaced, NULL) == 0);
    CHECK(ctxshim_get(key) == NULL);
    CHECK_STACK("Main");
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_on_change_remove(key, NULL) == 0);
}

/* Never content: it sets another value each time it is told of one. */
static void never_content(void *before, void *after, int switched, void *argument) {
    (void)before;
    (void)switched;
    (void)argument;
    CHECK(ctxshim_set(key, after == &one ? &two : &one) == 0);
}

static _Atomic int misbehaved;

static void count_report(const struct key *which) {
    CHECK(which == (const struct key *)key && strcmp(key_name(which), "key") == 0);
    misbehaved++;
}

static void expect_ended(void *argument) {
    CHECK_STACK("captured");
    CHECK(ctxshim_get(key) != NULL);
    *(bool *)argument = true;
}

void C32_a_callback_may_set_its_own_key_and_may_misbehave(void) {
    bool ran = false;
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("captured");
    ctxshim_context *context = context_with(&one);
    CHECK(ctxshim_pop(&scope) == 0);
    watch_report = count_report;
    replaced_everywhere(context);

    CHECK(misbehaved == 0); /* to set its key once is no misbehaviour */
    CHECK(ctxshim_on_change(key, never_content, NULL) == 0);
    CHECK(ctxshim_run(context, expect_ended, &ran) == 0 && ran);
    CHECK(misbehaved > 0); /* it is reported, and the switch was complete */
    CHECK(ctxshim_on_change_remove(key, NULL) == 0);
    CHECK_STACK("");
    if (ctxshim_get(key) != NULL) /* what the callback did last, when the run was over */
        CHECK(ctxshim_set(key, NULL) == 0);
    ctxshim_release(context);
    ctxshim_key_destroy(key);
}
