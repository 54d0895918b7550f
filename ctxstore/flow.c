/* Flows and their scopes: see flow.h. */
#include "flow.h"

#include "slab.h"

#include <errno.h>
#include <string.h>

enum detour_kind { DETOUR_ATTACH, DETOUR_ROOT, DETOUR_SUPPRESS };

/* Type-stable, as contexts are: `serial` is 0 while free. Serials of detours have the top bit set, so
 * that a scope tells by its serial what its node is. */
struct detour {
    struct detour *outer;
    _Atomic uint64_t serial;
    struct context *before; /* a reference; what the flow goes back to */
    uint64_t root;          /* DETOUR_ROOT: the serial of the root's node */
    uint64_t number;        /* of this flow's detours */
    uint64_t since;         /* nodes with a lesser serial were there before */
    enum detour_kind kind;
};

static const uint64_t DETOUR_SERIAL = UINT64_C(1) << 63;
static struct slab detour_slab = SLAB(sizeof(struct detour));
static _Atomic uint64_t detour_serials = 1;
static _Atomic uint64_t flow_serials = 1;

void (*scope_report)(enum scope_fault fault, const struct context *node);

static void report(enum scope_fault fault, const struct context *node) {
    if (scope_report != NULL)
        scope_report(fault, node);
}

void flow_begin(struct flow *flow, struct context *start) {
    flow->current = start;
    flow->stash = (struct stash){0};
    flow->detours = NULL;
    flow->detours_opened = 0;
    flow->serial = atomic_fetch_add_explicit(&flow_serials, 1, memory_order_relaxed);
}

static const struct values *values_of(const struct context *context) {
    return context != NULL ? context->values : NULL;
}

/* A watcher may set its own key (C32), and so drop what is current: it is held for as long as it is looked
 * at. `before` is its caller's. */
static void notify(const struct context *before, struct context *after, bool switched) {
    if (!watch_any() || values_of(before) == values_of(after))
        return;
    context_retain(after);
    watch_notify(values_of(before), values_of(after), switched);
    context_release(after);
}

/* Makes `context` current, consuming the reference; returns the one to what was before. */
static struct context *flow_swap(struct flow *flow, struct context *context, bool switched) {
    struct context *before = flow->current;
    flow->current = context;
    notify(before, context, switched);
    return before;
}

void flow_become(struct flow *flow, struct context *context, bool switched) {
    flow_release(flow, flow_swap(flow, context, switched));
    if (flow->stash.context != NULL && !context_descends(flow->current, flow->stash.context))
        flow_unstash(flow); /* a context that was left is not kept alive by what is in stock */
}

bool flow_suppressed(const struct flow *flow) {
    return flow->detours != NULL && flow->detours->kind == DETOUR_SUPPRESS;
}

enum { STASH_SIZE = 1 << 10, STASH_MOST = 1 << 16 };

void flow_unstash(struct flow *flow) {
    struct stash stash = flow->stash;
    flow->stash = (struct stash){0};
    if (stash.context != NULL)
        context_release_many(stash.context, stash.count);
}

/* Another reference to `context`, which the flow is sure to hold. */
static struct context *flow_retain(struct flow *flow, struct context *context) {
    if (context == NULL)
        return NULL;
    if (flow->stash.context != context) {
        flow_unstash(flow);
        context_retain_many(context, STASH_SIZE);
        flow->stash = (struct stash){context, STASH_SIZE};
    } else if (flow->stash.count == 0) {
        context_retain_many(context, STASH_SIZE);
        flow->stash.count = STASH_SIZE;
    }
    flow->stash.count--;
    return context;
}

struct context *flow_capture(struct flow *flow) {
    return flow_suppressed(flow) ? NULL : flow_retain(flow, flow->current);
}

void flow_release(struct flow *flow, struct context *context) {
    if (context == NULL)
        return;
    if (context == flow->stash.context && flow->stash.count < STASH_MOST)
        flow->stash.count++;
    else
        context_release(context);
}

/* --- opening ------------------------------------------------------------------------------------- */

static struct scope scope_of(const struct flow *flow, struct context *node) {
    node->scoped = 1;
    return (struct scope){node, atomic_load_explicit(&node->serial, memory_order_relaxed), flow->serial};
}

