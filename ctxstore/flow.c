/* Flows and their scopes: see flow.h. */
#include "flow.h"

#include "slab.h"

#include <errno.h>
#include <string.h>

static struct slab detour_slab = SLAB(sizeof(struct detour));
static _Atomic uint64_t flow_serials = 1;

void (*scope_report)(enum scope_fault fault, const struct scope_view *scope, const struct scope_view *around);
void (*scope_left)(const struct context *node);

static struct scope_view view_of(const struct context *node) {
    return (struct scope_view){node, site_address(node->site), node->flow, node->site};
}

static struct scope_view view_of_detour(const struct detour *detour) {
    return (struct scope_view){NULL, site_address(detour->site), detour->flow, detour->site};
}

static void report(enum scope_fault fault, struct scope_view scope, const struct scope_view *around) {
    if (scope_report != NULL)
        scope_report(fault, &scope, around);
}

void flow_begin(struct flow *flow, struct context *start) {
    flow->current = start;
    flow->stash = (struct stash){0};
    flow->detours = NULL;
    flow->detours_opened = 0;
    flow->quiet = false;
    flow->serial = atomic_fetch_add_explicit(&flow_serials, 1, memory_order_relaxed);
}

static uint64_t serial_of(const struct context *context) {
    return atomic_load_explicit(&context->serial, memory_order_relaxed);
}

static struct values *map_of(const struct context *context) {
    return context != NULL ? context->values : NULL;
}

/* A watcher may set its own key (C32), and so drop what is current: it is held for as long as it is looked
 * at. `before` is its caller's. */
static void notify(const struct context *before, struct context *after, bool switched) {
    if (!watch_any() || map_of(before) == map_of(after))
        return;
    context_retain(after);
    watch_notify(map_of(before), map_of(after), switched);
    context_release(after);
}

/* Makes `context` current, consuming the reference; returns the one to what was before. */
static struct context *flow_swap(struct flow *flow, struct context *context, bool switched) {
    struct context *before = flow->current;
    flow->current = context;
    notify(before, context, switched);
    return before;
}

/* Is `ancestor` among the first few on the way from `context`? */
static bool lies_near(const struct context *context, const struct context *ancestor) {
    for (int i = 0; i < 8 && context != NULL && context != ancestor; i++)
        context = context->parent;
    return context == ancestor;
}

/* Is every reference to the node the flow's own: its current one and the stash? */
static bool flow_owns(const struct flow *flow, const struct context *node) {
    uint32_t own = 1 + (flow->stash.context == node ? flow->stash.count : 0);
    return atomic_load_explicit(&node->references, memory_order_acquire) == own;
}

/* A node that nobody but the flow holds, and that is not current any longer, goes; its reference to its
 * parent becomes the caller's. */
static void flow_discard(struct flow *flow, struct context *node) {
    if (flow->stash.context == node)
        flow->stash = (struct stash){0};
    context_discard(node);
}

/* A node that borrows from its parent, and nobody else holds, goes; what it held of its parent begins a
 * stock. */
static void leave_lent(struct flow *flow, struct context *before) {
    struct context *lender = before->parent;
    flow_discard(flow, before);
    if (flow->stash.context == NULL && lender != NULL)
        flow->stash = (struct stash){lender, 1};
    else
        flow_release(flow, lender);
}

void flow_leave(struct flow *flow, struct context *before) {
    if (before != NULL && before->lent && flow_owns(flow, before))
        leave_lent(flow, before);
    else
        flow_release(flow, before);
    if (flow->stash.context != NULL && !lies_near(flow->current, flow->stash.context))
        flow_unstash(flow);
}

void flow_become(struct flow *flow, struct context *context, bool switched) {
    flow_leave(flow, flow_swap(flow, context, switched));
}

void flow_unstash(struct flow *flow) {
    struct stash stash = flow->stash;
    flow->stash = (struct stash){0};
    if (stash.context != NULL)
        context_release_many(stash.context, stash.count);
}

