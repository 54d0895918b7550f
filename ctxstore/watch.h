/* Who wants to know of a key's changes (ctxshim_on_change). */
#ifndef CTXSTORE_WATCH_H
#define CTXSTORE_WATCH_H

#include "key.h"
#include "values.h"

#include <stdbool.h>

extern __attribute__((visibility("hidden"))) _Atomic uint32_t watch_count;

/* 0, or an errno value: ENOMEM when there are too many. */
int watch_add(struct key *key, void (*changed)(void *before, void *after, int switched, void *arg),
              void *arg);
/* 0, or an errno value: ENOENT. */
int watch_remove(const struct key *key, const void *arg);
void watch_remove_all(const struct key *key);

/* Is anybody watching any key? One load. */
static inline bool watch_any(void) {
    return atomic_load_explicit(&watch_count, memory_order_relaxed) != 0;
}
/* Told of a key whose watchers set it whenever they are told of it, deeper than they are let. Set once at
 * start-up; may be NULL. */
extern void (*watch_report)(const struct key *key);

/* Tells the watchers of each key that differs between two maps. Runs the program's code. */
void watch_notify(const struct values *before, const struct values *after, bool switched);

#endif
