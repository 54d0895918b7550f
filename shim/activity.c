/* Whose work the process has been doing: see activity.h. */
#include "activity.h"

_Atomic uint64_t activity_changes;

/* The root noted last, recognised by its serial: contexts are never unmapped. */
static _Atomic(const struct context *) last;
static _Atomic uint64_t last_serial;

static uint64_t serial_of(const struct context *context) {
    return atomic_load_explicit(&context->serial, memory_order_relaxed);
}

void activity_note_slow(const struct context *context) {
    const struct context *root = context_root_of(context);
    const struct context *before = atomic_load_explicit(&last, memory_order_relaxed);
    if (root == NULL)
        return;
    uint64_t serial = atomic_load_explicit(&last_serial, memory_order_relaxed);
    if (root == before && serial_of(root) == serial)
        return;
    bool began_there = before != NULL && root->parent == before && context_is(before, serial);
    atomic_store_explicit(&last, root, memory_order_relaxed);
    atomic_store_explicit(&last_serial, serial_of(root), memory_order_relaxed);
    if (!began_there)
        atomic_fetch_add_explicit(&activity_changes, 1, memory_order_relaxed);
}

bool activity_alone(const struct thread *thread) {
    const struct thread *other = atomic_load_explicit(&thread_records, memory_order_acquire);
    for (; other != NULL; other = other->next)
        if (other != thread && atomic_load_explicit(&other->tid, memory_order_relaxed) != 0 &&
            __atomic_load_n(&other->flow.current, __ATOMIC_RELAXED) != NULL)
            return false;
    return true;
}