/* Another reference to `context`, which somebody is sure to hold. */
static struct context *flow_retain(struct flow *flow, struct context *context) {
    if (context == NULL)
        return NULL;
    if (flow->stash.context != context) {
        if (context != flow->current)
            return context_retain(context);
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

struct context *flow_handed_on(const struct flow *flow) {
    bool nothing = flow->detours == NULL ? flow->quiet : flow_suppressed(flow);
    return nothing ? NULL : flow->current;
}

struct context *flow_capture(struct flow *flow) {
    flow_settle(flow);
    return flow_retain(flow, flow_handed_on(flow));
}

struct context *flow_capture_inside(const struct flow *flow) {
    return flow_suppressed(flow) || !flow_settled(flow) ? NULL : context_retain(flow->current);
}

void flow_release(struct flow *flow, struct context *context) {
    if (!flow_release_quick(flow, context))
        context_release(context);
}

/* --- opening ------------------------------------------------------------------------------------- */

static struct scope scope_of(const struct flow *flow, struct context *node, struct here here) {
    context_scope(node, here);
    return (struct scope){node, atomic_load_explicit(&node->serial, memory_order_relaxed), flow->serial};
}

struct scope flow_push(struct flow *flow, const char *operation, struct here here, int *error) {
    flow_settle(flow);
    struct context *node = context_operation(flow->current, operation, strlen(operation), flow->serial);
    if (node == NULL) {
        *error = ENOMEM;
        return (struct scope){0};
    }
    struct scope scope = scope_of(flow, node, here);
    flow->current = node;
    return scope;
}

/* Opens one around `inside` (consuming the reference, but on failure), which becomes current. A watcher is
 * told of that, and may use the flow: the detour is whole by then. */
static struct detour *detour_open(struct flow *flow, enum detour_kind kind, struct context *inside,
                                  struct here here, int *error) {
    struct detour *detour = slab_cache_take(&local.detours, &detour_slab);
    if (detour == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    uint64_t serial = context_take_serial();
    detour->outer = flow->detours;
    detour->before = flow->current;
    detour->inside = inside != NULL ? serial_of(inside) : 0;
    detour->kind = kind;
    detour->root = kind == DETOUR_ROOT ? serial_of(inside) : 0;
    detour->since = kind == DETOUR_ROOT ? detour->root : serial;
    detour->number = ++flow->detours_opened;
    detour->flow = (uint32_t)flow->serial;
    detour->site = site_number(here.site);
    detour->stack = (uint32_t)here.address;
    atomic_store_explicit(&detour->serial, serial | DETOUR_SERIAL, memory_order_release);
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
    slab_cache_give(&local.detours, &detour_slab, detour);
    return before;
}

static struct scope scope_of_detour(const struct flow *flow, struct detour *detour) {
    return (struct scope){detour, atomic_load_explicit(&detour->serial, memory_order_relaxed), flow->serial};
}

struct scope flow_root(struct flow *flow, struct context *base, const char *name, struct here here,
                       int *error) {
    flow_settle(flow);
    struct context *root = context_root(context_retain(base), "", 0, flow->serial);
    if (root == NULL || context_rename(root, name) != 0) {
        context_release(root != NULL ? root : base);
        *error = ENOMEM;
        return (struct scope){0};
    }
    struct scope scope = scope_of(flow, root, here);
    if (detour_open(flow, DETOUR_ROOT, root, here, error) != NULL)
        return scope;
    context_release(root);
    return (struct scope){0};
}

struct scope flow_attach(struct flow *flow, struct context *context, struct here here, int *error) {
    flow_settle(flow);
    struct context *inside = flow_retain(flow, context);
    struct detour *detour = detour_open(flow, DETOUR_ATTACH, inside, here, error);
    if (detour == NULL)
        flow_release(flow, inside);
    return detour != NULL ? scope_of_detour(flow, detour) : (struct scope){0};
}

struct scope flow_suppress(struct flow *flow, struct here here, int *error) {
    flow_settle(flow);
    struct context *inside = flow_retain(flow, flow->current);
    struct detour *detour = detour_open(flow, DETOUR_SUPPRESS, inside, here, error);
    if (detour == NULL)
        flow_release(flow, inside);
    return detour != NULL ? scope_of_detour(flow, detour) : (struct scope){0};
}

struct scope flow_with(struct flow *flow, struct key *key, void *value, struct here here, int *error) {
    flow_settle(flow);
    struct values *before = map_of(flow->current);
    struct values_edit edit;
    enum values_change change = values_edit(before, false, key, value, &edit);
    struct context *node = NULL;
    if (change == VALUES_SAME)
        node = context_with_values(flow->current, before, false, flow->serial);
    else if (change == VALUES_CHANGED)
        node = context_with_values(flow->current, edit.values, edit.owned, flow->serial);
    if (node == NULL) {
        if (change == VALUES_CHANGED)
            values_undo(&edit);
        *error = ENOMEM;
        return (struct scope){0};
    }
    struct scope scope = scope_of(flow, node, here);
    flow->current = node;
    notify(node->parent, node, false);
    return scope;
}

/* A value set for the rest of a flow takes the place of one that was set before, by whomever: setting again
 * and again, here or from thread to thread, does not make the path longer. What the old node owned of the map
 * becomes the new one's; and its reference to the parent, if it goes. A handler may have captured the old one
 * until it was current no more, so only then is asked who holds it. */
static void take_place(struct flow *flow, struct context *node, const struct key *key) {
    struct context *old = flow->current;
    if (node != old->parent)
        node->lent = old->lent;
    flow->current = node;
    atomic_signal_fence(memory_order_seq_cst);
    bool goes = !watch_any() && flow_owns(flow, old);
    if (old->owns_values)
        values_inherit(old->values, key, goes);
    if (goes) {
        old->owns_values = 0;
        flow_discard(flow, old);
        return;
    }
    context_retain(old->parent);
    notify(old, node, false);
    flow_leave(flow, old);
}

int flow_set(struct flow *flow, struct key *key, void *value, int *error) {
    struct context *current = flow->current;
    bool replaces = current != NULL && current->kind == CONTEXT_VALUE && !current->scoped;
    bool lends = replaces && !current->lent && !flow_owns(flow, current);
    replaces = replaces && !lends;
    struct context *parent = replaces ? current->parent : current;
    struct values_edit edit;
    switch (values_edit(map_of(current), replaces && current->owns_values, key, value, &edit)) {
    case VALUES_SAME:
        return 1;
    case VALUES_NO_MEMORY:
        *error = ENOMEM;
        return -1;
    case VALUES_CHANGED:
        break;
    }
    bool nothing_left = replaces && edit.values == NULL && map_of(parent) == NULL;
    struct context *node = parent;
    if (!nothing_left)
        node = context_with_values(parent, edit.values, edit.owned, flow->serial);
    if (node == NULL && !nothing_left) {
        values_undo(&edit);
        *error = ENOMEM;
        return -1;
    }
    if (replaces) {
        take_place(flow, node, key);
    } else {
        if (lends)
            node->lent = 1;
        flow->current = node;
        notify(parent, node, false);
    }
    if (map_of(flow->current) == NULL)
        flow_settle(flow); /* perhaps nothing that was set is left */
    return 0;
}

/* Nobody but the flow holds it; if somebody does after all, it stays as it is. It is changed in place, which
 * a handler on this thread may see at any step, and may not capture (flow_capture_inside): the path is whole
 * at each, and the lender goes last. Whoever looks from outside (peek.h) is told by a new serial. */
void flow_settle_slow(struct flow *flow) {
    struct context *node = flow->current, *lender = node->parent, *parent = lender->parent;
    if (!flow_owns(flow, node))
        return;
    if (node->owns_values)
        values_own(node->values);
    else
        values_retain(node->values);
    node->owns_values = node->values != NULL;
    context_unname(node);
    node->parent = context_retain(parent);
    atomic_signal_fence(memory_order_seq_cst);
    node->lent = 0;
    atomic_store_explicit(&node->serial, context_take_serial(), memory_order_release);
    if (node->values == NULL && map_of(parent) == NULL) /* nothing that was set is left */
        flow_leave(flow, flow_swap(flow, context_retain(parent), false));
    flow_leave(flow, lender);
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
static void leave(struct context *node, enum scope_fault fault, const struct scope_view *around) {
    if (!node->scoped || context_mark(node, CONTEXT_CLOSED))
        return;
    if (scope_left != NULL)
        scope_left(node);
    report(fault, view_of(node), around);
}

/* The next node on the way from `node` that this flow made since; NULL: none. A path leads back in time, so
 * behind a node that it made before there is none. */
static struct context *made_since(const struct flow *flow, struct context *node, uint64_t since) {
    for (; node != NULL; node = node->parent)
        if (context_is_of(node, flow->serial))
            return serial_of(node) >= since ? node : NULL;
    return NULL;
}

/* Marks what this flow opened since, and left open on its path. */
static void leave_since(const struct flow *flow, uint64_t since, enum scope_fault fault,
                        const struct scope_view *around) {
    struct context *node = made_since(flow, flow->current, since);
    for (; node != NULL; node = made_since(flow, node->parent, since))
        leave(node, fault, around);
}

/* The context around the outermost scope that this flow opened since; the current one if there is none. */
static struct context *around_since(const struct flow *flow, uint64_t since) {
    struct context *around = flow->current;
    struct context *node = made_since(flow, flow->current, since);
    for (; node != NULL; node = made_since(flow, node->parent, since))
        if (node->scoped)
            around = node->parent;
    return around;
}

/* Ends the innermost detour: closes what is open inside, and goes back to what was before it. A suppressed
 * flow was on no detour: what it set stays, but the scopes inside go. */
static void detour_return(struct flow *flow) {
    const struct detour *detour = flow->detours;
    enum detour_kind kind = detour->kind;
    struct scope_view view = view_of_detour(detour);
    struct context *current = flow->current, *around = current;
    if (kind == DETOUR_SUPPRESS)
        around = around_since(flow, detour->since);
    if (current != NULL && serial_of(current) != detour->inside)
        leave_since(flow, detour->since, SCOPE_OUT_OF_ORDER, &view);
    struct context *before = detour_shut(flow);
    if (kind == DETOUR_SUPPRESS) {
        flow_release(flow, before);
        before = around != current ? context_retain(around) : NULL;
    }
    if (kind != DETOUR_SUPPRESS || around != current)
        flow_become(flow, before, kind == DETOUR_ATTACH);
}

static int close_detour(struct flow *flow, const struct scope *scope) {
    struct detour *target = flow->detours;
    while (target != NULL && (target != scope->node || target->serial != scope->serial))
        target = target->outer;
    if (target == NULL) {
        struct detour *elsewhere = scope->node;
        struct scope_view view = view_of_detour(elsewhere);
        if (atomic_load_explicit(&elsewhere->serial, memory_order_acquire) != scope->serial)
            return 0;
        report(SCOPE_FOREIGN, view, NULL);
        return EPERM;
    }
    struct scope_view around = view_of_detour(target);
    while (flow->detours != target) {
        report(SCOPE_OUT_OF_ORDER, view_of_detour(flow->detours), &around);
        detour_return(flow);
    }
    detour_return(flow);
    return 0;
}

/* The flow is inside `node`: goes to its parent, or to what was before a root that this flow opened. That
 * the parent may have been closed by another flow changes nothing for this one, which is still inside. */
static void close_node(struct flow *flow, struct context *node, uint64_t serial) {
    struct scope_view around = view_of(node);
    context_mark(node, CONTEXT_CLOSED);
    if (node->kind == CONTEXT_ROOT)
        context_end(node);
    for (struct context *inner = flow->current; inner != node; inner = inner->parent)
        leave(inner, SCOPE_OUT_OF_ORDER, &around);
    if (flow->detours != NULL && flow->detours->kind == DETOUR_ROOT && flow->detours->root == serial)
        detour_return(flow);
    else
        flow_become(flow, context_retain(node->parent), false);
}

/* Its reference to its parent becomes the flow's. No detour was opened inside it: that would hold the node,
 * too. */
bool flow_close_innermost(struct flow *flow, const void *scope_node, uint64_t scope_serial) {
    struct context *node = flow->current;
    if (node == NULL || node != scope_node || !context_is(node, scope_serial) ||
        (node->kind != CONTEXT_OPERATION && (node->kind != CONTEXT_VALUE || watch_any())))
        return false;
    flow->current = node->parent; /* first, as in flow_close_quick */
    atomic_signal_fence(memory_order_seq_cst);
    if (!flow_owns(flow, node)) {
        flow->current = node;
        return false;
    }
    flow_discard(flow, node);
    return true;
}

/* The outermost detour that was opened inside the scope, or NULL. Those that this flow has opened before the
 * scope need no look. */
static const struct detour *outermost_inside(const struct flow *flow, const struct scope *scope) {
    const struct detour *found = NULL;
    uint64_t since = scope->flow == flow->serial ? scope->serial : 0;
    for (const struct detour *detour = flow->detours; detour != NULL && detour->since > since;
         detour = detour->outer)
        if (path_find(detour->before, scope) != NULL)
            found = detour;
    return found;
}

int flow_close(struct flow *flow, const struct scope *scope) {
    if (scope->node == NULL)
        return 0;
    if (scope->serial & DETOUR_SERIAL)
        return close_detour(flow, scope);
    if (flow_close_innermost(flow, scope->node, scope->serial))
        return 0;
    const struct detour *outermost = outermost_inside(flow, scope);
    uint64_t opened = outermost != NULL ? atomic_load_explicit(&outermost->serial, memory_order_relaxed) : 0;
    while (opened != 0 && atomic_load_explicit(&outermost->serial, memory_order_relaxed) == opened) {
        struct scope_view around = view_of(scope->node);
        report(SCOPE_OUT_OF_ORDER, view_of_detour(flow->detours), &around);
        detour_return(flow);
    }
    struct context *node = path_find(flow->current, scope);
    if (node != NULL) {
        close_node(flow, node, scope->serial);
        return 0;
    }
    struct context *elsewhere = scope->node;
    if (!context_is(elsewhere, scope->serial) || context_closed(elsewhere))
        return 0;
    report(SCOPE_FOREIGN, view_of(elsewhere), NULL);
    return EPERM;
}

/* --- frames -------------------------------------------------------------------------------------- */

struct flow_mark flow_mark(const struct flow *flow) {
    return (struct flow_mark){.serial = context_next_serial(), .detours = flow->detours_opened};
}

bool flow_explicit(const struct flow *flow, struct flow_mark mark) {
    if (flow->detours != NULL && flow->detours->number > mark.detours)
        return true;
    const struct context *node = made_since(flow, flow->current, mark.serial);
    for (; node != NULL; node = made_since(flow, node->parent, mark.serial))
        if (node->scoped && !context_closed(node))
            return true;
    return false;
}

void flow_unwind(struct flow *flow, struct flow_mark mark) {
    leave_since(flow, mark.serial, SCOPE_UNPOPPED, NULL);
    while (flow->detours != NULL && flow->detours->number > mark.detours) {
        report(SCOPE_UNPOPPED, view_of_detour(flow->detours), NULL);
        detour_return(flow);
        leave_since(flow, mark.serial, SCOPE_UNPOPPED, NULL);
    }
}

/* Nodes keep the low half of the address that they were opened from. */
static bool is_gone(const struct context *node, uintptr_t low, uintptr_t here) {
    return node->block && !context_closed(node) && (uint32_t)(node->stack - (uint32_t)low) < here - low;
}

void flow_close_gone(struct flow *flow, uintptr_t low, uintptr_t here) {
    struct context *gone = NULL;
    struct context *node = flow->current;
    for (; node != NULL && context_is_of(node, flow->serial); node = node->parent)
        if (is_gone(node, low, here))
            gone = node;
    if (gone == NULL)
        return;
    struct scope scope = {gone, serial_of(gone), flow->serial};
    for (node = flow->current; node != gone; node = node->parent)
        leave(node, SCOPE_UNPOPPED, NULL);
    leave(gone, SCOPE_UNPOPPED, NULL);
    (void)flow_close(flow, &scope);
}

void flow_end(struct flow *flow) {
    if (flow->current == NULL && flow->detours == NULL && flow->stash.context == NULL)
        return;
    flow_unwind(flow, (struct flow_mark){0});
    flow_become(flow, NULL, true);
    flow_unstash(flow);
}

void flow_switched(const struct context *before, struct flow *flow) {
    notify(before, flow->current, true);
}

void flow_drop(struct flow *flow) {
    leave_since(flow, 0, SCOPE_UNPOPPED, NULL);
    while (flow->detours != NULL) {
        report(SCOPE_UNPOPPED, view_of_detour(flow->detours), NULL);
        struct context *inside = flow->current;
        flow->current = detour_shut(flow);
        context_release(inside);
        leave_since(flow, 0, SCOPE_UNPOPPED, NULL);
    }
    context_release(flow->current);
    flow->current = NULL;
    flow_unstash(flow);
}

void flow_thread_end(void) {
    slab_cache_end(&local.detours, &detour_slab);
}
