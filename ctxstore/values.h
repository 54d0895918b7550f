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
 * Why a radix tree with trimmed branches of 16: by figures (`make bench-maps`: an EPYC with 2 cores, ns of
 * own time, medians; bytes of a context after a set, its 40-byte node included; keys whose numbers are close,
 * as of a program that makes them one after the other, and in brackets 37 apart). `with`: a map like another
 * but for one value, made and dropped. All three borrow and use the same caches; the trie has 32 ways and the
 * processor's bit count.
 *
 *      get           1 key       10 keys     100 keys    1000 keys
 *      this          1.7 (1.7)   1.7 (2.1)   2.0 (2.7)    3.2 ( 4.0)
 *      flat array    2.3 (2.5)   2.5 (2.6)   6.3 (6.3)   11.4 (11.9)
 *      hash trie     1.8 (1.8)   2.6 (1.9)   2.8 (2.6)    4.9 ( 5.2)
 *      with
 *      this           15 (15)     26 (38)     38 (52)      52 (56)
 *      flat array     21 (21)     22 (22)     52 (53)     132 (135)
 *      hash trie      20 (20)     33 (24)     35 (32)      42 (44)
 *      bytes
 *      this           64 (64)    160 (216)   284 (335)    400 (438)
 *      flat array     80 (80)    192 (192)  1272 (1272) 12072 (12072)
 *      hash trie      96 (96)    189 (166)   298 (372)    540 (536)
 *
 * Contexts are read more often than set, and this reads fastest wherever keys are close, with no hash to
 * compute and no bits to count, and takes the least memory. It loses at setting: to the trie from 100 keys on
 * (38 to 35, 52 to 42; where numbers lie apart 52 to 32), and to the flat array at 10, which in turn is lost
 * at 1000. */
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
