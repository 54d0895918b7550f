/* All threads and what each is doing: the list that `ctxshim ps` shows, from inside or from outside.
 *
 * The records of threads lie in one list that only grows, as their memory is never freed: going along it needs
 * no lock, and may happen at any moment, while threads start and end. Each is looked at as peek.h says; what
 * its thread changes meanwhile is looked at again. Threads that the shim has not met yet have no record. */
#ifndef SHIM_CENSUS_H
#define SHIM_CENSUS_H

#include "../ctxstore/peek.h"

struct thread;

struct census_line {
    int tid;           /* the kernel's */
    const char *stack; /* as ctxshim_stack prints it; NULL: it changed all the time */
};

/* Calls `each` for every thread that has a record. `records` is where that process's thread_records lies. In
 * this process: async-signal-safe, if `each` is. */
void census_take(const struct memory *memory, const void *records,
                 void (*each)(const struct census_line *line, void *arg), void *arg);

#endif
