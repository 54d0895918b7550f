/* The store at work in one thread. */
#include "bench.h"

#include <string.h>

enum { GETS = 10, NAME_LIMIT = 200 };

static char name[NAME_LIMIT + 1];

/* Looks, once, whether the work does what is to be timed. */
static void prepare_push(size_t length) {
    contexts_make(1);
    memset(name, 'n', length);
    name[length] = '\0';
    size_t before = ctxshim_stack(NULL, 0);
    ctxshim_scope scope = ctxshim_push(name);
    size_t inside = ctxshim_stack(NULL, 0);
    ctxshim_pop(&scope);
    if (inside != before + 1 + length || ctxshim_stack(NULL, 0) != before)
        complain("an operation was not pushed and popped");
}

static void finish_push(size_t length) {
    (void)length;
    contexts_drop(1);
}

static void push_pop(size_t length, uint64_t count) {
    (void)length;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_push(name);
        ctxshim_pop(&scope);
    }
}

static void switch_only(size_t key_count, uint64_t count) {
    (void)key_count;
    for (uint64_t i = 0, c = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_attach(contexts[c]);
        ctxshim_pop(&scope);
        c = c + 1 < CONTEXTS ? c + 1 : 0;
    }
}

/* Ten gets after each switch, each of the next key. CONTEXTS and the keys' number have no common factor: so
 * every key is met in every context. */
static void switch_and_get(size_t key_count, uint64_t count) {
    const char *last = NULL;
    size_t k = 0;
    for (uint64_t i = 0, c = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_attach(contexts[c]);
        for (int j = 0; j < GETS; j++) {
            last = ctxshim_get(keys[k]);
            keep(last);
            k = k + 1 < key_count ? k + 1 : 0;
        }
        ctxshim_pop(&scope);
        c = c + 1 < CONTEXTS ? c + 1 : 0;
    }
}

static void prepare_set(size_t key_count) {
    contexts_make(key_count);
    for (size_t k = 0; k < key_count; k++) {
        void *value = &value_cells[CONTEXTS][k];
        ctxshim_scope with = ctxshim_with(keys[k], value);
        int good = ctxshim_get(keys[k]) == value;
        ctxshim_pop(&with);
        ctxshim_scope attached = ctxshim_attach(contexts[0]);
        good = good && ctxshim_set(keys[k], value) == 0 && ctxshim_get(keys[k]) == value;
        ctxshim_pop(&attached);
        if (!good || ctxshim_get(keys[k]) != &value_cells[0][k])
            complain("a value was not set and restored");
    }
}

/* The value is of no context, so that each set changes something. */
static void with_pop(size_t key_count, uint64_t count) {
    size_t k = 0;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_with(keys[k], &value_cells[CONTEXTS][k]);
        ctxshim_pop(&scope);
        k = k + 1 < key_count ? k + 1 : 0;
    }
}

/* As with_pop, and inside it a get of another key. */
static void with_get_pop(size_t key_count, uint64_t count) {
    size_t k = 0;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_with(keys[k], &value_cells[CONTEXTS][k]);
        k = k + 1 < key_count ? k + 1 : 0;
        keep(ctxshim_get(keys[k]));
        ctxshim_pop(&scope);
    }
}

static void attach_set_pop(size_t key_count, uint64_t count) {
    size_t k = 0;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_attach(contexts[0]);
        ctxshim_set(keys[k], &value_cells[CONTEXTS][k]);
        ctxshim_pop(&scope);
        k = k + 1 < key_count ? k + 1 : 0;
    }
}

static void capture_release(size_t key_count, uint64_t count) {
    (void)key_count;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_context *context = ctxshim_capture();
        keep(context);
        ctxshim_release(context);
    }
}

static void switch_and_capture(size_t key_count, uint64_t count) {
    (void)key_count;
    for (uint64_t i = 0, c = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_attach(contexts[c]);
        ctxshim_context *context = ctxshim_capture();
        keep(context);
        ctxshim_release(context);
        ctxshim_pop(&scope);
        c = c + 1 < CONTEXTS ? c + 1 : 0;
    }
}

static void capture_run(size_t key_count, uint64_t count) {
    (void)key_count;
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_context *context = ctxshim_capture();
        ctxshim_run(context, nothing, NULL);
        ctxshim_release(context);
    }
}

static void run_another(size_t key_count, uint64_t count) {
    (void)key_count;
    for (uint64_t i = 0, c = 0; i < count; i++) {
        ctxshim_run(contexts[c], nothing, NULL);
        c = c + 1 < CONTEXTS ? c + 1 : 0;
    }
}

#define ON_CONTEXTS .prepare = contexts_make, .finish = contexts_drop
#define SETTING .prepare = prepare_set, .finish = contexts_drop

const struct row rows_store[] = {
    {"push-3", .run = push_pop, .prepare = prepare_push, .finish = finish_push, .size = 3},
    {"push-24", .run = push_pop, .prepare = prepare_push, .finish = finish_push, .size = 24},
    {"push-200", .run = push_pop, .prepare = prepare_push, .finish = finish_push, .size = 200},
    {"get-1", .run = switch_and_get, .less = switch_only, ON_CONTEXTS, .size = 1, .per = GETS},
    {"get-10", .run = switch_and_get, .less = switch_only, ON_CONTEXTS, .size = 10, .per = GETS},
    {"get-100", .run = switch_and_get, .less = switch_only, ON_CONTEXTS, .size = 100, .per = GETS},
    {"get-1000", .run = switch_and_get, .less = switch_only, ON_CONTEXTS, .size = 1000, .per = GETS},
    {"switch", .run = switch_only, ON_CONTEXTS, .size = 10},
    {"switch-get-10", .run = switch_and_get, ON_CONTEXTS, .size = 10},
    {"with-1", .run = with_pop, SETTING, .size = 1},
    {"with-10", .run = with_pop, SETTING, .size = 10},
    {"with-100", .run = with_pop, SETTING, .size = 100},
    {"with-1000", .run = with_pop, SETTING, .size = 1000},
    {"with-get-10", .run = with_get_pop, SETTING, .size = 10},
    {"with-get-100", .run = with_get_pop, SETTING, .size = 100},
    {"set-1", .run = attach_set_pop, SETTING, .size = 1},
    {"set-10", .run = attach_set_pop, SETTING, .size = 10},
    {"set-100", .run = attach_set_pop, SETTING, .size = 100},
    {"set-1000", .run = attach_set_pop, SETTING, .size = 1000},
    {"capture-1", .run = capture_release, ON_CONTEXTS, .size = 1},
    {"capture-100", .run = capture_release, ON_CONTEXTS, .size = 100},
    {"capture-other", .run = switch_and_capture, .less = switch_only, ON_CONTEXTS, .size = 1},
    {"capture-run", .run = capture_run, ON_CONTEXTS, .size = 1},
    {"run-other", .run = run_another, ON_CONTEXTS, .size = 1},
    {0},
};
