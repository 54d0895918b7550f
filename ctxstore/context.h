/* A context: an immutable, reference-counted value that says which logical work is going on.
 *
 *      NULL (empty) <- conn#3 <- req#2 <- "Save" <- user=7
 *                       root      root    operation  value
 *
 * Each node is a context of its own: the path from it back to the empty one is its stack of
 * operations, and `values` is the whole map of key -> value as of that node (values.h). Deriving makes one
 * node that shares all the rest; nothing is ever changed in place, so no two flows can see each other's
 * changes. Costs: deriving an operation, one 64-byte node (a longer name, a block beside it);
 * capturing, one atomic add, or none (flow.h); a value set, a 40-byte node, 24 bytes for the value, and a
 * copy of the branches of the map on its way.
 *
 * Three things about a node do change, and none is its meaning: that it is closed, said once when a scope
 * that opened it was; that it is over, said once when a root's request has ended; and a root's display name
 * (ctxshim_rename).
 *
 * References: `references` may be raised by whoever holds one, and dropped by its owner; the last drop
 * frees the node and drops its parent. Nodes are type-stable and carry a 64-bit serial that no other
 * node ever has, so an old pointer with its serial is recognised as stale (a free node's serial is 0). */
#ifndef CTXSTORE_CONTEXT_H
#define CTXSTORE_CONTEXT_H

#include "local.h"
#include "name.h"
#include "site.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct values;

enum context_kind {
    CONTEXT_OPERATION, /* a named step that somebody pushed */
    CONTEXT_ROOT,      /* where a request begins: a word and a number, until it is renamed */
    CONTEXT_VALUE,     /* a change of one key */
    CONTEXT_AMBIGUOUS, /* its parent, but not for sure: printed with a question mark */
    CONTEXT_INFERRED,  /* its parent, as the order of a queue has it: prints like that */
};

/* How sure it is that a flow works for what its context says. */
enum context_certainty { CONTEXT_EXACT, CONTEXT_IS_INFERRED, CONTEXT_IS_AMBIGUOUS };

enum context_mark {
    CONTEXT_CLOSED = 1 << 0, /* a scope that opened it was closed, or its frame has ended */
    CONTEXT_OVER = 1 << 1,   /* a root's: the request has ended (context_end) */
};

enum { CONTEXT_LINKS = 3 };

/* A long name, or one of a root's display names: it lives beside its node, and goes with it. A root's names
 * form a list, newest first: a reader may still be at an older one, so they all stay until the node goes. */
struct context_name {
    struct context_name *older;
    size_t length;
    char text[];
};

struct context {
    struct context *parent; /* a reference; NULL: the empty context */
    _Atomic uint64_t serial;
    struct values *values; /* this context's map: a VALUE node's own, or its parent's, who keeps it alive */
    _Atomic uint32_t references;
    uint32_t flow;              /* of the serial of the flow that made it: enough to know one's own */
    uint32_t stack;             /* of a scope: low bits of the address of the stack frame that opened it; of a
                                   root: when its request was answered or over (context_clock) */
    uint16_t site;              /* of a scope: where it was opened (site.h) */
    uint8_t kind : 3;           /* enum context_kind */
    uint8_t scoped : 1;         /* opened as a scope: somebody ought to close it */
    uint8_t block : 1;          /* ... of a block (CTXSHIM_SCOPE): it is over when its stack frame is */
    uint8_t owns_values : 1;    /* `values` is a reference */
    uint8_t long_name : 1;      /* the name lies beside the node */
    uint8_t lent : 1;           /* a value that ought to stand in its parent's place (flow_settle) */
    _Atomic uint8_t marks;      /* enum context_mark */
    union {                     /* a VALUE node ends here */
        char text[NAME_INLINE]; /* name.h */
        struct context_name *long_text;
        struct {
            const char *word; /* a literal such as "conn#" */
            uint64_t number;
            _Atomic(struct context_name *) renamed;
        } root;
        struct context *links[CONTEXT_LINKS]; /* references: what else it might be */
    };
};
/* What a scope names. The same bytes as the public ctxshim_scope. */
struct scope {
    void *node;
    uint64_t serial;
    uint64_t flow;
};

enum { CONTEXT_VALUE_SIZE = offsetof(struct context, text) };

