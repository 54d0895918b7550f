/* The usual push and pop of an operation whose name is too long to lie in its node: as flow_push_quick and
 * flow_close_quick, all or nothing, and with the block beside the node from the thread's caches too. Apart
 * from these, for they are in the way of each push. */
#ifndef CTXSTORE_LONG_NAME_H
#define CTXSTORE_LONG_NAME_H

#include "flow.h"

/* This thread's cache of blocks of that size; NULL: none, or the block is too large for one. */
static inline struct slab_cache *long_name_cache(size_t size) {
    struct beside *beside = local.beside;
    return beside != NULL && size <= BLOCK_FINE ? &beside->blocks[(size - 1) / BLOCK_STEP] : NULL;
}

/* The text is VECTOR_SIZE bytes at least. */
static inline void long_name_copy(char *to, const char *name, size_t length) {
    size_t last = length - VECTOR_SIZE;
    for (size_t i = 0; i < last; i += VECTOR_SIZE)
        *(vector *)(to + i) = *(const vector *)(name + i);
    *(vector *)(to + last) = *(const vector *)(name + last);
}

/* A block with the name in it; NULL: not that simple. */
static inline struct context_name *long_name_new(const char *name, size_t length) {
    struct slab_cache *cache = long_name_cache(sizeof(struct context_name) + length);
    struct context_name *text = cache != NULL ? cache->free : NULL;
    if (length <= NAME_INLINE || text == NULL)
        return NULL;
    cache->free = *(void **)text;
    cache->count--;
    text->older = NULL;
    text->length = length;
    long_name_copy(text->text, name, length);
    return text;
}

static inline struct scope flow_push_long(struct flow *flow, const char *name, struct here here) {
    struct context *node = local.contexts.free, *parent = flow->current;
    uint64_t own = local.serial;
    uint16_t number;
    struct context_name *text;
    if (node == NULL || context_serial_used_up(own) || !flow_settled(flow) ||
        !site_known(here.site, &number) || (text = long_name_new(name, name_length(name))) == NULL)
        return (struct scope){0};
    context_operation_made(node, parent, own, (uint32_t)flow->serial, number, (uint32_t)here.address);
    node->long_name = 1;
    node->long_text = text;
    atomic_store_explicit(&node->serial, own, memory_order_release);
    atomic_signal_fence(memory_order_release); /* as in flow_push_quick */
    flow->current = node;
    return (struct scope){node, own, flow->serial};
}

static inline bool flow_close_long(struct flow *flow, const void *scope_node, uint64_t scope_serial) {
    struct context *node = flow->current;
    if (node == NULL || node != scope_node || node->kind != CONTEXT_OPERATION || !node->long_name ||
        atomic_load_explicit(&node->serial, memory_order_relaxed) != scope_serial)
        return false;
    struct context_name *text = node->long_text;
    struct slab_cache *cache = long_name_cache(sizeof *text + text->length);
    if (cache == NULL || cache->count >= SLAB_CACHE_MOST)
        return false;
    flow->current = node->parent; /* first, as in flow_close_quick */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&node->references, memory_order_acquire) != 1 || !context_discard_quick(node)) {
        flow->current = node;
        return false;
    }
    *(void **)text = cache->free;
    cache->free = text;
    cache->count++;
    return true;
}

#endif
