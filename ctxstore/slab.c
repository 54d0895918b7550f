/* Type-stable memory: see slab.h. */
#include "slab.h"

#include "kernel.h"
#include "local.h"

#include <string.h>

enum { PAGE = 4096 };

size_t slab_chunk = (size_t)64 * 1024;
unsigned slab_refill = 32;

static void slab_lock(struct slab *slab) {
    if (!lock_take(&slab->lock)) { /* half changed by a thread that fork left behind: start anew */
        slab->free = NULL;
        slab->fresh = slab->end = NULL;
    }
}

/* With the lock held. */
static void *slab_fresh(struct slab *slab) {
    if (slab->fresh == NULL || (size_t)(slab->end - slab->fresh) < slab->size) {
        size_t size = slab_chunk > slab->size ? slab_chunk : slab->size;
        char *chunk = kernel_map(size);
        if (chunk == NULL)
            return NULL;
        slab->fresh = chunk;
        slab->end = chunk + size;
    }
    void *object = slab->fresh;
    slab->fresh += slab->size;
    return object;
}

/* With the lock held. */
static void *slab_next(struct slab *slab) {
    void *object = slab->free;
    if (object == NULL)
        return slab_fresh(slab);
    slab->free = *(void **)object;
    return object;
}

/* With the lock held. */
static void slab_count(struct slab *slab, size_t more) {
    size_t out = atomic_load_explicit(&slab->out, memory_order_relaxed);
    atomic_store_explicit(&slab->out, out + more, memory_order_relaxed);
}

void *slab_take(struct slab *slab) {
    slab_lock(slab);
    void *object = slab_next(slab);
    slab_count(slab, object != NULL);
    lock_give(&slab->lock);
    return object;
}

void slab_give(struct slab *slab, void *object) {
    slab_give_chain(slab, object, object, 1);
}

void *slab_take_chain(struct slab *slab, unsigned want, unsigned *count) {
    void *chain = NULL;
    *count = 0;
    slab_lock(slab);
    while (*count < want) {
        void *object = slab_next(slab);
        if (object == NULL)
            break;
        *(void **)object = chain;
        chain = object;
        ++*count;
    }
    slab_count(slab, *count);
    lock_give(&slab->lock);
    return chain;
}

void slab_give_chain(struct slab *slab, void *first, void *last, unsigned count) {
    slab_lock(slab);
    *(void **)last = slab->free;
    slab->free = first;
    slab_count(slab, -(size_t)count);
    lock_give(&slab->lock);
}

void *slab_cache_refill(struct slab_cache *cache, struct slab *slab) {
    cache->free = slab_take_chain(slab, slab_refill, &cache->count);
    return cache->free != NULL ? slab_cache_take(cache, slab) : NULL;
}

/* The oldest ones go, the newest are still warm. */
void slab_cache_spill(struct slab_cache *cache, struct slab *slab, unsigned keep) {
    void **end = &cache->free;
    for (unsigned i = 0; i < keep; i++)
        end = *end;
    void *first = *end, *last = first;
    for (unsigned i = keep + 1; i < cache->count; i++)
        last = *(void **)last;
    *end = NULL;
    slab_give_chain(slab, first, last, cache->count - keep);
    cache->count = keep;
}

/* --- blocks -------------------------------------------------------------------------------------- */

static struct slab blocks[] = {SLAB(16),  SLAB(32),  SLAB(48),  SLAB(64),   SLAB(80),   SLAB(96),  SLAB(112),
                               SLAB(128), SLAB(144), SLAB(160), SLAB(176),  SLAB(192),  SLAB(208), SLAB(224),
                               SLAB(240), SLAB(256), SLAB(512), SLAB(1024), SLAB(2048), SLAB(4096)};
enum { BLOCK_CLASSES = sizeof blocks / sizeof blocks[0] };

/* The class of a size, or BLOCK_CLASSES for one that gets whole pages. */
static unsigned block_class(size_t size) {
    if (size <= BLOCK_FINE)
        return size == 0 ? 0 : (unsigned)((size - 1) / BLOCK_STEP);
    unsigned class = BLOCK_CACHES - 1;
    while (class < BLOCK_CLASSES && blocks[class].size < size)
        class ++;
    return class;
}

static size_t block_pages(size_t size) {
    return (size + PAGE - 1) / PAGE * PAGE;
}

/* This thread's cache of a class; NULL: it has none, and goes without. */
static struct slab_cache *block_cache(unsigned class) {
    struct beside *beside = class < BLOCK_CACHES ? local_beside() : NULL;
    return beside != NULL ? &beside->blocks[class] : NULL;
}

void *block_take(size_t size) {
    unsigned class = block_class(size);
    struct slab_cache *cache = block_cache(class);
    if (cache != NULL)
        return slab_cache_take(cache, &blocks[class]);
    return class < BLOCK_CLASSES ? slab_take(&blocks[class]) : kernel_map(block_pages(size));
}

void block_give(void *block, size_t size) {
    unsigned class = block_class(size);
    struct slab_cache *cache = block_cache(class);
    if (cache != NULL)
        slab_cache_give(cache, &blocks[class], block);
    else if (class < BLOCK_CLASSES)
        slab_give(&blocks[class], block);
    else
        kernel_unmap(block, block_pages(size));
}

void block_thread_end(void) {
    for (unsigned class = 0; class < BLOCK_CACHES; class ++)
        slab_cache_end(&local.beside->blocks[class], &blocks[class]);
}
