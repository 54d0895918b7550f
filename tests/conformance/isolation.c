/* C1 to C8: immutability and isolation. Strategy: a naive model beside the contexts, an array of what each
 * key should read, compared after every change. */
#include "behaviour.h"

#include <stdio.h>
#include <string.h>

/* Any address will do as a value. */
static void *value_of(size_t number) {
    return (void *)(uintptr_t)(number + 1);
}

/* --- C1 C2 ----------------------------------------------------------------------------------------- */

static ctxshim_key *key;

static void captured_body(void *outcome) {
    CHECK_STACK("Main captured");
    CHECK(ctxshim_get(key) == value_of(1));
    CHECK(ctxshim_set(key, value_of(2)) == 0);
    ctxshim_scope left_open = ctxshim_push("inner");
    (void)left_open;
    CHECK_STACK("Main captured inner");
    *(bool *)outcome = true;
}

/* The cancellation of a thread in the middle of a run. */
struct cancelled {
    ctxshim_context *context;
    bool ran, restored;
};

static void is_restored(void *argument) {
    struct cancelled *cancelled = argument;
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == NULL);
    cancelled->restored = true;
}

static void body_that_exits(void *argument) {
    captured_body(argument);
    pthread_exit(NULL);
}

static void *run_and_exit(void *argument) {
    struct cancelled *cancelled = argument;
    pthread_cleanup_push(is_restored, cancelled);
    ctxshim_run(cancelled->context, body_that_exits, &cancelled->ran);
    pthread_cleanup_pop(0);
    return NULL;
}

void C1_run_sees_the_captured_values_and_nothing_escapes(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope outer = ctxshim_push("Main");
    ctxshim_scope inner = ctxshim_push("captured");
    CHECK(ctxshim_set(key, value_of(1)) == 0);
    struct cancelled cancelled = {.context = ctxshim_capture()};
    CHECK(ctxshim_pop(&inner) == 0);

    bool ran = false;
    CHECK(ctxshim_run(cancelled.context, captured_body, &ran) == 0 && ran);
    is_restored(&cancelled);
    ran = false;
    CHECK(run_and_throw(cancelled.context, captured_body, &ran) && ran);
    is_restored(&cancelled);
    cancelled.restored = false;
    on_thread(run_and_exit, &cancelled);
    CHECK(cancelled.ran && cancelled.restored);

    ctxshim_release(cancelled.context);
    CHECK(ctxshim_pop(&outer) == 0);
    ctxshim_key_destroy(key);
}

static void nothing_is_seen(void *outcome) {
    CHECK_STACK("");
    CHECK(ctxshim_get(key) == NULL);
    CHECK(ctxshim_capture() == NULL);
    *(bool *)outcome = true;
}

void C2_an_empty_context_hides_what_is_current(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_context *empty = ctxshim_capture();
    CHECK(empty == NULL);
    ctxshim_scope scope = ctxshim_push("Main"), value = ctxshim_with(key, value_of(1));

    bool ran = false;
    CHECK(ctxshim_run(empty, nothing_is_seen, &ran) == 0 && ran);
    CHECK_STACK("Main");
    ctxshim_scope hidden = ctxshim_attach(empty);
    nothing_is_seen(&ran);
    CHECK(ctxshim_pop(&hidden) == 0);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == value_of(1));

    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

/* --- C3 C6: keys and a model of them --------------------------------------------------------------- */

enum { MODEL_MOST = 1000 };

struct model {
    size_t count;
    ctxshim_key *keys[MODEL_MOST];
    void *expected[MODEL_MOST];
};

static void model_check(const struct model *model) {
    for (size_t i = 0; i < model->count; i++)
        CHECK(ctxshim_get(model->keys[i]) == model->expected[i]);
}

/* Sets one key (NULL removes), and looks whether this is what has happened: at all keys when they are few,
 * else at that key and some others. */
