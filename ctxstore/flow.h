/* A flow: whatever executes code one thing at a time. It has one current context and, for the scopes
 * that do more than derive from it, a list of *detours*.
 *
 * A scope opened by push or with is simply a node on the path of the current context: leaving it means
 * going to its parent, and any flow that is inside it may do so (that is what `await` does to a
 * `using`). Attach, root and suppress replace the current context instead, so what was before is kept
 * in a detour of this flow, and only this flow can go back to it.
 *
 *      current:  conn#3 <- req#2 <- "Save"         detours:  attach(before: "Main 1") -> none
 *
 * A flow belongs to one thread at a time; only that thread calls these, and no signal handler that may
 * have interrupted one of them. Source of the model: .NET's ExecutionContext and
 * AsyncLocal; scopes that know their flow: CPython's contextvars tokens. */
#ifndef CTXSTORE_FLOW_H
#define CTXSTORE_FLOW_H

#include "context.h"
#include "values.h"
#include "watch.h"

enum detour_kind { DETOUR_ATTACH, DETOUR_ROOT, DETOUR_SUPPRESS };

/* Type-stable, as contexts are: `serial` is 0 while free. Serials of detours have the top bit set, so
 * that a scope tells by its serial what its node is. */
struct detour {
    struct detour *outer; /* the slab's link, while free */
    _Atomic uint64_t serial;
    struct context *before; /* a reference; what the flow goes back to */
    uint64_t root;          /* DETOUR_ROOT: the serial of the root's node */
    uint64_t number;        /* of this flow's detours */
    uint64_t since;         /* nodes with a lesser serial were there before */
    uint64_t inside;        /* the serial of what became current; 0: the empty context */
    uint32_t flow;          /* of the serial of its flow */
    uint16_t site;          /* where it was opened (site.h) */
    enum detour_kind kind;
    uint32_t stack; /* DETOUR_ROOT: low bits of the address of the stack frame that opened it */
};
static const uint64_t DETOUR_SERIAL = UINT64_C(1) << 63;

/* References in stock. Capturing the same context again and again, here and on other threads, would have
 * them all fight for one count; so a flow takes STASH_SIZE references at once, hands them out and takes
 * them back without an atomic operation, and returns what is left when it captures another context or
 * ends. Who releases a reference elsewhere does so on the count, as ever. */
struct stash {
    struct context *context; /* NULL: empty */
    uint32_t count;
};
enum { STASH_SIZE = 1 << 10, STASH_MOST = 1 << 16 };

struct flow {
    struct context *current; /* a reference; NULL: the empty context */
    struct stash stash;
    struct detour *detours;  /* innermost first */
    uint64_t detours_opened; /* ever: numbers them */
    uint64_t serial;         /* of this flow, for ever */
    bool quiet;              /* hands nothing on but from detours of its own */
};

enum scope_fault {
    SCOPE_UNPOPPED,     /* its frame ended, and nobody had closed it */
    SCOPE_OUT_OF_ORDER, /* closed because a scope around it was */
    SCOPE_FOREIGN,      /* a flow that is not inside it tried to close it */
};
/* A scope as a report shows it. */
struct scope_view {
    const struct context *node; /* NULL: not one that has a node (attach, suppress) */
    const void *site;           /* where it was opened; NULL: not known */
    uint32_t flow;              /* of the serial of the flow that opened it */
    uint16_t number;            /* of the place (site.h) */
};
/* Told of every fault: of which scope, and for SCOPE_OUT_OF_ORDER also of the one around it that was closed,
 * where that is known; else NULL. Set once at start-up; may be NULL. */
extern void (*scope_report)(enum scope_fault fault, const struct scope_view *scope,
                            const struct scope_view *around);

/* Told of each scope that was left open, when what is around it ends or is closed. Set once at start-up; may
 * be NULL. */
extern void (*scope_left)(const struct context *node);

/* A new flow. Consumes the reference to `start`. */
void flow_begin(struct flow *flow, struct context *start);
/* Closes what is open, reports it, and leaves the flow empty. */
void flow_end(struct flow *flow);

/* Makes `context` current (consuming the reference) and drops the one before. `switched` as in
 * ctxshim_on_change: the flow took up other work, rather than changed its own. */
void flow_become(struct flow *flow, struct context *context, bool switched);

/* A new reference to what work started here inherits: the current context, or NULL under suppression and in a
 * quiet flow. */
