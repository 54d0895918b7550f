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
    flow->detour_count = 0;
    flow->serial = atomic_fetch_add_explicit(&flow_serials, 1, memory_order_relaxed);
}

/* Makes `context` current, consuming the reference; returns the one to what was before. */
static struct context *flow_swap(struct flow *flow, struct context *context, bool switched) {
    struct context *before = flow->current;
    flow->current = context;
    if (before != context && watch_any())
        watch_notify(before != NULL ? before->values : NULL, context != NULL ? context->values : NULL,
                     switched);
    return before;
}

void flow_become(struct flow *flow, struct context *context, bool switched) {
    flow_release(flow, flow_swap(flow, context, switched));
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

/* The current context's reference went into `node`; the flow now holds the node instead. */
static void flow_deepen(struct flow *flow, struct context *node, const struct values *before) {
    flow->current = node;
    if (node->values != before && watch_any())
        watch_notify(before, node->values, false);
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

/* Opens one around `inside` (consuming the reference, but on failure), which becomes current. */
static struct detour *detour_open(struct flow *flow, enum detour_kind kind, struct context *inside, int *error) {
    struct detour *detour = slab_take(&detour_slab);
    if (detour == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    detour->outer = flow->detours;
    detour->kind = kind;
    detour->root = 0;
    uint64_t serial = atomic_fetch_add_explicit(&detour_serials, 1, memory_order_relaxed) | DETOUR_SERIAL;
    atomic_store_explicit(&detour->serial, serial, memory_order_release);
    flow->detours = detour;
    flow->detour_count++;
    detour->before = flow_swap(flow, inside, kind == DETOUR_ATTACH);
    return detour;
}

/* Takes the innermost detour off; returns what was before it, a reference. */
static struct context *detour_shut(struct flow *flow) {
    struct detour *detour = flow->detours;
    struct context *before = detour->before;
    flow->detours = detour->outer;
    flow->detour_count--;
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
    struct detour *detour = detour_open(flow, DETOUR_ROOT, root, error);
    if (detour == NULL) {
        context_release(root);
        return (struct scope){0};
    }
    detour->root = atomic_load_explicit(&root->serial, memory_order_relaxed);
    return scope_of(flow, root);
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
    flow_deepen(flow, node, before);
    return scope_of(flow, node);
}

/* A value set for the rest of a flow replaces the node of one set so before: setting in a loop does
 * not make the path longer. */
static struct context *set_parent(struct context *current) {
    return current != NULL && current->kind == CONTEXT_VALUE && !current->scoped ? current->parent : current;
}

int flow_set(struct flow *flow, struct key *key, void *value, int *error) {
    struct values *values = NULL;
    struct values *before = flow->current != NULL ? flow->current->values : NULL;
    enum values_change change = values_set(before, key, value, &values);
    if (change == VALUES_SAME)
        return 1;
    struct context *parent = set_parent(flow->current), *node = NULL;
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

/* A context that is gone back to may meanwhile have been left by somebody else. */
static struct context *skip_closed(struct context *context) {
    struct context *open = context;
    while (open != NULL && open->scoped && atomic_load_explicit(&open->closed, memory_order_relaxed))
        open = open->parent;
    if (open != context) {
        context_retain(open);
        context_release(context);
    }
    return open;
}

/* Ends the innermost detour and goes back to what was before it. */
static void detour_return(struct flow *flow) {
    bool back = flow->detours->kind != DETOUR_SUPPRESS;
    struct context *before = detour_shut(flow);
    if (back)
        flow_become(flow, skip_closed(before), true);
    else
        flow_release(flow, before);
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

/* The flow is inside `node`: goes to its parent, or to what was before a root that this flow opened. */
static void close_node(struct flow *flow, struct context *node, uint64_t serial) {
    atomic_store_explicit(&node->closed, 1, memory_order_relaxed);
    for (struct context *inner = flow->current; inner != node; inner = inner->parent)
        leave(inner, SCOPE_OUT_OF_ORDER);
    if (flow->detours != NULL && flow->detours->kind == DETOUR_ROOT && flow->detours->root == serial) {
        detour_return(flow);
        return;
    }
    struct context *parent = context_retain(node->parent);
    flow_become(flow, skip_closed(parent), false);
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
    struct context *parent = node->parent;
    if ((parent != NULL && atomic_load_explicit(&parent->closed, memory_order_relaxed)) ||
        !flow_owns(flow, node))
        return false;
    flow->current = parent;
    if (flow->stash.context == node)
        flow->stash = (struct stash){0};
    context_discard(node);
    return true;
}

int flow_close(struct flow *flow, const struct scope *scope) {
    if (scope->node == NULL)
        return 0;
    if (scope->serial & DETOUR_SERIAL)
        return close_detour(flow, scope);
    if (close_innermost(flow, scope))
        return 0;
    struct context *node = path_find(flow->current, scope);
    if (node != NULL) {
        close_node(flow, node, scope->serial);
        return 0;
    }
    for (struct detour *detour = flow->detours; detour != NULL; detour = detour->outer) {
        if (detour->kind == DETOUR_SUPPRESS || path_find(detour->before, scope) == NULL)
            continue;
        while (flow->detours != detour) {
            report(SCOPE_OUT_OF_ORDER, NULL);
            detour_return(flow);
        }
        detour_return(flow);
        return flow_close(flow, scope);
    }
    struct context *elsewhere = scope->node;
    if (!context_is(elsewhere, scope->serial) ||
        atomic_load_explicit(&elsewhere->closed, memory_order_relaxed))
        return 0;
    report(SCOPE_FOREIGN, elsewhere);
    return EPERM;
}

/* --- frames -------------------------------------------------------------------------------------- */

bool flow_explicit(const struct flow *flow, const struct context *floor, unsigned detours) {
    if (flow->detour_count > detours)
        return true;
    if (flow->current == floor || !context_descends(flow->current, floor))
        return false;
    for (const struct context *node = flow->current; node != floor; node = node->parent)
        if (node->scoped && !atomic_load_explicit(&node->closed, memory_order_relaxed))
            return true;
    return false;
}

void flow_unwind(struct flow *flow, const struct context *floor, unsigned detours) {
    while (flow->detour_count > detours) {
        report(SCOPE_UNPOPPED, NULL);
        context_release(detour_shut(flow));
    }
    if (!context_descends(flow->current, floor))
        return;
    for (struct context *node = flow->current; node != floor; node = node->parent)
        if (node->flow == flow->serial)
            leave(node, SCOPE_UNPOPPED);
}

void flow_end(struct flow *flow) {
    flow_unwind(flow, NULL, 0);
    flow_become(flow, NULL, true);
    flow_unstash(flow);
}