static void model_set(struct model *model, size_t i, void *value) {
    int same = model->expected[i] == value;
    CHECK(ctxshim_set(model->keys[i], value) == same);
    model->expected[i] = value;
    if (model->count <= 64)
        model_check(model);
    for (size_t other = i % 97; other < model->count; other += 97)
        CHECK(ctxshim_get(model->keys[other]) == model->expected[other]);
    CHECK(ctxshim_get(model->keys[i]) == value);
}

/* Adds, updates and removes every key, forwards, backwards and crosswise. */
static void model_exercise(struct model *model) {
    size_t count = model->count;
    for (size_t i = 0; i < count; i++)
        model_set(model, i, value_of(i));
    model_check(model);
    ctxshim_context *full = ctxshim_capture();
    for (size_t i = count; i-- > 0;)
        model_set(model, i, value_of(count + i));
    for (size_t i = 0; i < count; i += 2)
        model_set(model, i, NULL);
    model_check(model);
    for (size_t i = 0; i < count; i += 4)
        model_set(model, i, value_of(7 * i));
    for (size_t i = 0; i < count; i++)
        model_set(model, (i * 7 + 3) % count, NULL);
    for (size_t i = 0; i < count; i++)
        model_set(model, i, NULL);
    model_check(model);

    ctxshim_scope before = ctxshim_attach(full);
    for (size_t i = 0; i < count; i++)
        CHECK(ctxshim_get(model->keys[i]) == value_of(i));
    CHECK(ctxshim_pop(&before) == 0);
    ctxshim_release(full);
}

static void keys_exercise(size_t count) {
    static struct model model;
    memset(&model, 0, sizeof model);
    model.count = count;
    for (size_t i = 0; i < count; i++)
        CHECK((model.keys[i] = ctxshim_key_create("key", NULL)) != NULL);
    model_exercise(&model);
    for (size_t i = 0; i < count; i++)
        CHECK(ctxshim_key_destroy(model.keys[i]) == 0);
}

void C3_keys_are_independent_whatever_their_number(void) {
    for (size_t count = 1; count <= 40; count++)
        keys_exercise(count);
    keys_exercise(1000);
}

/* Keys are told apart by numbers in the order of their making, or by address. Whatever a map makes of either,
 * among very many keys there are some that agree in all but their highest bits: their hashes collide partly.
 */
void C6_keys_that_lie_close_to_each_other_behave_as_any(void) {
    enum { ALL = 1 << 18 };
    static ctxshim_key *all[ALL];
    static struct model model;
    for (size_t i = 0; i < ALL; i++)
        CHECK((all[i] = ctxshim_key_create("key", NULL)) != NULL);
    for (size_t stride = 1; stride <= ALL / 8; stride *= 8) {
        memset(&model, 0, sizeof model);
        for (size_t i = 0; i < ALL && model.count < 48; i += stride)
            model.keys[model.count++] = all[i];
        model_exercise(&model);
    }
    for (size_t i = 0; i < ALL; i++)
        CHECK(ctxshim_key_destroy(all[i]) == 0);
}

/* --- C4 C5 ----------------------------------------------------------------------------------------- */

static void *sets_its_own(void *value) {
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == value_of(1));
    CHECK(ctxshim_set(key, value) == 0);
    ctxshim_scope scope = ctxshim_push("child");
    CHECK(ctxshim_get(key) == value);
    CHECK(ctxshim_pop(&scope) == 0);
    return NULL;
}

static void sets_in_copy(void *argument) {
    (void)argument;
    CHECK(ctxshim_get(key) == value_of(1));
    CHECK(ctxshim_set(key, value_of(5)) == 0);
}

