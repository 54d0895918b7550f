/* What each thread of a process works for, as the shim in it knows: read from outside, consistent or not at
 * all. */
#ifndef CTXSHIM_COMMAND_SNAPSHOT_H
#define CTXSHIM_COMMAND_SNAPSHOT_H

#include "memory.h"

/* A thread and its current context. Strings are as the program gave them: whoever shows them escapes them. */
struct sight {
    int tid;
    char *name;
    bool known;            /* the shim has a record of this thread, and it held still */
    GPtrArray *operations; /* of char *, outermost first */
    bool ambiguous;        /* not for sure: shown with a question mark */
    const char *evidence;  /* "read", "event", ...: what decided; NULL: no adoption */
    const char *carrier;   /* "connection", "eventfd", ...: over what it came; NULL: no descriptor */
    int fd;                /* of the carrier; -1: none */
    uint64_t since;        /* of the adoption, in the process's CLOCK_MONOTONIC, nanoseconds; 0: not known */
};

/* Where the census of the library in this process lies; NULL with `error` set when there is none, or it is
 * another version's. */
struct census *snapshot_find(const struct memory *memory, GError **error);

/* One struct sight for each thread; to be freed with g_array_unref. */
GArray *snapshot_take(struct memory *memory, const struct census *census);

#endif
