/* The benchmark of the store through its public functions: `store` under LD_PRELOAD prints a line "ROW VALUE"
 * for each row of work. Nanoseconds for an operation; bytes or millions of bytes for the memory.
 *
 * How a program uses the store is how it is measured here: the header's inline functions, and the shim found
 * by dlsym. What is prepared for a row is thrown away after it.
 *
 * `store PREFIX...`: only the rows that begin with one of these. */
#include "bench.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **wanted; /* NULL-terminated; empty: all */

static bool is_wanted(const char *id) {
    for (char **prefix = wanted; *prefix != NULL; prefix++)
        if (strncmp(id, *prefix, strlen(*prefix)) == 0)
            return true;
    return *wanted == NULL;
}

static void time_rows(const struct row *rows) {
    for (const struct row *row = rows; row->id != NULL; row++)
        if (is_wanted(row->id))
            printf("%s %.3f\n", row->id, measure(row));
}

/* In a process of its own, where no other row has left memory to use again. */
static void fill_row(const struct memory_row *row) {
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("%s %.1f\n", row->id, row->fill(row->size));
        (void)fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        complain(row->id);
}

static void *sleeper(void *arg) {
    for (;;)
        pause();
    return arg;
}

int main(int argc, char **argv) {
    wanted = argv + (argc > 0);
    if (!ctxshim_active())
        complain("the shim is not loaded: LD_PRELOAD=build/libctxshim.so");
    for (const struct memory_row *row = rows_memory; row->id != NULL; row++)
        if (is_wanted(row->id))
            fill_row(row);
    /* Nobody shall profit from a process that has one thread. */
    pthread_t second;
    if (pthread_create(&second, NULL, sleeper, NULL) != 0)
        complain("no thread");
    /* And no row from a store that nobody has used before. */
    srandom((unsigned)nanoseconds_now());
    contexts_make(KEYS_LIMIT);
    contexts_drop(KEYS_LIMIT);
    time_rows(rows_raw);
    time_rows(rows_store);
    time_rows(rows_two_threads);
    return 0;
}
