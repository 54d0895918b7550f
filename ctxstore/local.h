/* What the store keeps for each thread, in one place: the quick paths reach it by one offset.
 *
 * Only its thread touches it, and no signal handler that may have interrupted that. */
#ifndef CTXSTORE_LOCAL_H
#define CTXSTORE_LOCAL_H

#include "slab.h"

struct key;
struct thread;
struct value;

struct local {
    uintptr_t guard;            /* These two are the shim's (thread.h): who is inside, */
    struct thread *thread;      /* and this thread's record; NULL: none. */
    struct slab_cache contexts; /* of each size */
    struct slab_cache value_contexts;
    uint64_t serial; /* of a range: making a context is no atomic operation; its low half 0: used up */
    struct value *graveyard; /* dropped values, newest first (value.h) */
    struct slab_cache values, detours;
    struct beside *beside; /* NULL: none yet */
    const void *site;      /* where the program called us from, and... */
    int tid;               /* who this is: for origin.h, said by the shim */
};
extern _Thread_local struct local local;

/* What else it keeps, which lies beside its thread-local storage: that has to stay small. */
enum { KEY_STOCKS = 16 };
struct beside {
    struct slab_cache blocks[BLOCK_CACHES];
    struct key_stock {
        struct key *key; /* NULL: empty */
        uint32_t count;
    } keys[KEY_STOCKS]; /* by their numbers (key.h) */
};
/* Makes it. NULL without memory. */
struct beside *local_beside_new(void);
static inline struct beside *local_beside(void) {
    return __builtin_expect(local.beside != NULL, 1) ? local.beside : local_beside_new();
}

/* Gives back what this thread keeps of all. To be called when a thread ends. */
void local_end(void);

#endif
