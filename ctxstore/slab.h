/* Memory for the store's objects: fixed sizes, straight from the kernel, never given back.
 *
 * Type-stable: an object that was freed is only ever used again as one of its own kind, so a reader
 * that holds an old pointer may look at it and find by its serial or generation that it is another
 * one now. The first eight bytes of a free object are the free list's; all others keep their values.
 *
 * Any thread may call these, a fork child too; a signal handler that may have interrupted one may not. */
#ifndef CTXSTORE_SLAB_H
#define CTXSTORE_SLAB_H

#include "lock.h"

#include <stddef.h>

struct slab {
    struct lock lock;
    uint32_t size; /* of one object, in bytes; a multiple of 8 */
    void *free;
    char *fresh, *end; /* what is left of the newest chunk */
    size_t out;        /* objects that are with callers */
};

#define SLAB(object_size)                                                                                    \
    { .size = (object_size) }

/* One object, or NULL without memory. A fresh one is zero; a used one is as it was left. */
void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *object);

/* Up to `want` objects chained by their first word; `*count` says how many there are. */
void *slab_take_chain(struct slab *slab, unsigned want, unsigned *count);
/* Gives a chain of `count` objects back: `last` is its last. */
void slab_give_chain(struct slab *slab, void *first, void *last, unsigned count);

/* Blocks of any size (names, maps): rounded up to a power of two, or whole pages when large. */
void *block_take(size_t size);
void block_give(void *block, size_t size);

#endif
