/* A walk along all holders (holders.h): what its parts share. */
#ifndef SHIM_HOLDERS_WALK_H
#define SHIM_HOLDERS_WALK_H

#include "holders.h"

struct flow;

struct walk {
    const struct memory *memory;
    const struct holders_map *map;
    void (*each)(const struct holding *holding, void *arg);
    void *arg;
};

enum { LIST_MOST = 1 << 14, SLOTS_AT_ONCE = 256 }; /* of a list that changes under us */

static inline void walk_tell(const struct walk *walk, const struct holding *holding) {
    walk->each(holding, walk->arg);
}

/* What a flow has current, as `holding` says; and what its scopes go back to. `copy` is of it. */
void walk_flow(const struct walk *walk, struct holding holding, const struct flow *flow,
               const struct flow *copy);

/* Work that waits for somebody (holders_work.c). Is it laid out as here? */
bool holders_know_work(const struct holders_map *map);
void holders_take_work(const struct walk *walk);

#endif