struct scope flow_push(struct flow *flow, const char *operation, size_t length, int *error) {
    struct context *node = context_operation(flow->current, operation, length, flow->serial);
    if (node == NULL) {
        *error = ENOMEM;
        return (struct scope){0};
    }
    flow->current = node;
    return scope_of(flow, node);
}

static uint64_t serial_of(const struct context *context) {
    return atomic_load_explicit(&context->serial, memory_order_relaxed);
}

/* Opens one around `inside` (consuming the reference, but on failure), which becomes current. A watcher is
 * told of that, and may use the flow: the detour is whole by then. */
static struct detour *detour_open(struct flow *flow, enum detour_kind kind, struct context *inside,
                                  int *error) {
    struct detour *detour = slab_take(&detour_slab);
    if (detour == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    detour->outer = flow->detours;
    detour->before = flow->current;
    detour->kind = kind;
    detour->root = kind == DETOUR_ROOT ? serial_of(inside) : 0;
    detour->since = kind == DETOUR_ROOT ? detour->root : context_next_serial();
    detour->number = ++flow->detours_opened;
    uint64_t serial = atomic_fetch_add_explicit(&detour_serials, 1, memory_order_relaxed) | DETOUR_SERIAL;
    atomic_store_explicit(&detour->serial, serial, memory_order_release);
    flow->detours = detour;
    (void)flow_swap(flow, inside, kind == DETOUR_ATTACH);
    return detour;
}

/* Takes the innermost detour off; returns what was before it, a reference. */
static struct context *detour_shut(struct flow *flow) {
    struct detour *detour = flow->detours;
    struct context *before = detour->before;
    flow->detours = detour->outer;
    atomic_store_explicit(&detour->serial, 0, memory_order_relaxed);
    slab_give(&detour_slab, detour);
    return before;
}

static struct scope scope_of_detour(const struct flow *flow, struct detour *detour) {
    return (struct scope){detour, atomic_load_explicit(&detour->serial, memory_order_relaxed), flow->serial};
}

struct scope flow_root(struct flow *flow, struct context *base, const char *name, int *error) {
    struct context *root = context_root(context_retain(base), "", 0, flow->serial);
    if (root == NULL || context_rename(root, name) != 0) {
        context_release(root != NULL ? root : base);
        *error = ENOMEM;
        return (struct scope){0};
    }
    struct scope scope = scope_of(flow, root);
    if (detour_open(flow, DETOUR_ROOT, root, error) != NULL)
        return scope;
    context_release(root);
    return (struct scope){0};
}

struct scope flow_attach(struct flow *flow, struct context *context, int *error) {
    struct context *inside = flow_retain(flow, context);
    struct detour *detour = detour_open(flow, DETOUR_ATTACH, inside, error);
    if (detour == NULL)
        flow_release(flow, inside);
    return detour != NULL ? scope_of_detour(flow, detour) : (struct scope){0};
}

struct scope flow_suppress(struct flow *flow, int *error) {
    struct context *inside = flow_retain(flow, flow->current);
    struct detour *detour = detour_open(flow, DETOUR_SUPPRESS, inside, error);
    if (detour == NULL)
        flow_release(flow, inside);
    return detour != NULL ? scope_of_detour(flow, detour) : (struct scope){0};
}

struct scope flow_with(struct flow *flow, struct key *key, void *value, int *error) {
    struct values *before = flow->current != NULL ? flow->current->values : NULL;
    struct values *values = NULL;
    enum values_change change = values_set(before, key, value, &values);
    if (change == VALUES_SAME)
        values = values_retain(before);
    struct context *node = NULL;
    if (change != VALUES_NO_MEMORY)
        node = context_with_values(flow->current, values, flow->serial);
    if (node == NULL) {
        values_abandon(values, key, change == VALUES_CHANGED);
        *error = ENOMEM;
        return (struct scope){0};
    }
    struct scope scope = scope_of(flow, node);
    flow->current = node;
    notify(node->parent, node, false);
    return scope;
}

/* A value set for the rest of a flow replaces the node of one that this flow set before: setting in a loop
 * does not make the path longer. */
static struct context *set_parent(const struct flow *flow) {
    struct context *current = flow->current;
    bool own = current != NULL && current->kind == CONTEXT_VALUE && !current->scoped &&
               current->flow == flow->serial;
    return own ? current->parent : current;
}

int flow_set(struct flow *flow, struct key *key, void *value, int *error) {
    struct values *values = NULL;
    struct values *before = flow->current != NULL ? flow->current->values : NULL;
    enum values_change change = values_set(before, key, value, &values);
    if (change == VALUES_SAME)
        return 1;
    struct context *parent = set_parent(flow), *node = NULL;
    if (change == VALUES_CHANGED && values == NULL && (parent == NULL || parent->values == NULL)) {
        flow_become(flow, context_retain(parent), false); /* nothing is left of what was set */
        return 0;
    }
    if (change == VALUES_CHANGED)
        node = context_with_values(context_retain(parent), values, flow->serial);
    if (node == NULL) {
        if (change == VALUES_CHANGED)
            context_release(parent);
        values_abandon(values, key, true);
        *error = ENOMEM;
        return -1;
    }
    flow_become(flow, node, false);
    return 0;
}

/* --- closing ------------------------------------------------------------------------------------- */

/* The scope's node on this path, or NULL. */
static struct context *path_find(struct context *path, const struct scope *scope) {
    for (struct context *node = path; node != NULL; node = node->parent)
        if (node == scope->node)
            return context_is(node, scope->serial) ? node : NULL;
    return NULL;
}

/* Marks `node` closed; says so when it had been left open. */
static void leave(struct context *node, enum scope_fault fault) {
    if (node->scoped && atomic_exchange_explicit(&node->closed, 1, memory_order_relaxed) == 0)
        report(fault, node);
}

/* Marks what this flow opened since, and left open on its path. */
static void leave_since(const struct flow *flow, uint64_t since, enum scope_fault fault) {
    for (struct context *node = flow->current; node != NULL; node = node->parent)
        if (node->flow == flow->serial && atomic_load_explicit(&node->serial, memory_order_relaxed) >= since)
            leave(node, fault);
}

/* The context around the outermost scope that this flow opened since; the current one if there is none. */
static struct context *around_since(const struct flow *flow, uint64_t since) {
    struct context *around = flow->current;
    for (struct context *node = flow->current; node != NULL; node = node->parent)
        if (node->scoped && node->flow == flow->serial &&
            atomic_load_explicit(&node->serial, memory_order_relaxed) >= since)
            around = node->parent;
    return around;
}

/* Ends the innermost detour: closes what is open inside, and goes back to what was before it. A suppressed
 * flow was on no detour: what it set stays, but the scopes inside go. */
static void detour_return(struct flow *flow) {
    enum detour_kind kind = flow->detours->kind;
    uint64_t since = flow->detours->since;
    struct context *around = kind == DETOUR_SUPPRESS ? around_since(flow, since) : NULL;
    leave_since(flow, since, SCOPE_OUT_OF_ORDER);
    struct context *before = detour_shut(flow);
    if (kind == DETOUR_SUPPRESS) {
        flow_release(flow, before);
        before = around != flow->current ? context_retain(around) : NULL;
    }
    if (kind != DETOUR_SUPPRESS || around != flow->current)
        flow_become(flow, before, kind == DETOUR_ATTACH);
}

static int close_detour(struct flow *flow, const struct scope *scope) {
    struct detour *target = flow->detours;
    while (target != NULL && (target != scope->node || target->serial != scope->serial))
        target = target->outer;
    if (target == NULL) {
        struct detour *elsewhere = scope->node;
        if (atomic_load_explicit(&elsewhere->serial, memory_order_acquire) != scope->serial)
            return 0;
        report(SCOPE_FOREIGN, NULL);
        return EPERM;
    }
    while (flow->detours != target) {
        report(SCOPE_OUT_OF_ORDER, NULL);
        detour_return(flow);
    }
    detour_return(flow);
    return 0;
}

/* The flow is inside `node`: goes to its parent, or to what was before a root that this flow opened. That
 * the parent may have been closed by another flow changes nothing for this one, which is still inside. */
static void close_node(struct flow *flow, struct context *node, uint64_t serial) {
    atomic_store_explicit(&node->closed, 1, memory_order_relaxed);
    for (struct context *inner = flow->current; inner != node; inner = inner->parent)
        leave(inner, SCOPE_OUT_OF_ORDER);
    if (flow->detours != NULL && flow->detours->kind == DETOUR_ROOT && flow->detours->root == serial)
        detour_return(flow);
    else
        flow_become(flow, context_retain(node->parent), false);
}

/* Is every reference to the node the flow's own: its current one and the stash? */
static bool flow_owns(const struct flow *flow, const struct context *node) {
    uint32_t own = 1 + (flow->stash.context == node ? flow->stash.count : 0);
    return atomic_load_explicit(&node->references, memory_order_acquire) == own;
}

/* The usual close that flow_close_quick leaves: of the innermost scope, which was captured, and whose
 * captures were given back. Its reference to its parent becomes the flow's. */
static bool close_innermost(struct flow *flow, const struct scope *scope) {
    struct context *node = flow->current;
    if (node != scope->node || !context_is(node, scope->serial) || node->kind != CONTEXT_OPERATION)
        return false;
    flow->current = node->parent; /* first, as in flow_close_quick */
    atomic_signal_fence(memory_order_seq_cst);
    if (!flow_owns(flow, node)) {
        flow->current = node;
        return false;
    }
    if (flow->stash.context == node)
        flow->stash = (struct stash){0};
    context_discard(node);
    return true;
}

/* The outermost detour that was opened inside the scope, or NULL. */
static const struct detour *outermost_inside(const struct flow *flow, const struct scope *scope) {
    const struct detour *found = NULL;
    for (const struct detour *detour = flow->detours; detour != NULL; detour = detour->outer)
        if (path_find(detour->before, scope) != NULL)
            found = detour;
    return found;
}

int flow_close(struct flow *flow, const struct scope *scope) {
    if (scope->node == NULL)
        return 0;
    if (scope->serial & DETOUR_SERIAL)
        return close_detour(flow, scope);
    bool inside_detour = flow->detours != NULL && path_find(flow->detours->before, scope) != NULL;
    if (!inside_detour && close_innermost(flow, scope))
        return 0;
    while (outermost_inside(flow, scope) != NULL) { /* detours that were opened inside the scope */
        report(SCOPE_OUT_OF_ORDER, NULL);
        detour_return(flow);
    }
    struct context *node = path_find(flow->current, scope);
    if (node != NULL) {
        close_node(flow, node, scope->serial);
        return 0;
    }
    struct context *elsewhere = scope->node;
    if (!context_is(elsewhere, scope->serial) ||
        atomic_load_explicit(&elsewhere->closed, memory_order_relaxed))
        return 0;
    report(SCOPE_FOREIGN, elsewhere);
    return EPERM;
}

/* --- frames -------------------------------------------------------------------------------------- */

struct flow_mark flow_mark(const struct flow *flow) {
    return (struct flow_mark){.serial = context_next_serial(), .detours = flow->detours_opened};
}

bool flow_explicit(const struct flow *flow, struct flow_mark mark) {
    if (flow->detours != NULL && flow->detours->number > mark.detours)
        return true;
    for (const struct context *node = flow->current; node != NULL; node = node->parent)
        if (node->scoped && node->flow == flow->serial &&
            atomic_load_explicit(&node->serial, memory_order_relaxed) >= mark.serial &&
            !atomic_load_explicit(&node->closed, memory_order_relaxed))
            return true;
    return false;
}

void flow_unwind(struct flow *flow, struct flow_mark mark) {
    leave_since(flow, mark.serial, SCOPE_UNPOPPED);
    while (flow->detours != NULL && flow->detours->number > mark.detours) {
        report(SCOPE_UNPOPPED, NULL);
        detour_return(flow);
        leave_since(flow, mark.serial, SCOPE_UNPOPPED);
    }
}

void flow_end(struct flow *flow) {
    flow_unwind(flow, (struct flow_mark){0});
    flow_become(flow, NULL, true);
    flow_unstash(flow);
}
