/* Keys and the values that contexts hold under them.
 *
 * A key owns its values: each value taken is destroyed once, after the last context that holds it is
 * gone. *When* that runs is a promise (design: "nothing leaks", duty 4): a dying value goes to the
 * graveyard of the thread that dropped it, and graveyard_bury destroys it from a place where the
 * program's code may run: an API call, a blocking wait, the thread's end; never inside another hook.
 *
 * A map is an immutable array of pointers to values, sorted by the keys' serials: the usual handful of
 * keys costs 8 bytes each to copy, and a lookup in a few keys is a scan of one or two cache lines. */
#ifndef CTXSTORE_KEY_H
#define CTXSTORE_KEY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key;
struct value;
struct values;

/* A new key, or NULL without memory. `destroy` may be NULL. The name is copied. */
struct key *key_create(const char *name, void (*destroy)(void *value));
/* The caller's hold on the key ends; values that live keep theirs. */
void key_destroy(struct key *key);
const char *key_name(const struct key *key);

/* The value in a map, or NULL. The map may be NULL. */
void *values_get(const struct values *values, const struct key *key);

enum values_change { VALUES_SAME, VALUES_CHANGED, VALUES_NO_MEMORY };

/* A new map like `values`, with `data` under `key`, or without `key` when `data` is NULL. Sets `*changed`
 * to a reference (NULL when nothing is left in the map) on VALUES_CHANGED. */
enum values_change values_set(struct values *values, struct key *key, void *data, struct values **changed);
/* Drops a map that values_set made and nobody has seen. The value put in under `key` is not destroyed:
 * it stays the caller's. */
void values_abandon(struct values *values, const struct key *key, bool value_is_new);
struct values *values_retain(struct values *values);
void values_release(struct values *values);

/* Called around each call of the program's code (destroy, changed) that the store makes; what the first
 * returns, the second gets. NULL: nothing to do. Set once at start-up. */
extern int (*host_code_begin)(void);
extern void (*host_code_end)(int kept);

/* Destroys what this thread has dropped. Runs the program's code: no lock of ours may be held. */
void graveyard_bury(void);
/* This thread's, newest first. Only its thread looks at it. */
extern _Thread_local struct value *graveyard;
static inline bool graveyard_empty(void) {
    return graveyard == NULL;
}
/* In a fork child: what the copied thread had dropped is the parent's to destroy. */
void graveyard_forget(void);

/* Who wants to know of a key's changes (ctxshim_on_change). */
extern _Atomic uint32_t watch_count;
int watch_add(struct key *key, void (*changed)(void *before, void *after, int switched, void *arg),
              void *arg);
int watch_remove(const struct key *key, const void *arg);
void watch_remove_all(const struct key *key);
/* Is anybody watching any key? One load. */
static inline bool watch_any(void) {
    return atomic_load_explicit(&watch_count, memory_order_relaxed) != 0;
}
/* Tells the watchers of each key that differs between two maps. Runs the program's code. */
void watch_notify(const struct values *before, const struct values *after, bool switched);

#endif
