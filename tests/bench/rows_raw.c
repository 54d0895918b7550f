/* What the machine takes for the least that such a store could do. */
#include "bench.h"
#include "tls.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Alignas(64) _Atomic uint64_t counter;

static void tls_load(size_t unused, uint64_t count) {
    (void)unused;
    for (uint64_t i = 0; i < count; i++)
        keep(tls_pointer());
}

static void locked_add(size_t unused, uint64_t count) {
    (void)unused;
    for (uint64_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
}

static void locked_add_and_back(size_t unused, uint64_t count) {
    (void)unused;
    for (uint64_t i = 0; i < count; i++) {
        atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&counter, 1, memory_order_release);
    }
}

static void allocate_and_free(size_t bytes, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        void *block = malloc(bytes);
        keep(block);
        free(block);
    }
}

const struct row rows_raw[] = {
    {"raw-tls", .run = tls_load},
    {"raw-add", .run = locked_add},
    {"raw-add-2", .run = locked_add_and_back},
    {"raw-malloc", .run = allocate_and_free, .size = 48},
    {0},
};
