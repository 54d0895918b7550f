/* Coroutines: see coroutine.h. */
#include "coroutine.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/slab.h"
#include "../ctxstore/watch.h"
#include "frame.h"
#include "parked.h"
#include "trace.h"

#include <errno.h>
#include <linux/futex.h>

enum { SWEEP_AT_LEAST = 64 };

static struct slab coroutines = SLAB(sizeof(struct coroutine));

/* Guards the tree. */
static struct lock stacks_lock;
struct stack_range *coroutine_stacks;
static size_t stacks_known, sweep_at = SWEEP_AT_LEAST;
static _Atomic uint64_t stacks_added; /* ever */

/* Which coroutine was found by addresses near this one: maybe. */
enum { HINT_BITS = 10, HINT_SHIFT = 8 };
static _Atomic(struct coroutine *) hints[1 << HINT_BITS];

static _Atomic(struct coroutine *) *hint_of(uintptr_t address) {
    return &hints[(address >> HINT_SHIFT) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - HINT_BITS)];
}

static void stacks_take(void) {
    if (lock_take(&stacks_lock)) /* else fork left it half changed: coroutines start anew */
        return;
    coroutine_stacks = NULL;
    stacks_known = 0;
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        atomic_store_explicit(&hints[i], NULL, memory_order_relaxed);
}

/* --- states -------------------------------------------------------------------------------------- */

static uint64_t turn_of(const struct coroutine *coroutine) {
    return atomic_load_explicit(&coroutine->turn, memory_order_acquire);
}

