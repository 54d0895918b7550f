/* Watchers: see watch.h. */
#include "watch.h"

#include "lock.h"
#include "value.h"

#include <errno.h>

enum { WATCHES = 64, DEEPEST_NOTICE = 8 };

/* A row is free when its key is NULL. All of it is guarded by the lock; who gives notice takes a copy of
 * one row at a time, and calls with nothing held. */
static struct watch {
    struct key *key;
    void (*changed)(void *before, void *after, int switched, void *arg);
    void *arg;
} watches[WATCHES];
static struct lock watch_lock;
_Atomic uint32_t watch_count;

int watch_add(struct key *key, void (*changed)(void *before, void *after, int switched, void *arg),
              void *arg) {
    lock_take(&watch_lock);
    struct watch *row = watches;
    while (row < watches + WATCHES && row->key != NULL)
        row++;
    if (row < watches + WATCHES) {
        *row = (struct watch){key, changed, arg};
        atomic_fetch_add_explicit(&watch_count, 1, memory_order_relaxed);
    }
    lock_give(&watch_lock);
    return row < watches + WATCHES ? 0 : ENOMEM;
}

/* Empties each row of the key that has this `arg`, or any. Returns how many. */
static int watches_clear(const struct key *key, const void *arg, bool any) {
    int cleared = 0;
    if (!watch_any())
        return 0;
    lock_take(&watch_lock);
    for (struct watch *row = watches; row < watches + WATCHES; row++)
        if (row->key == key && (any || row->arg == arg)) {
            row->key = NULL;
            atomic_fetch_sub_explicit(&watch_count, 1, memory_order_relaxed);
            cleared++;
        }
    lock_give(&watch_lock);
    return cleared;
}

int watch_remove(const struct key *key, const void *arg) {
    return watches_clear(key, arg, false) > 0 ? 0 : ENOENT;
}

void watch_remove_all(const struct key *key) {
    watches_clear(key, NULL, true);
}

static struct watch watch_copy(const struct watch *row) {
    lock_take(&watch_lock);
    struct watch copy = *row;
    lock_give(&watch_lock);
    return copy;
}

void (*watch_report)(const struct key *key);

/* How many notices are under way on this thread, and the address of the innermost one, in its giver's stack
 * frame. It is compared and never looked into: a watcher that leaves by a jump or an exception leaves it
 * behind, and who gives notice at the same depth of the stack, or shallower, counts anew. */
static _Thread_local unsigned depth;
static _Thread_local uintptr_t innermost;

struct notice {
    uintptr_t outer;
    unsigned outer_depth;
};

static void notice_begin(struct notice *notice) {
    uintptr_t here = (uintptr_t)notice;
    bool inside = innermost > here;
    *notice = (struct notice){inside ? innermost : 0, inside ? depth : 0};
    depth = notice->outer_depth + 1;
    innermost = here;
}

static void notice_end(const struct notice *notice) {
    depth = notice->outer_depth;
    innermost = notice->outer;
}

/* A watcher that sets its own key for ever is cut off, and what it has set stays. */
static bool too_deep(const struct watch *watch) {
    if (depth <= DEEPEST_NOTICE)
        return false;
    if (watch_report != NULL)
        watch_report(watch->key);
    return true;
}

void watch_notify(const struct values *before, const struct values *after, bool switched) {
    if (before == after)
        return;
    struct notice notice;
    notice_begin(&notice);
    for (const struct watch *row = watches; row < watches + WATCHES; row++) {
        struct watch watch = watch_copy(row);
        void *old = watch.key != NULL ? values_get(before, watch.key) : NULL;
        void *new = watch.key != NULL ? values_get(after, watch.key) : NULL;
        if (old == new || too_deep(&watch))
            continue;
        int kept = host_code_begin != NULL ? host_code_begin() : 0;
        watch.changed(old, new, switched, watch.arg);
        if (host_code_end != NULL)
            host_code_end(kept);
    }
    notice_end(&notice);
}
