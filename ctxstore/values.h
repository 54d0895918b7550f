/* A context's map of keys to values: immutable, and shared between contexts.
 *
 * A map is a radix tree over the keys' numbers, with up to 16 entries to a branch:
 *
 *      one key         the value itself
 *      up to 16 near   one branch              [ v1 v2 -- v4 ]
 *      more            branches of branches    [ [ v1 v2 .. ] -- [ v33 v34 ] v57 ]
 *
 * A branch says which numbers it covers and has an entry for each from its first to its last, so that a
 * lookup is one load for each level: no hash, no search, no bits to count. A branch of one entry is
 * never made (the entry stands in its place), so the depth is that of the keys that are there.
 *
 * Setting a key copies the branches on its way and shares all others. To whom a shared part belongs is
 * the point of it: an entry is *owned* (its branch holds a reference, one bit in `owned`) or *borrowed*:
 * some ancestor of the context owns it, and a context keeps its ancestors alive. A scope's map
 * (ctxshim_with) only borrows, so making it counts nothing, whatever its size. A map that takes the place of
 * another one (ctxshim_set, whose context is no ancestor of the new one) inherits what that one owned: it is
 * moved when nobody else holds the old context. When somebody does, it is borrowed for as long as the new
 * context is only looked at, and counted when more is done with it (flow_settle). So a value is destroyed as
 * soon as no context that shows it is alive; at the latest when the flow that has replaced it next calls or
 * waits.
 *
 * Why a radix tree with trimmed branches of 16, by figures (`make bench-store`'s machine, ns; bytes of a
 * context after a set, its 40-byte node included):
 *
 *                                  get 1/10/100/1000 keys     with + pop              bytes
 *      this                        MAPFIGURES
 *      a flat array (one branch)   FLATFIGURES
 *
 * A hash array mapped trie has the same depth for the same fan-out and pays a bit count a level and a
 * compressed copy; hashing buys nothing where keys have small numbers. */
#ifndef CTXSTORE_VALUES_H
#define CTXSTORE_VALUES_H

#include "key.h"
#include "value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A map: NULL when empty, else the address of a value, or of a branch with VALUES_BRANCH added. Never
 * dereferenced as such. */
struct values;

enum { VALUES_BRANCH = 1, BRANCH_BITS = 4, BRANCH_MOST = 1 << BRANCH_BITS };

struct branch {
    _Atomic uint32_t references;
    uint32_t first; /* the lowest number that entry[0] covers: a multiple of 1 << shift */
    uint8_t shift;  /* an entry covers 1 << shift numbers */
    uint8_t count;  /* of entries, 2 to 16 */
    uint16_t owned; /* bit i: entry[i] is a reference of this branch's own */
    struct values *entry[];
};

static inline bool values_is_branch(const struct values *values) {
    return ((uintptr_t)values & VALUES_BRANCH) != 0;
}
static inline struct branch *values_branch(const struct values *values) {
    return (struct branch *)((uintptr_t)values - VALUES_BRANCH);
}
/* The entry for a number; not below `count` when it lies outside. */
static inline uint32_t branch_place(const struct branch *branch, uint32_t number) {
    return (number - branch->first) >> branch->shift;
}

/* The value in a map, or NULL. Async-signal-safe. */
static inline struct value *values_find(const struct values *values, const struct key *key) {
    while (values_is_branch(values)) {
        const struct branch *branch = values_branch(values);
        uint32_t place = branch_place(branch, key->number);
        if (place >= branch->count)
            return NULL;
        values = branch->entry[place];
    }
    struct value *value = (struct value *)(uintptr_t)values;
    return value != NULL && value->key == key ? value : NULL;
}
static inline void *values_get(const struct values *values, const struct key *key) {
    const struct value *value = values_find(values, key);
    return value != NULL ? value->data : NULL;
}

enum values_change { VALUES_SAME, VALUES_CHANGED, VALUES_NO_MEMORY };

/* A change under way. What `values` shares with the map before is not counted yet: either it is borrowed
 * for good, or values_inherit follows. */
enum { VALUES_DEEPEST = 9 };
struct values_edit {
    struct values *values; /* the new map */
    bool owned;            /* `values` itself is a reference; else it is a part of the map before */
    struct value *value;   /* what was put in; NULL when a key was removed */
    struct branch *made[VALUES_DEEPEST];
    unsigned count;
};

/* Makes a map like `before`, with `data` under `key`, or without `key` when `data` is NULL. `inherits`: what
 * `before` owns is to be the new map's own, too. Only VALUES_CHANGED fills `*edit`. */
enum values_change values_edit(struct values *before, bool inherits, struct key *key, void *data,
                               struct values_edit *edit);
/* Takes a change back that nobody has seen; its data stays the caller's. */
void values_undo(struct values_edit *edit);
/* Settles who owns what the new map has of `before`, which its context owned. `exclusive`: that context is
 * going, the caller holds its only reference: all is moved, and `before` with the value that was replaced is
 * gone afterwards. Else `before` stays what it is. */
void values_inherit(struct values *before, const struct key *key, bool exclusive);
/* What an owned map that nobody else has seen borrows becomes its own: whoever lent it may go. */
void values_own(struct values *values);
/* One more reference to a map that somebody owns. NULL is allowed. */
void values_retain(struct values *values);
/* Gives an owned map back. */
void values_release(struct values *values);

#endif