/* False: it has changed since `turn` was read. */
static bool change_state(struct coroutine *coroutine, uint64_t turn, enum coroutine_state to) {
    uint64_t next = ((turn >> COROUTINE_STATE_BITS) + 1) << COROUTINE_STATE_BITS | to;
    return atomic_compare_exchange_strong_explicit(&coroutine->turn, &turn, next, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* --- the tree ------------------------------------------------------------------------------------ */

static bool covers(const struct stack_range *stack, uintptr_t address) {
    return stack != NULL && stack->low <= address && address < stack->high;
}

/* With the lock held. */
static struct coroutine *coroutine_at(uintptr_t address) {
    struct stack_range *stack = stacks_below(coroutine_stacks, address + 1);
    return covers(stack, address) ? (struct coroutine *)stack : NULL;
}

/* With the lock held. */
static void tree_remove(struct coroutine *coroutine) {
    stacks_remove(&coroutine_stacks, &coroutine->stack);
    stacks_known -= stacks_known > 0;
}

/* Of the thread that it is ON in. */
static void coroutine_free(struct coroutine *coroutine) {
    stacks_take();
    uint64_t turn = turn_of(coroutine);
    if (coroutine_state_in(turn) == COROUTINE_ON)
        tree_remove(coroutine);
    (void)change_state(coroutine, turn, COROUTINE_GONE); /* nobody else changes it while we have the lock */
    lock_give(&stacks_lock);
    slab_give(&coroutines, coroutine);
}

/* Is the word where it was left still there, and the same? Asked of the kernel in one step, since another
 * thread may unmap the page at any moment: a requeue of nobody, which compares first. */
static bool can_come_back(const struct coroutine *coroutine) {
    long at = (long)atomic_load_explicit(&coroutine->left_at, memory_order_relaxed);
    uint32_t word = atomic_load_explicit(&coroutine->left_word, memory_order_relaxed);
    long result = kernel_call(SYS_futex, at, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, at, word);
    return result == 0 ||
           (result == -EAGAIN && atomic_load_explicit(&coroutine->left_unseen, memory_order_relaxed));
}

/* One that is OFF and cannot come back: taken out of the tree, and the caller's to drop. With the lock held.
 */
static struct coroutine *take_if_gone(struct coroutine *coroutine) {
    uint64_t turn = turn_of(coroutine);
    if (coroutine_state_in(turn) != COROUTINE_OFF || can_come_back(coroutine) ||
        !change_state(coroutine, turn, COROUTINE_GONE))
        return NULL;
    tree_remove(coroutine);
    return coroutine;
}

static void sweep(void) {
    uintptr_t from = 0;
    while (true) {
        struct coroutine *gone = NULL;
        stacks_take();
        struct stack_range *next = stacks_from(coroutine_stacks, from);
        if (next != NULL) {
            from = next->high;
            gone = take_if_gone((struct coroutine *)next);
        } else {
            sweep_at = stacks_known * 2 > SWEEP_AT_LEAST ? stacks_known * 2 : SWEEP_AT_LEAST;
        }
        lock_give(&stacks_lock);
        if (gone != NULL) {
            parked_drop(&gone->parked);
            slab_give(&coroutines, gone);
        }
        if (next == NULL)
            return;
    }
}

/* Out of the tree, whatever it is doing. True: it was OFF, and is the caller's to drop; else its thread frees
 * it. With the lock held. */
static bool take_out(struct coroutine *coroutine) {
    uint64_t turn;
    bool off;
    do {
        turn = turn_of(coroutine);
        off = coroutine_state_in(turn) == COROUTINE_OFF;
    } while (!change_state(coroutine, turn, off ? COROUTINE_GONE : COROUTINE_REMOVED));
    tree_remove(coroutine);
    return off;
}

/* Whatever was on this memory is over. */
static void clear_range(uintptr_t low, uintptr_t high) {
    while (true) {
        stacks_take();
        struct stack_range *last = stacks_below(coroutine_stacks, high);
        struct coroutine *over = last != NULL && last->high > low ? (struct coroutine *)last : NULL;
        bool off = over != NULL && take_out(over);
        lock_give(&stacks_lock);
        if (over == NULL)
            return;
        if (off) {
            parked_drop(&over->parked);
            slab_give(&coroutines, over);
        }
    }
}

/* --- turns --------------------------------------------------------------------------------------- */

/* Where its stack pointer is; 0: not known. */
static void note_left(struct coroutine *coroutine, uintptr_t at) {
    uint32_t word = at != 0 ? *(const uint32_t *)at : 0;
    atomic_store_explicit(&coroutine->left_unseen, at == 0, memory_order_relaxed);
    atomic_store_explicit(&coroutine->left_at, at != 0 ? at : (coroutine->stack.high - 1) & ~(uintptr_t)3,
                          memory_order_relaxed);
    atomic_store_explicit(&coroutine->left_word, word, memory_order_relaxed);
}

void coroutine_new(struct thread *thread, struct context *start, uintptr_t low, size_t size,
                   uintptr_t left_at) {
    struct origin origin = origin_here();
    clear_range(low, low + size);
    struct coroutine *coroutine = slab_take(&coroutines);
    if (coroutine == NULL) {
        flow_release(&thread->flow, start);
        return;
    }
    uint64_t serial = start != NULL ? atomic_load_explicit(&start->serial, memory_order_relaxed) : 0;
    coroutine->stack = (struct stack_range){.low = low, .high = low + size};
    coroutine->parked = (struct parked){.stack_low = low,
                                        .stack_high = low + size,
                                        .inherited = start != NULL,
                                        .start = start,
                                        .start_serial = serial,
                                        .serial = context_next_serial(),
                                        .thread = thread};
    coroutine->origin = origin;
    atomic_store_explicit(&coroutine->low, low, memory_order_relaxed);
    atomic_store_explicit(&coroutine->high, low + size, memory_order_relaxed);
    note_left(coroutine, left_at);
    flow_begin(&coroutine->parked.flow, start);
    stacks_take();
    stacks_add(&coroutine_stacks, &coroutine->stack);
    (void)change_state(coroutine, turn_of(coroutine), COROUTINE_OFF);
    atomic_fetch_add_explicit(&stacks_added, 1, memory_order_release);
    bool many = ++stacks_known >= sweep_at;
    lock_give(&stacks_lock);
    if (many)
        sweep();
}

enum destination { SAME, OWN, COROUTINE, UNKNOWN };

/* It goes from OFF to ON, if it is this address's. */
static bool take_turn(struct coroutine *coroutine, uintptr_t address) {
    uint64_t turn = turn_of(coroutine);
    return coroutine_state_in(turn) == COROUTINE_OFF &&
           address >= atomic_load_explicit(&coroutine->low, memory_order_relaxed) &&
           address < atomic_load_explicit(&coroutine->high, memory_order_relaxed) &&
           change_state(coroutine, turn, COROUTINE_ON);
}

static bool is_own(const struct thread *thread, uintptr_t address) {
    return address >= thread->own_low && address < thread->own_high;
}

static enum destination own_destination(const struct thread *thread) {
    return thread->turn == TURN_OWN ? SAME : OWN;
}

/* With the lock held. */
static enum destination destination_in_tree(struct thread *thread, uintptr_t address,
                                            struct coroutine **found) {
    struct coroutine *coroutine = coroutine_at(address);
    if (coroutine != NULL && coroutine == thread->coroutine)
        return SAME;
    if (coroutine != NULL && !take_turn(coroutine, address))
        return UNKNOWN;
    if (coroutine != NULL) {
        atomic_store_explicit(hint_of(address), coroutine, memory_order_relaxed);
        *found = coroutine;
        return COROUTINE;
    }
    if (thread->own_high != 0 && !is_own(thread, address))
        return UNKNOWN;
    const struct stack_range *last = stacks_below(coroutine_stacks, thread->own_high);
    if (last == NULL || last->high <= thread->own_low)
        thread->own_clear = atomic_load_explicit(&stacks_added, memory_order_relaxed);
    return own_destination(thread);
}

/* Whose stack is this? A coroutine that is found is the caller's from here on. */
static enum destination destination_of(struct thread *thread, uintptr_t address, struct coroutine **found) {
    const struct coroutine *on = thread->turn == TURN_COROUTINE ? thread->coroutine : NULL;
    if (on != NULL && covers(&on->stack, address) && coroutine_state_in(turn_of(on)) == COROUTINE_ON)
        return SAME;
    if (is_own(thread, address) &&
        thread->own_clear == atomic_load_explicit(&stacks_added, memory_order_acquire))
        return own_destination(thread);
    struct coroutine *hinted = atomic_load_explicit(hint_of(address), memory_order_relaxed);
    if (hinted != NULL && take_turn(hinted, address)) {
        *found = hinted;
        return COROUTINE;
    }
    stacks_take();
    enum destination destination = destination_in_tree(thread, address, found);
    lock_give(&stacks_lock);
    return destination;
}

/* It is OFF, to be found by its stack. False: it was taken out of the tree, and is GONE. */
static bool set_off(struct coroutine *coroutine, uintptr_t left_at) {
    note_left(coroutine, left_at);
    while (true) {
        uint64_t turn = turn_of(coroutine);
        bool known = coroutine_state_in(turn) == COROUTINE_ON;
        if (change_state(coroutine, turn, known ? COROUTINE_OFF : COROUTINE_GONE))
            return known;
    }
}

/* Takes the flow that is on out of the record. `left_at` is where its stack pointer is, or 0: not known. */
static void leave(struct thread *thread, uintptr_t left_at) {
    struct coroutine *coroutine = thread->coroutine;
    if (thread->turn == TURN_OWN) {
        park(thread, &thread->own);
    } else if (thread->turn == TURN_COROUTINE) {
        park(thread, &coroutine->parked);
        if (!set_off(coroutine, left_at)) {
            parked_drop(&coroutine->parked);
            slab_give(&coroutines, coroutine);
        }
    } else {
        frame_end_all(thread);
        flow_end(&thread->flow);
    }
}

static void enter(struct thread *thread, enum destination destination, struct coroutine *coroutine) {
    if (destination == OWN) {
        unpark(thread, &thread->own);
        thread->turn = TURN_OWN;
    } else if (destination == COROUTINE) {
        unpark(thread, &coroutine->parked);
        thread->turn = TURN_COROUTINE;
        thread->coroutine = coroutine;
    }
    frame_limit_renew(thread);
}

/* Watchers are told once, of the difference. */
static void change(struct thread *thread, enum destination destination, struct coroutine *coroutine,
                   uintptr_t left_at) {
    struct context *before = watch_any() ? context_retain(thread->flow.current) : NULL;
    leave(thread, left_at);
    enter(thread, destination, coroutine);
    flow_switched(before, &thread->flow);
    trace_attach(thread);
    context_release(before);
}

void coroutine_turn(struct thread *thread, uintptr_t to, uintptr_t from) {
    struct coroutine *coroutine = NULL;
    enum destination destination = destination_of(thread, to, &coroutine);
    if (destination != SAME)
        change(thread, destination, coroutine, from);
}

/* Alternate signal stacks are nobody's: who is there was on where it was before. A handler is where it is. */
void coroutine_settle(struct thread *thread, uintptr_t here) {
    struct coroutine *coroutine = NULL;
    if (thread->interruption != NULL)
        return;
    if (thread->turn == TURN_COROUTINE && covers(&thread->coroutine->stack, here))
        return;
    if (thread->turn == TURN_OWN && thread->own_high == 0)
        return;
    enum destination destination = destination_of(thread, here, &coroutine);
    if (destination != SAME && destination != UNKNOWN)
        change(thread, destination, coroutine, 0);
}

void coroutine_end(struct thread *thread) {
    struct coroutine *coroutine = thread->coroutine;
    if (thread->turn == TURN_OWN)
        return;
    frame_end_all(thread);
    flow_end(&thread->flow);
    park_nobody(thread);
    trace_leave(thread);
    frame_limit_renew(thread);
    if (coroutine != NULL)
        coroutine_free(coroutine);
}

void coroutine_thread_end(struct thread *thread) {
    coroutine_end(thread);
    if (thread->turn != TURN_OWN)
        enter(thread, OWN, NULL);
}
