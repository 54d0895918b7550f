/* What the parts of the store's benchmark share: a row of work and how it is measured, and the contexts it
 * works on. README.md says what each row is. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include <ctxshim.h>

/* One row of timed work. `size` is the row's own: a number of keys, or a name's length. */
struct row {
    const char *id; /* NULL: behind the last row of a table */
    void (*run)(size_t size, uint64_t count);
    void (*less)(size_t size, uint64_t count); /* or NULL: what `run` does besides, to be subtracted */
    void (*prepare)(size_t size);              /* or NULL */
    void (*finish)(size_t size);               /* or NULL */
    size_t size;
    unsigned per; /* operations in one count; 0: one */
};

/* One row of memory: `fill` makes something live on and returns what one of it takes, in the row's unit. */
struct memory_row {
    const char *id;
    double (*fill)(size_t size);
    size_t size;
};

extern const struct row rows_store[];
extern const struct row rows_two_threads[];
extern const struct row rows_raw[];
extern const struct memory_row rows_memory[];

/* Nanoseconds for one operation of the row: the median of several batches, each prepared and finished. */
double measure(const struct row *row);
double nanoseconds_now(void);
double median(double *values, size_t count);

/* Keeps what led to `value` from being optimised away. */
static inline void keep(const void *value) {
    __asm__ volatile("" : : "r"(value) : "memory");
}
noreturn void complain(const char *what);
/* Does nothing, where no caller can see it. */
void nothing(void *arg);

/* ---- The contexts under test (contexts.c): CONTEXTS of them, one operation each, with the same keys and all
 * ---- values different, set by ctxshim_set and captured. The first is current. */

enum { CONTEXTS = 7, KEYS_LIMIT = 1000 };

extern ctxshim_key *keys[KEYS_LIMIT];
extern ctxshim_context *contexts[CONTEXTS];
/* What `keys[i]` has in `contexts[c]` is &value_cells[c][i]; what is in the last row is in no context. */
extern char value_cells[CONTEXTS + 1][KEYS_LIMIT];

void contexts_make(size_t key_count);
void contexts_drop(size_t key_count);

#endif
