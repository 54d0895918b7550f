/* All threads and what each is doing: the list that `ctxshim ps` shows, from inside or from outside.
 *
 * The records of threads lie in one list that only grows, as their memory is never freed: going along it
 * needs no lock, and may happen at any moment, while threads start and end. Each is looked at as peek.h says;
 * what its thread changes meanwhile is looked at again. Threads that the shim has not met yet have no record.
 *
 * From outside, the list is found by a mark in the library's own memory: in a process that goes on or hangs,
 * and in a core file. None of this costs the process anything. */
#ifndef SHIM_CENSUS_H
#define SHIM_CENSUS_H

#include "../ctxstore/peek.h"
#include "holders.h"
#include "thread.h"

/* The one object that the outside looks for. */
#define CENSUS_MARK "ctxshim census"
#define CENSUS_LAYOUT                                                                                        \
    ((uint64_t)sizeof(struct thread) << 40 | (uint64_t)offsetof(struct thread, frames) << 28 |               \
     (uint64_t)sizeof(struct frame) << 16 | (uint64_t)offsetof(struct frame, provenance) << 8 |              \
     (uint64_t)sizeof(struct context))
struct census {
    _Alignas(16) char mark[16];
    uint64_t layout;     /* of what a reader looks into: another version's command cannot read it */
    const void *records; /* where thread_records lies */
    const void *leaks;   /* where leaks_region lies (leaks.h) */
    struct holders_map holders;
};
extern const struct census census_mark;

struct census_line {
    int tid;           /* the kernel's, in the process's own namespace */
    const char *stack; /* as ctxshim_stack prints it; NULL: it changed all the time */
    bool doubtful;     /* the stack is not for sure */
    bool adopted;      /* `provenance` says where the context came from */
    struct provenance provenance;
};

/* Calls `each` for every thread that has a record. `records` is where that process's thread_records lies. In
 * this process: async-signal-safe, if `each` is. */
void census_take(const struct memory *memory, const void *records,
                 void (*each)(const struct census_line *line, void *arg), void *arg);

#endif