struct context *flow_capture(struct flow *flow);
/* The same, without a reference. Async-signal-safe. */
struct context *flow_handed_on(const struct flow *flow);
/* The same where a handler has interrupted this flow's thread inside the store: the stash may be half
 * changed, the count never is; and what is not settled is not known. Async-signal-safe. */
struct context *flow_capture_inside(const struct flow *flow);
/* Gives a reference back, to the stash if it is of that context. NULL is allowed. */
void flow_release(struct flow *flow, struct context *context);
/* Returns the stash. */
void flow_unstash(struct flow *flow);
static inline bool flow_suppressed(const struct flow *flow) {
    return flow->detours != NULL && flow->detours->kind == DETOUR_SUPPRESS;
}
/* Gives back a reference that was the flow's current one. A context that was left is not kept alive by what
 * is in stock. */
void flow_leave(struct flow *flow, struct context *before);

/* Each opens a scope for the one who called from `here`. On failure {0} with `*error` set to an errno value,
 * and nothing changes. */
struct scope flow_push(struct flow *flow, const char *operation, struct here here, int *error);
/* A request: derives from `base` (no reference consumed), not from the current context. */
struct scope flow_root(struct flow *flow, struct context *base, const char *name, struct here here,
                       int *error);
struct scope flow_with(struct flow *flow, struct key *key, void *value, struct here here, int *error);
struct scope flow_attach(struct flow *flow, struct context *context, struct here here, int *error);
struct scope flow_suppress(struct flow *flow, struct here here, int *error);

/* For the rest of the flow. 0; 1 when nothing had to change; -1 with `*error`. */
int flow_set(struct flow *flow, struct key *key, void *value, int *error);

/* A value set for the rest of a flow takes the place of the one that was set before. When that context is
 * others', too (it was captured, or it is attached here), each value that both have would have to be counted;
 * so at first the new one is a child of the other and borrows from it, as in a scope. It is *settled*, and
 * lets the other go, before anything else is derived from it or anybody captures it, and when the flow waits.
 */
void flow_settle_slow(struct flow *flow);
static inline bool flow_settled(const struct flow *flow) {
    return flow->current == NULL || !flow->current->lent;
}
static inline void flow_settle(struct flow *flow) {
    if (__builtin_expect(!flow_settled(flow), 0))
        flow_settle_slow(flow);
}

/* The usual push and pop, inline: a short name, and the innermost scope that nobody captured. They do all
 * or nothing: {0} and false mean that flow_push and flow_close have to. */
static inline __attribute__((always_inline)) struct scope
flow_push_quick(struct flow *flow, const char *operation, struct name_look look, const void *site) {
    struct scope scope;
    struct context *node =
        context_operation_quick(flow->current, operation, look, site, &flow->serial, &scope);
    if (__builtin_expect(node == NULL, 0))
        return (struct scope){0};
    atomic_signal_fence(memory_order_release); /* a handler may read the path at any moment */
    flow->current = node;
    return scope;
}
/* A scope that flow_push has just opened is a block's: it is over when the stack frame is that it was opened
 * from, whether or not somebody has closed it. */
static inline void flow_block(const struct scope *scope) {
    ((struct context *)scope->node)->block = 1;
}
/* Closes, and reports as left open, the blocks of this flow whose stack frames are gone when the flow is at
 * `here`: they were jumped over. Its stack begins at `low`, and grows down. */
void flow_close_gone(struct flow *flow, uintptr_t low, uintptr_t here);

/* A handler may read the path and capture from it at any moment: the node leaves it first, so that the count
 * of references that is looked at then is final. When it is one, no detour was opened inside the scope: that
 * would hold the node, too. */
static inline bool flow_close_quick(struct flow *flow, const void *scope_node, uint64_t scope_serial) {
    struct context *node = flow->current;
    if (__builtin_expect(node == NULL || node != scope_node || node->kind != CONTEXT_OPERATION ||
                             node->long_name ||
                             atomic_load_explicit(&node->serial, memory_order_relaxed) != scope_serial,
                         0))
        return false;
    flow->current = node->parent;
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&node->references, memory_order_acquire) == 1 &&
                             context_discard_quick(node),
                         1))
        return true;
    flow->current = node;
    return false;
}

/* The usual close that flow_close_quick leaves: of the innermost scope, which set a value, has a long name or
 * was captured, and whose captures were given back. False: it is not that simple, and nothing was done. */
