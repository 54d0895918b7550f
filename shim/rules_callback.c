/* F6: a callback on a thread that libc starts for it runs in the context that armed it.
 *
 * What is armed is known by (function, value), which is all that a callback gets. Several that are armed with
 * the same function and value, in different contexts, can't be told apart: ambiguous. A callback takes its
 * context along, so a timer that fires again by itself keeps nobody: from the second time on nothing is
 * known. A timer's context is also replaced when it is armed anew, and given back when it is disarmed or
 * deleted; a queue's, when it is asked to notify anew or nobody, or closed. */
#include "../ctxstore/slab.h"
#include "armed.h"
#include "rules.h"
#include "trace.h"

/* All guarded by the lock: every armed one is in one row of each table. */
static struct lock armed_lock;
struct armed *armed_by_call[ARMED_ROWS];
static struct armed *by_owner[ARMED_ROWS];
static uint64_t serials;
static _Atomic size_t armed_count; /* may be asked without the lock: is there any at all? */
static struct slab armed_slab = SLAB(sizeof(struct armed));

static void armed_take(void) {
    if (lock_take(&armed_lock))
        return;
    for (int i = 0; i < ARMED_ROWS; i++) /* fork left it half changed */
        armed_by_call[i] = by_owner[i] = NULL;
    atomic_store_explicit(&armed_count, 0, memory_order_relaxed);
}

static unsigned row_of(uintptr_t a, uintptr_t b) {
    return (unsigned)((a + b * 31) * UINT64_C(0x9E3779B97F4A7C15) >> 56) % ARMED_ROWS;
}

static struct armed **call_row(uintptr_t function, const void *value) {
    return &armed_by_call[row_of(function, (uintptr_t)value)];
}

static struct armed **owner_row(enum callback_kind kind, uintptr_t owner) {
    return &by_owner[row_of(owner, kind)];
}

/* With the lock held. */
static void unlink_armed(struct armed *armed) {
    struct armed **call = call_row(armed->function, armed->value);
    struct armed **owner = owner_row(armed->kind, armed->owner);
    while (*call != armed)
        call = &(*call)->next_call;
    while (*owner != armed)
        owner = &(*owner)->next_owner;
    *call = armed->next_call;
    *owner = armed->next_owner;
    atomic_fetch_sub_explicit(&armed_count, 1, memory_order_relaxed);
}

static void armed_drop(struct armed *armed) {
    context_release(armed->context);
    slab_give(&armed_slab, armed);
}

/* Consumes the reference. Returns the new one's serial; 0 without memory. */
static uint64_t armed_add(enum callback_kind kind, uintptr_t owner, uintptr_t function, const void *value,
                          struct context *context) {
    struct armed *armed = slab_take(&armed_slab);
    if (armed == NULL) {
        context_release(context);
        return 0;
    }
    struct armed **call = call_row(function, value), **row = owner_row(kind, owner);
    struct origin origin = origin_here();
    armed_take();
    uint64_t serial = ++serials;
    *armed = (struct armed){.next_call = *call,
                            .next_owner = *row,
                            .serial = serial,
                            .function = function,
                            .value = value,
                            .kind = kind,
                            .owner = owner,
                            .context = context,
                            .origin = origin};
    *call = *row = armed;
    atomic_fetch_add_explicit(&armed_count, 1, memory_order_relaxed);
    lock_give(&armed_lock);
    return serial;
}

/* Takes the first of this owner whose serial lies between; NULL: none. */
static struct armed *take_of_owner(enum callback_kind kind, uintptr_t owner, uint64_t from, uint64_t below) {
    armed_take();
    struct armed *armed = *owner_row(kind, owner);
    while (armed != NULL &&
           (armed->kind != kind || armed->owner != owner || armed->serial < from || armed->serial >= below))
        armed = armed->next_owner;
    if (armed != NULL)
        unlink_armed(armed);
    lock_give(&armed_lock);
    return armed;
}

static void drop_of_owner(enum callback_kind kind, uintptr_t owner, uint64_t from, uint64_t below) {
    struct armed *armed;
    while ((armed = take_of_owner(kind, owner, from, below)) != NULL)
        armed_drop(armed);
}

static bool none_armed(void) {
    return atomic_load_explicit(&armed_count, memory_order_relaxed) == 0;
}

/* --- what happens once ------------------------------------------------------------------------------- */

uint64_t rules_callback_arm(enum callback_kind kind, uintptr_t owner, uintptr_t function, const void *value,
                            struct here here) {
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return 0;
    struct context *context = flow_capture(&thread->flow);
    trace_capture(thread, NULL);
    uint64_t serial = context != NULL ? armed_add(kind, owner, function, value, context) : 0;
    thread_leave();
    return serial;
}

