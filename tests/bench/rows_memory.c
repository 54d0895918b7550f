/* What contexts take while they live: the growth of resident memory, as the kernel counts it, over many of
 * them. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIVE = 200000, CHAIN = 1000000, NAME_LIMIT = 200 };

/* The program's own, touched before anything is counted. */
static ctxshim_context *live[CHAIN];
static char cells[CHAIN];

static double resident_bytes(void) {
    long total = 0;
    long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2)
        complain("/proc/self/statm cannot be read");
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* The second time round, reading statm takes no new memory. */
static double begin(void) {
    memset(live, 1, sizeof live);
    (void)resident_bytes();
    return resident_bytes();
}

static double grown_since(double before, size_t count) {
    double grown = resident_bytes() - before;
    for (size_t i = 0; i < count; i++) {
        if (live[i] == NULL || (i > 0 && live[i] == live[i - 1]))
            complain("contexts that should be alive and different are not");
    }
    return grown;
}

/* Each in a scope of its own, with another value under one of the keys. */
static double with_and_capture(size_t key_count) {
    contexts_make(key_count);
    double before = begin();
    for (size_t i = 0; i < LIVE; i++) {
        ctxshim_scope scope = ctxshim_with(keys[i % key_count], &cells[i]);
        live[i] = ctxshim_capture();
        ctxshim_pop(&scope);
    }
    return grown_since(before, LIVE) / LIVE;
}

/* Without scopes: what is set takes the place of what was. */
static double set_and_capture(size_t key_count) {
    contexts_make(key_count);
    double before = begin();
    for (size_t i = 0; i < LIVE; i++) {
        if (ctxshim_set(keys[i % key_count], &cells[i]) != 0)
            complain("a key did not take its value");
        live[i] = ctxshim_capture();
    }
    return grown_since(before, LIVE) / LIVE;
}

static double push_and_capture(size_t length) {
    char name[NAME_LIMIT + 1] = {0};
    memset(name, 'n', length);
    double before = begin();
    for (size_t i = 0; i < LIVE; i++) {
        ctxshim_scope scope = ctxshim_push(name);
        live[i] = ctxshim_capture();
        ctxshim_pop(&scope);
    }
    return grown_since(before, LIVE) / LIVE;
}

/* In millions of bytes, for a million. */
static double chain(size_t unused) {
    (void)unused;
    double before = begin();
    for (size_t i = 0; i < CHAIN; i++) {
        (void)ctxshim_push("op");
        live[i] = ctxshim_capture();
    }
    return grown_since(before, CHAIN) / 1e6;
}

const struct memory_row rows_memory[] = {
    {"live-1", with_and_capture, 1},
    {"live-10", with_and_capture, 10},
    {"live-100", with_and_capture, 100},
    {"live-set-1", set_and_capture, 1},
    {"live-set-10", set_and_capture, 10},
    {"live-set-100", set_and_capture, 100},
    {"live-push-3", push_and_capture, 3},
    {"live-push-24", push_and_capture, 24},
    {"chain", chain, 0},
    {0},
};
