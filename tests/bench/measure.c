/* How a row is timed: enough operations for a batch that the clock cannot miss, several batches, their
 * median. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCHES = 5 };
static const double BATCH_TIME = 8e6;

noreturn void complain(const char *what) {
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

void nothing(void *arg) {
    keep(arg);
}

double nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const double *left = a;
    const double *right = b;
    return (*left > *right) - (*left < *right);
}

double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static double timed(void (*run)(size_t size, uint64_t count), size_t size, uint64_t count) {
    double began = nanoseconds_now();
    run(size, count);
    return nanoseconds_now() - began;
}

/* Doubles the count up to a quarter of a batch. */
static uint64_t batch_count(const struct row *row) {
    uint64_t count = 64;
    double time = timed(row->run, row->size, count);
    while (time < BATCH_TIME / 4) {
        count *= 2;
        time = timed(row->run, row->size, count);
    }
    return (uint64_t)((double)count * BATCH_TIME / time) + 1;
}

static void prepare(const struct row *row) {
    if (row->prepare != NULL)
        row->prepare(row->size);
}

static void finish(const struct row *row) {
    if (row->finish != NULL)
        row->finish(row->size);
}

static double batch(const struct row *row, uint64_t count) {
    row->run(row->size, count / 8 + 1); /* warm */
    double time = timed(row->run, row->size, count);
    if (row->less != NULL)
        time -= timed(row->less, row->size, count);
    return time / ((double)count * (row->per != 0 ? row->per : 1));
}

double measure(const struct row *row) {
    prepare(row);
    uint64_t count = batch_count(row);
    finish(row);
    double values[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        prepare(row);
        values[i] = batch(row, count);
        finish(row);
    }
    return median(values, BATCHES);
}
