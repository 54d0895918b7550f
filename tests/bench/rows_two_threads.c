/* The store on two threads that share contexts, and beside it what no sharing can beat: one atomic counter.
 */
#include "bench.h"
#include "two_threads.h"

#include <stdatomic.h>

static _Alignas(64) _Atomic uint64_t counter;

static void capture_release(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        ctxshim_context *context = ctxshim_capture();
        keep(context);
        ctxshim_release(context);
    }
}

static void attach_pop(uint64_t count) {
    for (uint64_t i = 0, c = 0; i < count; i++) {
        ctxshim_scope scope = ctxshim_attach(contexts[c]);
        ctxshim_pop(&scope);
        c = c + 1 < CONTEXTS ? c + 1 : 0;
    }
}

static void locked_add(uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
}

static void run(size_t key_count, uint64_t count) {
    (void)key_count;
    two_threads_run(count);
}

static void prepare_capture(size_t key_count) {
    contexts_make(key_count);
    two_threads_begin(capture_release);
}

static void prepare_attach(size_t key_count) {
    contexts_make(key_count);
    two_threads_begin(attach_pop);
}

static void finish(size_t key_count) {
    two_threads_end();
    contexts_drop(key_count);
}

static void prepare_add(size_t unused) {
    (void)unused;
    two_threads_begin(locked_add);
}

static void finish_add(size_t unused) {
    (void)unused;
    two_threads_end();
}

const struct row rows_two_threads[] = {
    {"capture-shared", .run = run, .prepare = prepare_capture, .finish = finish, .size = 1},
    {"switch-shared", .run = run, .prepare = prepare_attach, .finish = finish, .size = 1},
    {"raw-add-shared", .run = run, .prepare = prepare_add, .finish = finish_add},
    {0},
};