void C4_a_copy_is_isolated_in_both_directions(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(ctxshim_set(key, value_of(1)) == 0);
    ctxshim_context *copy = ctxshim_capture();
    pthread_t children[8];
    for (size_t i = 0; i < LENGTH(children); i++)
        children[i] = thread_start(sets_its_own, value_of(10 + i));
    for (size_t i = 0; i < LENGTH(children); i++)
        thread_join(children[i]);
    CHECK(ctxshim_get(key) == value_of(1));

    CHECK(ctxshim_set(key, value_of(2)) == 0);
    CHECK(ctxshim_run(copy, sets_in_copy, NULL) == 0);
    CHECK(ctxshim_run(copy, sets_in_copy, NULL) == 0);
    CHECK(ctxshim_get(key) == value_of(2));
    ctxshim_release(copy);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

/* Is the current context the same one, to the pointer? */
static bool is_current(const ctxshim_context *expected) {
    ctxshim_context *now = ctxshim_capture();
    bool same = now == expected;
    ctxshim_release(now);
    return same;
}

void C5_a_set_that_changes_nothing_yields_the_same_context(void) {
    ctxshim_key *absent = ctxshim_key_create("absent", NULL);
    key = ctxshim_key_create("key", NULL);
    CHECK(ctxshim_set(absent, NULL) == 1);
    CHECK(is_current(NULL));
    CHECK(ctxshim_set(key, value_of(1)) == 0);
    ctxshim_context *before = ctxshim_capture();
    CHECK(ctxshim_set(key, value_of(1)) == 1);
    CHECK(is_current(before));
    CHECK(ctxshim_set(absent, NULL) == 1);
    CHECK(is_current(before));
    CHECK(ctxshim_set(key, value_of(2)) == 0);
    CHECK(!is_current(before));
    ctxshim_release(before);
    CHECK(ctxshim_set(key, NULL) == 0);
    CHECK(is_current(NULL));
    ctxshim_key_destroy(key);
    ctxshim_key_destroy(absent);
}

/* --- C7 C8 ----------------------------------------------------------------------------------------- */

enum { FLOWS = 1000 };
static pthread_barrier_t all_inside;

static void *own_flow(void *number) {
    char name[32], expected[64];
    snprintf(name, sizeof name, "flow-%zu", (size_t)(uintptr_t)number);
    snprintf(expected, sizeof expected, "Main %s", name);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == value_of(0));
    ctxshim_scope scope = ctxshim_push(name);
    CHECK(ctxshim_set(key, number) == 0);
    pthread_barrier_wait(&all_inside);
    for (int i = 0; i < 100; i++) {
        CHECK_STACK(expected);
        CHECK(ctxshim_get(key) == number);
    }
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == value_of(0));
    return NULL;
}

void C7_a_thousand_flows_never_see_each_other(void) {
    static pthread_t flows[FLOWS];
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main"), value = ctxshim_with(key, value_of(0));
    CHECK(pthread_barrier_init(&all_inside, NULL, FLOWS) == 0);
    for (size_t i = 0; i < FLOWS; i++)
        flows[i] = thread_start(own_flow, value_of(100 + i));
    for (size_t i = 0; i < FLOWS; i++)
        thread_join(flows[i]);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == value_of(0));
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

static void must_not_be_told(void *before, void *after, int switched, void *argument) {
    (void)before;
    (void)after;
    (void)switched;
    CHECK(argument == NULL);
}

/* A key that had no value when it was destroyed gives its memory back at once: the next one often has its
 * very address. One that had a value must not be taken for it either. */
void C8_a_key_in_the_place_of_a_destroyed_one_reads_empty(void) {
    bool same_place = false;
    for (size_t i = 0; i < 1000; i++) {
        ctxshim_scope scope = ctxshim_push("Main");
        ctxshim_key *old = ctxshim_key_create("old", NULL);
        if (i % 2 == 0)
            CHECK(ctxshim_set(old, value_of(i)) == 0);
        CHECK(ctxshim_on_change(old, must_not_be_told, &old) == 0);
        CHECK(ctxshim_key_destroy(old) == 0);
        ctxshim_key *new = ctxshim_key_create("new", NULL);
        same_place = same_place || new == old;
        CHECK(ctxshim_get(new) == NULL);
        CHECK(ctxshim_set(new, value_of(i + 1)) == 0);
        CHECK(ctxshim_get(new) == value_of(i + 1));
        CHECK(ctxshim_pop(&scope) == 0);
        CHECK(ctxshim_get(new) == NULL);
        CHECK(ctxshim_key_destroy(new) == 0);
    }
    CHECK(same_place);
}
