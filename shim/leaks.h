/* Context leaks, as they are found: what is kept of each, and where (record.h). With `leaks` off nothing here
 * is ever called. */
#ifndef SHIM_LEAKS_H
#define SHIM_LEAKS_H

#include "../ctxstore/flow.h"
#include "record.h"

/* With `leaks`: maps the region, and listens for what the store finds. False without memory. */
bool leaks_start(void);
/* In a fork child: the parent's region is the parent's. */
void leaks_forked(void);

/* What is known of a leak; what is not is NULL or 0. */
struct leak {
    enum leak_kind kind;
    uint16_t site, other_site; /* site.h */
    const char *operations;    /* the path, as ctxshim_stack has it */
    const char *about;         /* what holds it, what it was misused against */
    const char *how;           /* how the context came there */
    uint64_t age;              /* nanoseconds */
};
/* Notes it; the same kind at the same place is counted only. Inside the guard; not async-signal-safe. */
void leaks_note(const struct leak *leak);

/* The region, or NULL. */
extern struct record_header *leaks_region;

#endif