void rules_callback_armed(enum callback_kind kind, uintptr_t owner, uint64_t serial, bool done) {
    struct thread *thread = none_armed() ? NULL : thread_enter();
    if (thread == NULL)
        return;
    if (!done && serial != 0)
        drop_of_owner(kind, owner, serial, serial + 1);
    else if (done && kind == CALLBACK_QUEUE)
        drop_of_owner(kind, owner, 0, serial != 0 ? serial : UINT64_MAX);
    thread_leave();
}

void rules_callback_over(enum callback_kind kind, uintptr_t owner) {
    struct thread *thread = none_armed() ? NULL : thread_enter();
    if (thread == NULL)
        return;
    drop_of_owner(kind, owner, 0, UINT64_MAX);
    thread_leave();
}

/* --- timers ------------------------------------------------------------------------------------------ */

void rules_callback_timer(uintptr_t timer, uintptr_t function, const void *value) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    armed_add(CALLBACK_TIMER, timer, function, value, NULL);
    thread_leave();
}

/* Puts a context (a reference) in the place of a timer's; returns the one before. */
static struct context *timer_swap(uintptr_t timer, struct context *context, bool *found) {
    struct origin origin = origin_here();
    armed_take();
    struct armed *armed = *owner_row(CALLBACK_TIMER, timer);
    while (armed != NULL && (armed->kind != CALLBACK_TIMER || armed->owner != timer))
        armed = armed->next_owner;
    *found = armed != NULL;
    struct context *before = context;
    if (armed != NULL) {
        before = armed->context;
        armed->context = context;
        armed->origin = origin;
    }
    lock_give(&armed_lock);
    return before;
}

struct callback_arming rules_callback_timer_begin(uintptr_t timer, struct here here) {
    struct callback_arming arming = {.timer = timer};
    frame_settle(here);
    struct thread *thread = none_armed() ? NULL : thread_enter();
    if (thread == NULL)
        return arming;
    arming.before = timer_swap(timer, flow_capture(&thread->flow), &arming.known);
    trace_capture(thread, NULL);
    if (!arming.known)
        context_release(arming.before);
    thread_leave();
    return arming;
}

void rules_callback_timer_end(const struct callback_arming *arming, int result,
                              const struct itimerspec *value) {
    struct thread *thread = arming->known ? thread_enter() : NULL;
    bool found;
    if (thread == NULL)
        return;
    if (result != 0)
        context_release(timer_swap(arming->timer, arming->before, &found));
    else
        context_release(arming->before);
    if (result == 0 && value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 0)
        context_release(timer_swap(arming->timer, NULL, &found));
    thread_leave();
}

/* --- callbacks --------------------------------------------------------------------------------------- */

/* What could be meant by a call. */
struct candidates {
    struct armed *over;      /* what happens once, and has happened */
    struct context *context; /* a reference */
    struct context *others[CONTEXT_LINKS];
    unsigned count;
    bool mixed;
};

static void candidate_add(struct candidates *candidates, struct context *context, bool first) {
    if (first) {
        candidates->context = context;
        return;
    }
    if (context == candidates->context)
        return;
    candidates->mixed = true;
    if (candidates->context == NULL)
        candidates->context = context;
    else if (context != NULL && candidates->count < CONTEXT_LINKS)
        candidates->others[candidates->count++] = context;
}

/* Finds all that are armed with this function and value; the oldest has happened: a timer's hands its context
 * over, any other is over. */
static void candidates_take(struct candidates *candidates, uintptr_t function, const void *value) {
    struct armed *oldest = NULL;
    bool first = true;
    armed_take();
    for (struct armed *armed = *call_row(function, value); armed != NULL; armed = armed->next_call) {
        if (armed->function != function || armed->value != value)
            continue;
        candidate_add(candidates, armed->context, first);
        first = false;
        oldest = armed;
    }
    context_retain(candidates->context);
    for (unsigned i = 0; i < candidates->count; i++)
        context_retain(candidates->others[i]);
    if (oldest != NULL && oldest->kind != CALLBACK_TIMER) {
        unlink_armed(oldest);
        candidates->over = oldest;
    } else if (oldest != NULL && !candidates->mixed) {
        context_release(candidates->context); /* ours: the timer's takes its place */
        oldest->context = NULL;
    }
    lock_give(&armed_lock);
}

void rules_callback_begin(uintptr_t function, const void *value) {
    struct thread *thread = none_armed() ? NULL : thread_enter();
    struct candidates candidates = {0};
    if (thread == NULL)
        return;
    candidates_take(&candidates, function, value);
    struct context *context = candidates.context;
    if (candidates.mixed) {
        context =
            context_ambiguous(candidates.context, candidates.others, candidates.count, thread->flow.serial);
        context_release(candidates.context);
    }
    for (unsigned i = 0; i < candidates.count; i++)
        context_release(candidates.others[i]);
    if (candidates.over != NULL)
        armed_drop(candidates.over);
    thread_inherit(thread, context);
    thread_leave();
}
