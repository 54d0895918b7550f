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

#include <stdbool.h>
#include <stddef.h>

struct slab {
    struct lock lock;
    uint32_t size; /* of one object, in bytes; a multiple of 8 */
    void *free;
    char *fresh, *end;  /* what is left of the newest chunk */
    _Atomic size_t out; /* objects that are with callers: changed with the lock held, looked at without */
};

#define SLAB(object_size)                                                                                    \
    { .size = (object_size) }

/* How much is asked of the kernel at once, in bytes but never less than one object; and by a thread's cache
 * of its slab, in objects. Tests ask for little, to have every allocation fail in turn. */
extern size_t slab_chunk;
extern unsigned slab_refill;

/* One object, or NULL without memory. A fresh one is zero; a used one is as it was left. */
void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *object);

/* Up to `want` objects chained by their first word; `*count` says how many there are. */
void *slab_take_chain(struct slab *slab, unsigned want, unsigned *count);
/* Gives a chain of `count` objects back: `last` is its last. */
void slab_give_chain(struct slab *slab, void *first, void *last, unsigned count);

/* What one thread keeps of a slab, so that taking and giving is usually neither a locked instruction nor
 * anything that others see. Only its thread touches it, and no signal handler that may have interrupted
 * that. */
struct slab_cache {
    void *free;
    uint32_t count;
};
enum { SLAB_CACHE_MOST = 64 };

/* Each does the whole of the call of its name, when the cache alone cannot. */
void *slab_cache_refill(struct slab_cache *cache, struct slab *slab);
void slab_cache_spill(struct slab_cache *cache, struct slab *slab, unsigned keep);

static inline void *slab_cache_take(struct slab_cache *cache, struct slab *slab) {
    void *object = cache->free;
    if (__builtin_expect(object == NULL, 0))
        return slab_cache_refill(cache, slab);
    cache->free = *(void **)object;
    cache->count--;
    return object;
}
static inline void slab_cache_give(struct slab_cache *cache, struct slab *slab, void *object) {
    *(void **)object = cache->free;
    cache->free = object;
    if (__builtin_expect(++cache->count > SLAB_CACHE_MOST, 0))
        slab_cache_spill(cache, slab, SLAB_CACHE_MOST / 2);
}
/* Gives everything back. */
static inline void slab_cache_end(struct slab_cache *cache, struct slab *slab) {
    if (cache->count > 0)
        slab_cache_spill(cache, slab, 0);
}

/* Blocks of any size (names, maps): in steps of 16 bytes up to 256, then of powers of two, whole pages when
 * large. Those of up to BLOCK_CACHED bytes go through this thread's caches (local.h), one for each size. */
enum { BLOCK_STEP = 16, BLOCK_FINE = 256, BLOCK_CACHED = 512, BLOCK_CACHES = BLOCK_FINE / BLOCK_STEP + 1 };
void *block_take(size_t size);
void block_give(void *block, size_t size);
/* This thread's caches of blocks go back; it has some. */
void block_thread_end(void);

#endif