bool flow_close_innermost(struct flow *flow, const void *scope_node, uint64_t scope_serial);

/* A reference from the stash to the current context, or NULL: not that simple. */
static inline struct context *flow_capture_quick(struct flow *flow) {
    struct context *context = flow->stash.context;
    if (context == NULL || context != flow->current || flow->stash.count == 0 || flow_suppressed(flow) ||
        flow->quiet)
        return NULL;
    flow->stash.count--;
    return context;
}
/* False: it is not of the context in stock. */
static inline bool flow_release_quick(struct flow *flow, const struct context *context) {
    if (context == NULL || context != flow->stash.context || flow->stash.count >= STASH_MOST)
        return false;
    flow->stash.count++;
    return true;
}

/* The usual attach, and the close of one in which nothing is open any longer, while nobody watches a key.
 * All or nothing, as above. A handler that looks in between finds the one context or the other; flow that is
 * suppressed outside is on no earlier than the context inside is current, and off before that outside is. */
static inline __attribute__((always_inline)) struct scope
flow_attach_quick(struct flow *flow, struct context *context, struct here here) {
    struct detour *detour = local.detours.free;
    uint16_t site;
    uint64_t serial = local.serial;
    if (detour == NULL || context_serial_used_up(serial) || watch_any() || !flow_settled(flow) ||
        !site_known(here.site, &site))
        return (struct scope){0};
    local.detours.free = detour->outer;
    local.detours.count--;
    if (context != NULL && flow->stash.context == context && flow->stash.count > 0)
        flow->stash.count--;
    else
        context_retain(context);
    local.serial = serial + 1;
    detour->outer = flow->detours;
    detour->before = flow->current;
    detour->inside = context != NULL ? atomic_load_explicit(&context->serial, memory_order_relaxed) : 0;
    detour->kind = DETOUR_ATTACH;
    detour->root = 0;
    detour->since = serial;
    detour->number = ++flow->detours_opened;
    detour->flow = (uint32_t)flow->serial;
    detour->site = site;
    atomic_store_explicit(&detour->serial, serial | DETOUR_SERIAL, memory_order_release);
    flow->current = context;
    atomic_signal_fence(memory_order_seq_cst);
    flow->detours = detour;
    return (struct scope){detour, serial | DETOUR_SERIAL, flow->serial};
}
static inline __attribute__((always_inline)) bool flow_detach_quick(struct flow *flow, const void *scope_node,
                                                                    uint64_t scope_serial) {
    struct detour *detour = flow->detours;
    struct context *inside = flow->current, *attached = flow_settled(flow) ? inside : inside->parent;
    if (detour == NULL || detour != scope_node || detour->kind != DETOUR_ATTACH ||
        atomic_load_explicit(&detour->serial, memory_order_relaxed) != scope_serial || watch_any() ||
        local.detours.count >= SLAB_CACHE_MOST)
        return false;
    uint64_t serial = attached != NULL ? atomic_load_explicit(&attached->serial, memory_order_relaxed) : 0;
    if (serial != detour->inside)
        return false;
    flow->detours = detour->outer;
    atomic_signal_fence(memory_order_seq_cst);
    flow->current = detour->before;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&detour->serial, 0, memory_order_relaxed);
    detour->outer = local.detours.free;
    local.detours.free = detour;
    local.detours.count++;
    flow_leave(flow, inside);
    return true;
}

/* Closes a scope: 0, or an errno value (EPERM: this flow is not inside it). */
int flow_close(struct flow *flow, const struct scope *scope);

/* A point in a flow's life: what it opens later has greater numbers. */
struct flow_mark {
    uint64_t serial; /* of nodes */
    uint64_t detours;
};
struct flow_mark flow_mark(const struct flow *flow);

/* Is a scope open that this flow opened after the mark? */
bool flow_explicit(const struct flow *flow, struct flow_mark mark);
/* Ends every detour opened after the mark, and reports the scopes left open since. What the flow's current
 * context is afterwards is the caller's to say. */
void flow_unwind(struct flow *flow, struct flow_mark mark);

/* Another flow is on from now, `before` was current until then: tells those who watch. */
void flow_switched(const struct context *before, struct flow *flow);
/* A flow that nobody runs and nobody will: closes what is open, reports it, gives all back, tells nobody. */
void flow_drop(struct flow *flow);

/* Gives this thread's spare memory for scopes back. */
void flow_thread_end(void);

#endif
