/* A context: an immutable, reference-counted value that says which logical work is going on.
 *
 *      NULL (empty) <- conn#3 <- req#2 <- "Save" <- user=7
 *                       root      root    operation  value
 *
 * Each node is a context of its own: the path from it back to the empty one is its stack of
 * operations, and `values` is the whole map of key -> value as of that node. Deriving makes one node
 * that shares all the rest; nothing is ever changed in place, so no two flows can see each other's
 * changes. Costs: deriving an operation, one 64-byte node (a longer name, a block beside it);
 * capturing, one atomic add; a value set, one node and one copy of the map's array of pointers.
 *
 * Two things about a node do change, and neither is its meaning: `closed`, set once when a scope that
 * opened it was closed, and a root's display name (ctxshim_rename).
 *
 * References: `references` may be raised by whoever holds one, and dropped by its owner; the last drop
 * frees the node and drops its parent. Nodes are type-stable and carry a 64-bit serial that no other
 * node ever has, so an old pointer with its serial is recognised as stale (a free node's serial is 0). */
#ifndef CTXSTORE_CONTEXT_H
#define CTXSTORE_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct values;

enum context_kind {
    CONTEXT_OPERATION, /* a named step that somebody pushed */
    CONTEXT_ROOT,      /* where a request begins: a word and a number, until it is renamed */
    CONTEXT_VALUE,     /* a change of one key */
    CONTEXT_AMBIGUOUS, /* its parent, but not for sure: printed with a question mark */
};

enum { CONTEXT_NAME_INLINE = 24, CONTEXT_LINKS = 3 };

/* Copies a short name in at most two overlapping pieces instead of a call. */
static inline void context_copy_name(char *to, const char *name, size_t length) {
    if (length >= 16) {
        memcpy(to, name, 16);
        memcpy(to + length - 8, name + length - 8, 8);
    } else if (length >= 8) {
        memcpy(to, name, 8);
        memcpy(to + length - 8, name + length - 8, 8);
    } else if (length >= 4) {
        memcpy(to, name, 4);
        memcpy(to + length - 4, name + length - 4, 4);
    } else {
        for (size_t i = 0; i < length; i++)
            to[i] = name[i];
    }
}

struct context_name; /* a long name, or the newest of a root's display names */

struct context {
    struct context *parent; /* a reference; NULL: the empty context */
    _Atomic uint64_t serial;
    _Atomic uint32_t references;
    uint8_t kind;   /* enum context_kind */
    uint8_t scoped; /* opened as a scope: somebody ought to close it */
    _Atomic uint8_t closed;
    uint8_t name_length;   /* of an inline name; LONG_NAME for one that `name` points to */
    struct values *values; /* a VALUE node's own map; else its parent's, kept alive by the parent */
    uint64_t flow;         /* serial of the flow that made it */
    union {
        char text[CONTEXT_NAME_INLINE];
        struct context_name *long_text;
        struct {
            const char *word; /* a literal such as "conn#" */
            uint64_t number;
            _Atomic(struct context_name *) renamed;
        } root;
        struct context *links[CONTEXT_LINKS]; /* references: what else it might be */
    };
};

_Static_assert(sizeof(struct context) <= 72, "a context stays small");

/* What a thread keeps for itself, so that making and freeing a node is neither an atomic operation nor a
 * trip to the allocator: a few free nodes, and a range of serials. Only its thread touches it, and no
 * signal handler that may have interrupted that. */
struct context_cache {
    struct context *free;
    uint32_t count;
    uint64_t serial, serial_end;
};
extern _Thread_local struct context_cache context_cache;
enum { CONTEXT_CACHE_LIMIT = 64 };

/* The two halves of the usual push and pop, inline: an operation of a short name, made from the cache
 * (NULL: not that simple, use context_operation), and given back to it. */
static inline struct context *context_operation_quick(struct context *parent, const char *name, size_t length,
                                                      uint64_t flow) {
    struct context *node = context_cache.free;
    if (node == NULL || context_cache.serial == context_cache.serial_end || length > CONTEXT_NAME_INLINE)
        return NULL;
    context_cache.free = node->parent;
    context_cache.count--;
    node->parent = parent;
    node->kind = CONTEXT_OPERATION;
    node->scoped = 0;
    atomic_store_explicit(&node->closed, 0, memory_order_relaxed);
    node->name_length = (uint8_t)length;
    node->values = parent != NULL ? parent->values : NULL;
    node->flow = flow;
    context_copy_name(node->text, name, length);
    atomic_store_explicit(&node->references, 1, memory_order_relaxed);
    atomic_store_explicit(&node->serial, context_cache.serial++, memory_order_release);
    return node;
}
/* False: the cache is full, use context_discard. */
static inline bool context_discard_quick(struct context *node) {
    if (context_cache.count == CONTEXT_CACHE_LIMIT)
        return false;
    atomic_store_explicit(&node->serial, 0, memory_order_relaxed);
    node->parent = context_cache.free;
    context_cache.free = node;
    context_cache.count++;
    return true;
}

/* Takes one more reference; returns its argument. NULL is allowed. Async-signal-safe. */
struct context *context_retain(struct context *context);
/* Gives one reference back. NULL is allowed. Values that die with it wait in the caller's graveyard
 * (key.h). Not async-signal-safe. */
void context_release(struct context *context);

/* Adds or gives back several references at once. */
void context_retain_many(struct context *context, uint32_t count);
void context_release_many(struct context *context, uint32_t count);
/* The serial that this thread's next node will have at least. Not async-signal-safe. */
uint64_t context_next_serial(void);
/* Frees a node whose one reference is the caller's, and hands its reference to the parent to the caller. */
void context_discard(struct context *context);

/* Each derives from `parent` and consumes the caller's reference to it. NULL without memory: then the
 * reference to `parent` is still the caller's. */
struct context *context_operation(struct context *parent, const char *name, size_t length, uint64_t flow);
struct context *context_root(struct context *parent, const char *word, uint64_t number, uint64_t flow);
struct context *context_with_values(struct context *parent, struct values *values, uint64_t flow);

/* `context`, marked as not for sure; `others` are what else it might be: the first CONTEXT_LINKS are
 * kept. Takes references of its own. Returns a new reference; without memory, NULL (which is the empty
 * context: unknown rather than wrong). */
struct context *context_ambiguous(struct context *context, struct context *const *others, unsigned count,
                                  uint64_t flow);

/* Is `ancestor` on the path from `context` to the empty one (or the same)? The empty one always is. */
bool context_descends(const struct context *context, const struct context *ancestor);
/* The same, and no doubt lies between: no AMBIGUOUS node is passed on the way. */
bool context_descends_surely(const struct context *context, const struct context *ancestor);

/* Is the node still the one that had this serial? Async-signal-safe. */
bool context_is(const struct context *context, uint64_t serial);

/* Gives the nearest root at or above `context` another display name. 0, or an errno value: ENOENT
 * without a root, ENOMEM. Readers see the old name or the new one, whole. */
int context_rename(struct context *context, const char *text);

/* Writes the stack of operations, outermost first, separated by blanks: as snprintf counts and cuts.
 * Async-signal-safe. */
size_t context_format(const struct context *context, char *buffer, size_t size);

/* Contexts alive, but for those in other threads' caches. For tests, when the others have ended. */
size_t context_live(void);

/* Gives back what this thread keeps for itself. To be called when a thread ends. */
void context_thread_end(void);

#endif
