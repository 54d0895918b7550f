/* Work that waits for somebody: in queues under a mutex or a semaphore (F9, F10), for a callback (F6), in
 * coroutines that are not on (F11). See holders.h. */
#include "armed.h"
#include "bell_inside.h"
#include "coroutine.h"
#include "holders_walk.h"
#include "openfile.h"
#include "peers.h"
#include "queue_inside.h"

void walk_flow(const struct walk *walk, struct holding holding, const struct flow *flow,
               const struct flow *copy) {
    struct detour detour;
    const struct detour *at = copy->detours;
    holding.at = &flow->current;
    if (copy->current != NULL)
        walk_tell(walk, &holding);
    for (unsigned i = 0; at != NULL && i < LIST_MOST; i++, at = detour.outer) {
        if (!memory_copy(walk->memory, &detour, at, sizeof detour))
            return;
        if (detour.before != NULL)
            walk_tell(walk, &(struct holding){.kind = HOLDER_SCOPE,
                                              .at = &at->before,
                                              .fd = -1,
                                              .tid = holding.tid,
                                              .origin = {holding.tid, detour.site}});
    }
}

bool holders_know_work(const struct holders_map *map) {
    return map->work_layout == HOLDERS_WORK_LAYOUT;
}

/* --- queues ---------------------------------------------------------------------------------------- */

/* Entries of which nobody knows whether they are any are not held against the program. */
static void take_queue(const struct walk *walk, const struct queue *copy) {
    uint8_t state = atomic_load_explicit(&((struct queue *)(uintptr_t)copy)->state, memory_order_relaxed);
    bool spoken = state == QUEUE_TRIAL || state == QUEUE_BELIEVED;
    if (state == QUEUE_DEAD || copy->entries == NULL)
        return;
    for (uint64_t ticket = copy->first; ticket < copy->next && ticket - copy->first < QUEUE_ENTRIES;
         ticket++) {
        const struct queue_entry *at = &copy->entries[ticket % QUEUE_ENTRIES];
        struct queue_entry entry;
        if (memory_copy(walk->memory, &entry, at, sizeof entry) && entry.context != NULL && !entry.gone)
            walk_tell(walk, &(struct holding){.kind = spoken && entry.sure ? HOLDER_ITEM : HOLDER_GUESS,
                                              .at = &at->context,
                                              .fd = -1,
                                              .origin = entry.origin});
    }
}

static void take_queues(const struct walk *walk) {
    const struct queue *queue = walk->map->queues;
    struct queue copy;
    for (unsigned i = 0; i < QUEUES; i++, queue++)
        if (memory_copy(walk->memory, &copy, queue, sizeof copy))
            take_queue(walk, &copy);
}

static void take_bells(const struct walk *walk) {
    enum { AT_ONCE = 64 };
    struct bell some[AT_ONCE];
    struct bell_kind believed[BELL_KINDS];
    const struct bell *table = walk->map->bells;
    if (!memory_copy(walk->memory, believed, walk->map->bell_kinds, sizeof believed))
        return;
    for (unsigned at = 0; at < BELLS; at += AT_ONCE) {
        if (!memory_copy(walk->memory, some, &table[at], sizeof some))
            return;
        for (unsigned i = 0; i < AT_ONCE; i++) {
            if (some[i].given == NULL || some[i].kind == 0 || some[i].kind > BELL_KINDS)
                continue;
            bool sure = bell_is_believed(&believed[some[i].kind - 1]);
            walk_tell(walk, &(struct holding){.kind = sure ? HOLDER_ITEM : HOLDER_GUESS,
                                              .at = &table[at + i].given,
                                              .fd = -1,
                                              .origin = some[i].origin});
        }
    }
}

/* --- callbacks ------------------------------------------------------------------------------------- */

static void take_armed(const struct walk *walk) {
    const struct armed *rows[ARMED_ROWS];
    struct armed copy;
    if (!memory_copy(walk->memory, rows, walk->map->armed, sizeof rows))
        return;
    for (unsigned row = 0; row < ARMED_ROWS; row++) {
        const struct armed *at = rows[row];
        for (unsigned i = 0; at != NULL && i < LIST_MOST; i++, at = copy.next_call) {
            if (!memory_copy(walk->memory, &copy, at, sizeof copy))
                break;
            if (copy.context != NULL)
                walk_tell(walk, &(struct holding){.kind = copy.kind == CALLBACK_TIMER ? HOLDER_TIMER
                                                                                      : HOLDER_CALLBACK,
                                                  .at = &at->context,
                                                  .fd = -1,
                                                  .origin = copy.origin});
        }
    }
}

/* --- coroutines ------------------------------------------------------------------------------------ */

static void take_coroutine(const struct walk *walk, const struct coroutine *at,
                           const struct coroutine *copy) {
    struct holding holding = {.kind = HOLDER_PARKED, .fd = -1};
    enum coroutine_state state = coroutine_state_in(atomic_load_explicit(&copy->turn, memory_order_relaxed));
    if (state == COROUTINE_ON || state == COROUTINE_REMOVED)
        return; /* its thread shows it */
    if (copy->parked.inherited && copy->parked.depth == 0) {
        holding.kind = HOLDER_COROUTINE;
        holding.origin = copy->origin;
    }
    walk_flow(walk, holding, &at->parked.flow, &copy->parked.flow);
}

/* A treap's branches are short; one that was forged is left where it is too long. */
static void take_coroutines(const struct walk *walk) {
    enum { DEEPEST = 128 };
    const struct stack_range *waiting[DEEPEST];
    unsigned count = 0;
    struct coroutine copy;
    if (!memory_copy(walk->memory, &waiting[0], walk->map->coroutines, sizeof waiting[0]))
        return;
    count += waiting[0] != NULL;
    for (unsigned i = 0; count > 0 && i < LIST_MOST; i++) {
        const struct coroutine *at = (const struct coroutine *)(const void *)waiting[--count];
        if (!memory_copy(walk->memory, &copy, at, sizeof copy))
            continue;
        take_coroutine(walk, at, &copy);
        if (copy.stack.left != NULL && count < DEEPEST)
            waiting[count++] = copy.stack.left;
        if (copy.stack.right != NULL && count < DEEPEST)
            waiting[count++] = copy.stack.right;
    }
}

void holders_take_work(const struct walk *walk) {
    take_queues(walk);
    take_bells(walk);
    take_armed(walk);
    take_coroutines(walk);
}