_Static_assert(sizeof(struct context) == 64 && CONTEXT_VALUE_SIZE == 40, "a context stays small");

/* A node that goes: whoever looks at it from outside (peek.h) sees that before anything else of it changes.
 */
static inline void context_unname(struct context *node) {
    atomic_store_explicit(&node->serial, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

/* Does a flow of this serial have the number that its nodes carry? */
static inline bool context_is_of(const struct context *context, uint64_t flow) {
    return context->flow == (uint32_t)flow;
}

/* Serials are handed out to threads a range at a time, and none is a multiple of a range: at one, it is used
 * up. */
enum { SERIAL_RANGE = 1 << 16 };
static inline bool context_serial_used_up(uint64_t serial) {
    return serial % SERIAL_RANGE == 0;
}

/* Takes the cache's first node, and makes it the scope of an operation, all but its name and its serial. */
static inline __attribute__((always_inline)) void context_operation_made(struct context *node,
                                                                         struct context *parent, uint64_t own,
                                                                         uint32_t flow, uint16_t site,
                                                                         uint32_t stack) {
    local.contexts.free = node->parent;
    local.contexts.count--;
    local.serial = own + 1;
    node->parent = parent;
    node->values = parent != NULL ? parent->values : NULL;
    node->flow = flow;
    node->stack = stack;
    node->site = site;
    node->kind = CONTEXT_OPERATION;
    node->scoped = 1;
    node->owns_values = 0;
    node->long_name = 0;
    node->block = 0;
    node->lent = 0;
    atomic_store_explicit(&node->marks, 0, memory_order_relaxed);
    atomic_store_explicit(&node->references, 1, memory_order_relaxed);
}

/* The two halves of the usual push and pop, inline: an operation of a short name, made from the thread's
 * cache by the function that is called from `site` (NULL: not that simple, use context_operation), and given
 * back to it. Only the place is handed in: a stack frame knows its own address. */
static inline __attribute__((always_inline)) struct context *
context_operation_quick(struct context *parent, const char *name, struct name_look look, const void *site,
                        const uint64_t *flow, struct scope *scope) {
    struct context *node = local.contexts.free;
    uint64_t own = local.serial, maker;
    uint16_t number;
    if (__builtin_expect(node == NULL || context_serial_used_up(own) || (parent != NULL && parent->lent) ||
                             !site_known(site, &number),
                         0))
        return NULL;
    maker = *flow;
    name_copy(node->text, name, look);
    context_operation_made(node, parent, own, (uint32_t)maker, number,
                           (uint32_t)(uintptr_t)__builtin_frame_address(0));
    atomic_store_explicit(&node->serial, own, memory_order_release);
    *scope = (struct scope){node, own, maker};
    return node;
}
/* False: the cache is full, use context_discard. */
static inline bool context_discard_quick(struct context *node) {
    if (__builtin_expect(local.contexts.count == SLAB_CACHE_MOST, 0))
        return false;
    context_unname(node);
    node->parent = local.contexts.free;
    local.contexts.free = node;
    local.contexts.count++;
    return true;
}

/* Takes one more reference; returns its argument. NULL is allowed. Async-signal-safe. */
static inline struct context *context_retain(struct context *context) {
    if (context != NULL)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}
/* Gives one reference back. NULL is allowed. Values that die with it wait in the caller's graveyard
 * (value.h). Not async-signal-safe. */
void context_release_one(struct context *context);
static inline void context_release(struct context *context) {
    if (context != NULL)
        context_release_one(context);
}

/* Adds or gives back several references at once. */
void context_retain_many(struct context *context, uint32_t count);
void context_release_many(struct context *context, uint32_t count);
/* The serial that this thread's next node will have at least. Not async-signal-safe. */
uint64_t context_next_serial(void);
/* This thread's later nodes have greater serials than another thread's earlier ones. */
static inline void context_serials_after(uint64_t serial) {
    if (local.serial < serial)
        local.serial = 0;
}
/* Later nodes have this serial at least, and all that there are have lesser ones. In a fork child, which has
 * one thread: its parent takes on with the same serials. */
static inline uint64_t context_serials_anew(void) {
    local.serial = 0;
    return context_next_serial();
}
/* Takes that serial for another use. */
static inline uint64_t context_take_serial(void) {
    uint64_t serial = context_next_serial();
    local.serial++;
    return serial;
}
/* Frees a node whose one reference is the caller's, and hands its reference to the parent to the caller. */
void context_discard(struct context *context);

/* Each derives from `parent` and consumes the caller's reference to it. NULL without memory: then the
 * reference to `parent` is still the caller's. */
struct context *context_operation(struct context *parent, const char *name, size_t length, uint64_t flow);
struct context *context_root(struct context *parent, const char *word, uint64_t number, uint64_t flow);
/* Consumes the reference to `values` too, where `owned` says that it is one; else it is `parent`'s. */
struct context *context_with_values(struct context *parent, struct values *values, bool owned, uint64_t flow);
/* Says that the node is a scope, and who opened it. */
static inline void context_scope(struct context *context, struct here here) {
    context->scoped = 1;
    context->site = site_number(here.site);
    if (context->kind != CONTEXT_ROOT)
        context->stack = (uint32_t)here.address;
}

/* `context`, marked as not for sure; `others` are what else it might be: the first CONTEXT_LINKS are
 * kept. Takes references of its own. Returns a new reference; without memory, NULL (which is the empty
 * context: unknown rather than wrong). */
struct context *context_ambiguous(struct context *context, struct context *const *others, unsigned count,
                                  uint64_t flow);

/* `context`, marked as inferred; takes a reference of its own. An inference from an inference is one. Returns
 * a new reference, or NULL without memory. */
struct context *context_inferred(struct context *context, uint64_t flow);
/* A mark on a node of these two kinds that nobody else has seen yet: whose inference or doubt it is. 0:
 * nobody's.
 */
static inline void context_tag(struct context *node, uint16_t owner, uint32_t detail) {
    node->site = owner;
    node->stack = detail;
}
/* The nearest root at or above `context`, or NULL. */
const struct context *context_root_of(const struct context *context);
/* The nearest marked node at or above `context`, but not beyond a root; or NULL. */
struct context *context_tagged(struct context *context);
enum context_certainty context_certainty(const struct context *context);

/* Is `ancestor` on the path from `context` to the empty one (or the same)? The empty one always is. */
bool context_descends(const struct context *context, const struct context *ancestor);
/* The same, and no doubt lies between: no AMBIGUOUS node is passed on the way. */
bool context_descends_surely(const struct context *context, const struct context *ancestor);

/* Is the node still the one that had this serial? Async-signal-safe. */
bool context_is(const struct context *context, uint64_t serial);

/* Marks a node; was it marked so before? */
static inline bool context_mark(struct context *context, enum context_mark mark) {
    return atomic_fetch_or_explicit(&context->marks, (uint8_t)mark, memory_order_relaxed) & mark;
}
static inline bool context_closed(const struct context *context) {
    return atomic_load_explicit(&context->marks, memory_order_relaxed) & CONTEXT_CLOSED;
}
/* The request of the nearest root at or above `context` has ended. Work that goes on keeps it; but what waits
 * for ever (a timer that repeats, a registration, a pooled connection) asks whether it is over, and lets go.
 */
void context_end(struct context *context);
/* Told of each root that is over, once. Set once at start-up; may be NULL. */
extern void (*context_ended)(const struct context *root);
/* It has had an answer, or more of one: who holds it from now on, holds what may be over. */
void context_answered(struct context *context);
/* The time, in units of the shim's own and never 0, kept in roots by these two. NULL: nobody wants to know.
 * Set once at start-up. */
extern uint32_t (*context_clock)(void);
bool context_over(const struct context *context);

/* Gives the nearest root at or above `context` another display name. 0, or an errno value: ENOENT
 * without a root, ENOMEM. Readers see the old name or the new one, whole. */
int context_rename(struct context *context, const char *text);

/* Writes the stack of operations, outermost first, separated by blanks: as snprintf counts and cuts.
 * Async-signal-safe. */
size_t context_format(const struct context *context, char *buffer, size_t size);

/* Calls `byte` for each byte of what one node adds to the stack: its name. False: it shows nothing. An
 * ambiguous one shows a question mark. Async-signal-safe. */
bool context_name(const struct context *node, void (*byte)(void *to, unsigned char byte), void *to);

/* Contexts alive, but for those in other threads' caches. For tests, when the others have ended. */
size_t context_live(void);

/* Gives this thread's spare nodes back. */
void context_thread_end(void);

#endif
