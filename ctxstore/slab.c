/* Type-stable memory: see slab.h. */
#include "slab.h"

#include "kernel.h"

enum { CHUNK = 64 * 1024, BLOCK_CLASSES = 9, BLOCK_SMALLEST = 16, PAGE = 4096 };

static void slab_lock(struct slab *slab) {
    if (!lock_take(&slab->lock)) { /* half changed by a thread that fork left behind: start anew */
        slab->free = NULL;
        slab->fresh = slab->end = NULL;
    }
}

/* With the lock held. */
static void *slab_fresh(struct slab *slab) {
    if (slab->fresh == NULL || (size_t)(slab->end - slab->fresh) < slab->size) {
        char *chunk = kernel_map(CHUNK);
        if (chunk == NULL)
            return NULL;
        slab->fresh = chunk;
        slab->end = chunk + CHUNK;
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

void *slab_take(struct slab *slab) {
    slab_lock(slab);
    void *object = slab_next(slab);
    slab->out += object != NULL;
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
    slab->out += *count;
    lock_give(&slab->lock);
    return chain;
}

void slab_give_chain(struct slab *slab, void *first, void *last, unsigned count) {
    slab_lock(slab);
    *(void **)last = slab->free;
    slab->free = first;
    slab->out -= count;
    lock_give(&slab->lock);
}

static struct slab blocks[BLOCK_CLASSES] = {SLAB(16),  SLAB(32),   SLAB(64),   SLAB(128), SLAB(256),
                                            SLAB(512), SLAB(1024), SLAB(2048), SLAB(4096)};

/* The class of a size, or BLOCK_CLASSES for one that gets whole pages. */
static unsigned block_class(size_t size) {
    unsigned class = 0;
    while (class < BLOCK_CLASSES && (size_t)BLOCK_SMALLEST << class < size)
        class ++;
    return class;
}

static size_t block_pages(size_t size) {
    return (size + PAGE - 1) / PAGE * PAGE;
}

void *block_take(size_t size) {
    unsigned class = block_class(size);
    return class < BLOCK_CLASSES ? slab_take(&blocks[class]) : kernel_map(block_pages(size));
}

void block_give(void *block, size_t size) {
    unsigned class = block_class(size);
    if (class < BLOCK_CLASSES)
        slab_give(&blocks[class], block);
    else
        kernel_unmap(block, block_pages(size));
}
