/* Eight threads derive from, capture, pass on and drop the same few contexts. Nothing may leak, die early or
 * be destroyed twice; the sanitizers look on (make check-tsan). */
#include "../../ctxstore/cell.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 8, SHARED = 6, ROUNDS = 20000 };

static struct cell cells[SHARED];
static uint32_t generations[SHARED];
static struct key *stress_key;
static _Atomic long taken, destroyed;

static void destroy(void *value) {
    free(value);
    atomic_fetch_add(&destroyed, 1);
}

static void *counted_new(unsigned seed) {
    unsigned *value = malloc(sizeof *value);
    if (value == NULL)
        abort();
    *value = seed;
    return value;
}

/* One piece of work: taken from a cell, changed, put into another. Returns false when something is wrong. */
static bool work(struct flow *flow, unsigned number, unsigned *seed) {
    int error = 0;
    struct context *found = cell_copy(&cells[rand_r(seed) % SHARED], generations[0]);
    struct scope inside = flow_attach(flow, found, HERE, &error);
    context_release(found);
    struct scope step = flow_push(flow, "step", HERE, &error);
    unsigned *value = counted_new(number);
    if (flow_set(flow, stress_key, value, &error) != 0)
        return false;
    atomic_fetch_add(&taken, 1);
    if (values_get(flow->current->values, stress_key) != value)
        return false;
    unsigned to = rand_r(seed) % SHARED;
    /* Not always what was derived: paths would grow for ever. */
    struct context *left = rand_r(seed) % 4 != 0 ? flow_capture(flow) : NULL;
    if (left != NULL && context_format(left, NULL, 0) > 60) {
        context_release(left);
        left = NULL;
    }
    cell_put(&cells[to], generations[to], left);
    bool closed = flow_close(flow, &step) == 0 && flow_close(flow, &inside) == 0;
    return closed && flow->current == NULL && flow->detours == NULL;
}

static void *worker(void *argument) {
    unsigned number = (unsigned)(intptr_t)argument, seed = number;
    long rounds = getenv("UNIT_STEPS") != NULL ? ROUNDS / 4 : ROUNDS;
    bool right = true;
    struct flow flow;
    flow_begin(&flow, NULL);
    for (long i = 0; i < rounds && right; i++) {
        right = work(&flow, number, &seed);
        if (i % 16 == 0)
            graveyard_bury();
    }
    flow_end(&flow);
    graveyard_bury();
    context_thread_end();
    return right ? NULL : argument;
}

Test(stress, eight_threads_share_contexts, .timeout = 300, .fini = expect_no_contexts) {
    pthread_t threads[THREADS];
    stress_key = key_create("stress", destroy);
    for (int i = 0; i < SHARED; i++)
        generations[i] = cell_begin(&cells[i]);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, worker, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        cr_expect_eq(wrong, NULL, "thread %d", i + 1);
    }
    for (int i = 0; i < SHARED; i++)
        cell_end(&cells[i]);
    graveyard_bury();
    cr_expect_eq(atomic_load(&taken), atomic_load(&destroyed));
    cr_expect_gt(atomic_load(&taken), 0);
    key_destroy(stress_key);
}

/* Watchers come and go while another thread's values change: a notice goes to the right watcher. */
static _Atomic bool watching;
static struct key *watched_key;
static _Atomic long wrong_notices;
static int arguments[2];

static void first_watcher(void *before, void *after, int switched, void *arg) {
    (void)before, (void)after, (void)switched;
    if (arg != &arguments[0])
        atomic_fetch_add(&wrong_notices, 1);
}

static void second_watcher(void *before, void *after, int switched, void *arg) {
    (void)before, (void)after, (void)switched;
    if (arg != &arguments[1])
        atomic_fetch_add(&wrong_notices, 1);
}

static void *change(void *unused) {
    static int two[2];
    int error = 0;
    struct flow flow;
    (void)unused;
    flow_begin(&flow, NULL);
    for (unsigned i = 0; atomic_load(&watching); i++)
        flow_set(&flow, watched_key, &two[i % 2], &error);
    flow_end(&flow);
    context_thread_end();
    return NULL;
}

Test(stress, watchers_come_and_go, .timeout = 60, .fini = expect_no_contexts) {
    pthread_t thread;
    watched_key = key_create("watched", NULL);
    atomic_store(&watching, true);
    cr_assert_eq(pthread_create(&thread, NULL, change, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        watch_add(watched_key, i % 2 == 0 ? first_watcher : second_watcher, &arguments[i % 2]);
        watch_remove(watched_key, &arguments[i % 2]);
    }
    atomic_store(&watching, false);
    pthread_join(thread, NULL);
    cr_expect_eq(atomic_load(&wrong_notices), 0);
    key_destroy(watched_key);
}
