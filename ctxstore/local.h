/* What the store keeps for each thread, in one place: the quick paths reach it by one offset.
 *
 * Only its thread touches it, and no signal handler that may have interrupted that. */
#ifndef CTXSTORE_LOCAL_H
#define CTXSTORE_LOCAL_H

#include "slab.h"

struct value;

struct local {
    struct slab_cache contexts; /* of each size */
    struct slab_cache value_contexts;
    uint64_t serial, serial_end; /* a range of serials: making a context is no atomic operation */
    struct value *graveyard;     /* dropped values, newest first (value.h) */
    struct slab_cache values, detours;
    struct block_caches *blocks; /* NULL: none yet */
    const void *site;            /* where the program called us from, and... */
    int tid;                     /* who this is: for origin.h, said by the shim */
};
extern _Thread_local struct local local;

/* Gives back what this thread keeps of all. To be called when a thread ends. */
void local_end(void);

#endif
