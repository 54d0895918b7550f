/* What each thread of a process works for, as the shim in it knows: read from outside, whole or not at all.
 */
#ifndef CTXSHIM_COMMAND_SNAPSHOT_H
#define CTXSHIM_COMMAND_SNAPSHOT_H

#include "target.h"

struct census;

/* A thread and its current context. Strings are as the program gave them: whoever shows them escapes them. */
struct sight {
    int tid;
    char *name;
    char *
        stack; /* as ctxshim_stack has it; NULL: the shim does not know this thread, or it never held still */
    bool doubtful;        /* not for sure: the stack has a question mark */
    const char *evidence; /* "read", "event", ...: what decided; NULL: no adoption */
    const char *carrier;  /* "connection", "eventfd", ...: over what it came; NULL: no descriptor */
    int fd;               /* of the carrier; -1: none */
    int from;             /* the thread that handed it over, as numbered here; 0: not known, or gone */
    uint64_t since;       /* of the adoption, in the process's CLOCK_MONOTONIC, nanoseconds; 0: not known */
};

/* Where the census of the library in this process lies; NULL with `error` set when there is none, or it is
 * another version's. To be freed with g_free. */
struct census *snapshot_find(const struct target *target, GError **error);

/* One struct sight for each thread; to be freed with g_array_unref. */
GArray *snapshot_take(struct target *target, const struct census *census);

#endif
