/* Conditions of one worker each: see bell.h. */
#include "bell_inside.h"

#include <string.h>

enum { WINDOW = 8, ASKED = 256, STRIKES = 4 };

/* Written with its lock, the condition taken away meanwhile; a reader looks at that before and after. Of
 * several requests that wait for one condition, none is known. */
struct asked {
    _Atomic(const void *) condition;
    _Atomic uint64_t work;
};

_Atomic bool bells_any;
struct bell bells[BELLS];
struct bell_kind bell_kinds[BELL_KINDS];
static struct asked asked[ASKED];
static struct lock table_lock, asked_lock;
/* Something has been written there. Set before the first of it is, and only in a fork child unset. */
static _Atomic bool used;

static void use(void) {
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        atomic_store_explicit(&used, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static uint64_t hash_of(const void *address) {
    return (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> 32;
}

static struct bell *window_of(const void *condition) {
    return &bells[hash_of(condition) & (BELLS - WINDOW)];
}

struct bell *bell_of(const void *condition) {
    struct bell *window = window_of(condition);
    for (struct bell *bell = window; bell < window + WINDOW; bell++)
        if (atomic_load_explicit(&bell->condition, memory_order_acquire) == condition)
            return bell;
    return NULL;
}

uint64_t bell_filter(void) {
    uint64_t filter = 0;
    for (const struct bell_kind *kind = bell_kinds; kind < bell_kinds + BELL_KINDS; kind++)
        if (atomic_load_explicit(&kind->bells, memory_order_relaxed) > 1)
            filter |= UINT64_C(1) << queue_hash(atomic_load_explicit(&kind->mutex, memory_order_relaxed));
    return filter;
}

bool bell_is_under(uint8_t kind, const void *mutex) {
    return atomic_load_explicit(&bell_kinds[kind - 1].mutex, memory_order_relaxed) == mutex;
}

void bell_exit_learn(uint8_t kind, struct queue_place place) {
    atomic_store_explicit(&bell_kinds[kind - 1].exit_depth, place.depth, memory_order_relaxed);
    atomic_store_explicit(&bell_kinds[kind - 1].exit, place.site, memory_order_relaxed);
}

bool bell_is_exit(const void *mutex, struct queue_place place) {
    for (const struct bell_kind *kind = bell_kinds; kind < bell_kinds + BELL_KINDS; kind++) {
        const void *known = atomic_load_explicit(&kind->mutex, memory_order_relaxed);
        if (known == NULL)
            return false;
        if (known == mutex && atomic_load_explicit(&kind->exit, memory_order_relaxed) == place.site &&
            atomic_load_explicit(&kind->exit_depth, memory_order_relaxed) == place.depth)
            return true;
    }
    return false;
}

/* --- making them: with the table locked ----------------------------------------------------------- */

/* 0: no room. */
static uint8_t kind_of(const void *mutex, struct queue_place wait) {
    for (unsigned i = 0; i < BELL_KINDS; i++) {
        struct bell_kind *kind = &bell_kinds[i];
        const void *known = atomic_load_explicit(&kind->mutex, memory_order_relaxed);
        if (known == NULL) {
            kind->wait = wait;
            atomic_store_explicit(&kind->mutex, mutex, memory_order_release);
            return (uint8_t)(i + 1);
        }
        if (known == mutex && kind->wait.site == wait.site && kind->wait.depth == wait.depth)
            return (uint8_t)(i + 1);
    }
    return 0;
}

/* Perhaps: it has a second bell. */
static void kind_begins(void) {
    queue_filter_renew();
    if (bell_filter() != 0)
        atomic_store_explicit(&bells_any, true, memory_order_relaxed);
}

static void bell_hang(const void *mutex, const void *condition, const struct bell_place *place) {
    struct bell *window = window_of(condition), *bell = window;
    use();
    while (bell < window + WINDOW && atomic_load_explicit(&bell->condition, memory_order_relaxed) != NULL)
        bell++;
    uint8_t kind =
        bell < window + WINDOW ? kind_of(mutex, (struct queue_place){place->here.site, place->depth}) : 0;
    if (kind == 0)
        return;
    lock_take(&bell->lock);
    bell->waiter = place->flow;
    bell->here = place->here;
    bell->kind = kind;
    bell->asleep = bell->none = bell->twice = false;
    bell->given = NULL;
    lock_give(&bell->lock);
    unsigned before = atomic_fetch_add_explicit(&bell_kinds[kind - 1].bells, 1, memory_order_relaxed);
    atomic_store_explicit(&bell->condition, condition, memory_order_release);
    if (before > 0)
        kind_begins();
}

void bell_forget(const void *condition) {
    struct bell *bell = bell_of(condition);
    if (bell == NULL)
        return;
    lock_take(&table_lock);
    lock_take(&bell->lock);
    struct context *given = bell->given;
    bell->given = NULL;
    bell->none = true;
    atomic_fetch_sub_explicit(&bell_kinds[bell->kind - 1].bells, 1, memory_order_relaxed);
    atomic_store_explicit(&bell->condition, NULL, memory_order_release);
    lock_give(&bell->lock);
    lock_give(&table_lock);
    context_release(given);
}

/* What others' bells hold is the parent's. Where there are none, nothing is touched: each page would be one
 * to be copied. */
void bell_forked(void) {
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        return;
    memset(bells, 0, sizeof bells);
    memset(bell_kinds, 0, sizeof bell_kinds);
    memset(asked, 0, sizeof asked);
    atomic_store_explicit(&bells_any, false, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&used, false, memory_order_relaxed);
}

/* --- sleeping and ringing ------------------------------------------------------------------------- */

static bool is_place(const struct bell *bell, const void *mutex, struct here here) {
    return atomic_load_explicit(&bell_kinds[bell->kind - 1].mutex, memory_order_relaxed) == mutex &&
           bell->here.address == here.address && bell->here.site == here.site;
}

bool bell_hangs(struct bell *bell, const void *mutex, struct here here, uint64_t flow) {
    lock_take(&bell->lock);
    bool further_out = bell->waiter == flow && here.address > bell->here.address;
    bool hangs = !bell->none && (further_out || is_place(bell, mutex, here));
    lock_give(&bell->lock);
    return hangs;
}

/* A worker may have waited for something else, further in, before it ever came to the bottom of its loop.
 * With the bell and the table locked. */
static void hang_anew(struct bell *bell, const void *mutex, const struct bell_place *place) {
    uint8_t kind = kind_of(mutex, (struct queue_place){place->here.site, place->depth});
    if (kind == 0)
        return;
    atomic_fetch_sub_explicit(&bell_kinds[bell->kind - 1].bells, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bell_kinds[kind - 1].bells, 1, memory_order_relaxed);
    bell->kind = kind;
    bell->here = place->here;
}

void bell_sleeps(const void *mutex, const void *condition, const struct bell_place *place) {
    struct bell *bell = bell_of(condition);
    if (bell == NULL) {
        lock_take(&table_lock);
        bell_hang(mutex, condition, place);
        lock_give(&table_lock);
        bell = bell_of(condition);
    }
    if (bell == NULL)
        return;
    bool further_out = bell_hangs(bell, NULL, place->here, place->flow);
    if (further_out)
        lock_take(&table_lock);
    lock_take(&bell->lock);
    struct context *given = bell->given;
    bell->given = NULL;
    bell->none |= bell->waiter != place->flow;
    if (further_out)
        hang_anew(bell, mutex, place);
    bell->asleep = !bell->none && is_place(bell, mutex, place->here);
    bell->twice = false;
    lock_give(&bell->lock);
    if (further_out) {
        lock_give(&table_lock);
        kind_begins();
    }
    context_release(given);
}

void bell_is_none(struct bell *bell) {
    lock_take(&bell->lock);
    bell->none = true;
    lock_give(&bell->lock);
}

/* The request of a context that is for sure; 0: none. */
static uint64_t work_of(const struct context *context) {
    const struct context *root = context_root_of(context);
    if (root == NULL || context_certainty(context) == CONTEXT_IS_AMBIGUOUS)
        return 0;
    return atomic_load_explicit(&root->serial, memory_order_relaxed);
}

struct bell_handoff bell_wakes(struct bell *bell, uint64_t flow) {
    lock_take(&bell->lock);
    struct bell_handoff handoff = {0};
    if (bell->waiter == flow && bell->asleep) {
        handoff.kind = bell->kind;
        handoff.context = bell->given;
        bell->given = NULL;
        bell->asleep = false;
    }
    lock_give(&bell->lock);
    handoff.work = work_of(handoff.context);
    if (handoff.context != NULL && !bell_is_believed(&bell_kinds[handoff.kind - 1])) {
        context_release(handoff.context);
        handoff.context = NULL;
    }
    return handoff;
}

void bell_rings(struct bell *bell, struct context *context, uint8_t own) {
    struct origin origin = origin_here();
    lock_take(&bell->lock);
    const struct bell_kind *kind = &bell_kinds[bell->kind - 1];
    bool counts = bell->asleep && !bell->none && bell->kind != own &&
                  !atomic_load_explicit(&kind->dropped, memory_order_relaxed) &&
                  atomic_load_explicit(&kind->bells, memory_order_relaxed) > 1;
    struct context *before = bell->given;
    bell->twice |= before != NULL;
    bell->given = counts && !bell->twice ? context_retain(context) : NULL;
    bell->origin = origin;
    lock_give(&bell->lock);
    context_release(before);
}

/* --- evidence -------------------------------------------------------------------------------------- */

void bell_asks(const void *condition, uint64_t work) {
    struct asked *slot = &asked[hash_of(condition) % ASKED];
    lock_take(&asked_lock);
    use();
    bool same = atomic_load_explicit(&slot->condition, memory_order_relaxed) == condition;
    uint64_t before = same ? atomic_load_explicit(&slot->work, memory_order_relaxed) : 0;
    atomic_store_explicit(&slot->condition, NULL, memory_order_seq_cst);
    atomic_store_explicit(&slot->work, before == 0 || before == work ? work : 0, memory_order_seq_cst);
    atomic_store_explicit(&slot->condition, work != 0 ? condition : NULL, memory_order_seq_cst);
    lock_give(&asked_lock);
}

uint64_t bell_asked(const void *condition) {
    const struct asked *slot = &asked[hash_of(condition) % ASKED];
    if (atomic_load_explicit(&slot->condition, memory_order_seq_cst) != condition)
        return 0;
    uint64_t work = atomic_load_explicit(&slot->work, memory_order_seq_cst);
    return atomic_load_explicit(&slot->condition, memory_order_seq_cst) == condition ? work : 0;
}

void bell_judge(uint8_t number, bool agrees, bool touched) {
    struct bell_kind *kind = &bell_kinds[number - 1];
    if (agrees) {
        if (!bell_is_believed(kind))
            atomic_fetch_add_explicit(&kind->agreed, 1, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&kind->agreed, 0, memory_order_relaxed);
    if (touched || atomic_fetch_add_explicit(&kind->strikes, 1, memory_order_relaxed) + 1 >= STRIKES)
        atomic_store_explicit(&kind->dropped, true, memory_order_relaxed);
}
