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

/* Guards the tree, and `on`, `in_tree` and `left_*` of all that are in it. */
static struct lock stacks_lock;
struct stack_range *coroutine_stacks;
static size_t stacks_known, sweep_at = SWEEP_AT_LEAST;

static void stacks_take(void) {
    if (!lock_take(&stacks_lock)) { /* fork left it half changed: coroutines start anew */
        coroutine_stacks = NULL;
        stacks_known = 0;
    }
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
    if (!coroutine->in_tree)
        return;
    stacks_remove(&coroutine_stacks, &coroutine->stack);
    coroutine->in_tree = false;
    stacks_known -= stacks_known > 0;
}

static void coroutine_free(struct coroutine *coroutine) {
    stacks_take();
    tree_remove(coroutine);
    lock_give(&stacks_lock);
    slab_give(&coroutines, coroutine);
}

/* Is the word where it was left still there, and the same? Asked of the kernel in one step, since another
 * thread may unmap the page at any moment: a requeue of nobody, which compares first. */
static bool can_come_back(const struct coroutine *coroutine) {
    long at = (long)coroutine->left_at;
    long result = kernel_call(SYS_futex, at, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, at, coroutine->left_word);
    return result == 0 || (result == -EAGAIN && coroutine->left_unseen);
}

/* One that is OFF and cannot come back: taken out of the tree, and the caller's to drop. With the lock held.
 */
static struct coroutine *take_if_gone(struct coroutine *coroutine) {
    if (coroutine->on || can_come_back(coroutine))
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

/* Whatever was on this memory is over. */
static void clear_range(uintptr_t low, uintptr_t high) {
    while (true) {
        stacks_take();
        struct stack_range *last = stacks_below(coroutine_stacks, high);
        struct coroutine *over = last != NULL && last->high > low ? (struct coroutine *)last : NULL;
        bool off = over != NULL && !over->on;
        if (over != NULL)
            tree_remove(over);
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
    *coroutine = (struct coroutine){.stack = {.low = low, .high = low + size},
                                    .parked = {.stack_low = low,
                                               .stack_high = low + size,
                                               .inherited = start != NULL,
                                               .start = start,
                                               .start_serial = serial,
                                               .serial = context_next_serial(),
                                               .thread = thread},
                                    .origin = origin,
                                    .in_tree = true,
                                    .left_at = left_at,
                                    .left_word = *(const uint32_t *)left_at};
    flow_begin(&coroutine->parked.flow, start);
    stacks_take();
    stacks_add(&coroutine_stacks, &coroutine->stack);
    bool many = ++stacks_known >= sweep_at;
    lock_give(&stacks_lock);
    if (many)
        sweep();
}

enum destination { SAME, OWN, COROUTINE, UNKNOWN };

/* Whose stack is this? A coroutine that is found is the caller's from here on. With the lock held. */
static enum destination destination_of(const struct thread *thread, uintptr_t address,
                                       struct coroutine **found) {
    struct coroutine *coroutine = coroutine_at(address);
    if (coroutine != NULL && coroutine == thread->coroutine)
        return SAME;
    if (coroutine != NULL && coroutine->on)
        return UNKNOWN;
    if (coroutine != NULL) {
        coroutine->on = true;
        *found = coroutine;
        return COROUTINE;
    }
    if (thread->own_high != 0 && (address < thread->own_low || address >= thread->own_high))
        return UNKNOWN;
    return thread->turn == TURN_OWN ? SAME : OWN;
}

/* With the lock held: OFF, to be found by its stack. False: it was taken out of the tree. */
static bool set_off(struct coroutine *coroutine, uintptr_t left_at) {
    coroutine->left_unseen = left_at == 0;
    coroutine->left_at = coroutine->left_unseen ? (coroutine->stack.high - 1) & ~(uintptr_t)3 : left_at;
    coroutine->left_word = coroutine->left_unseen ? 0 : *(const uint32_t *)left_at;
    coroutine->on = false;
    return coroutine->in_tree;
}

/* Takes the flow that is on out of the record. `left_at` is where its stack pointer is, or 0: not known. */
static void leave(struct thread *thread, uintptr_t left_at) {
    struct coroutine *coroutine = thread->coroutine;
    if (thread->turn == TURN_OWN) {
        park(thread, &thread->own);
    } else if (thread->turn == TURN_COROUTINE) {
        park(thread, &coroutine->parked);
        stacks_take();
        bool off = set_off(coroutine, left_at);
        lock_give(&stacks_lock);
        if (!off) {
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
    stacks_take();
    enum destination destination = destination_of(thread, to, &coroutine);
    lock_give(&stacks_lock);
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
    stacks_take();
    enum destination destination = destination_of(thread, here, &coroutine);
    lock_give(&stacks_lock);
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
