/* Signal handlers as flows: see interruption.h. */
#include "interruption.h"

#include "../ctxstore/slab.h"
#include "../ctxstore/value.h"
#include "frame.h"
#include "parked.h"
#include "trace.h"

struct interruption {
    struct interruption *outer; /* first: the slab's, while free */
    uintptr_t address;          /* the handler's */
    struct parked interrupted;
    enum turn turn;
    struct coroutine *coroutine;
    struct value stone; /* keeps the quick ways shut: who comes by looks whether the handler was left */
};

static struct slab interruptions = SLAB(sizeof(struct interruption));

/* Was a handler at `address` left, by one who is `here` now? What lies above us on our own stack can be read.
 */
static bool left(const struct thread *thread, uintptr_t address, uintptr_t here) {
    if (!thread_on_own_stack(thread, here))
        return false;
    if (!thread_on_own_stack(thread, address) || here > address)
        return true;
    return ((const struct handling *)address)->witness != handling_witness(address);
}

uintptr_t interruption_limit(const struct thread *thread) {
    uintptr_t address = thread->interruption->address;
    if (thread_on_own_stack(thread, address))
        return address;
    return address < thread->stack_low ? thread->stack_low - 1 : UINTPTR_MAX;
}

bool interruption_open(struct thread *thread, uintptr_t here) {
    if (left(thread, thread_handler, here)) {
        thread_handler = 0;
        return true;
    }
    struct interruption *interruption = slab_take(&interruptions);
    if (interruption == NULL)
        return false;
    flow_settle(&thread->flow);
    struct context *current = context_retain(thread->flow.current);
    uintptr_t low = thread->stack_low, high = thread->stack_high;
    interruption->outer = thread->interruption;
    interruption->address = thread_handler;
    interruption->turn = thread->turn;
    interruption->coroutine = thread->coroutine;
    park(thread, &interruption->interrupted);
    thread->flow.current = current;
    thread->flow.quiet = true;
    thread->stack_low = low;
    thread->stack_high = high;
    thread->turn = interruption->turn;
    thread->coroutine = interruption->coroutine;
    thread->interruption = interruption;
    graveyard_stone_set(&interruption->stone);
    frame_limit_renew(thread);
    return true;
}

/* Watchers are told of what the handler had changed and left so. */
static void end_innermost(struct thread *thread) {
    struct interruption *interruption = thread->interruption;
    frame_end_all(thread);
    flow_unwind(&thread->flow, (struct flow_mark){0});
    struct flow handler = thread->flow;
    unpark(thread, &interruption->interrupted);
    thread->turn = interruption->turn;
    thread->coroutine = interruption->coroutine;
    thread->interruption = interruption->outer;
    graveyard_stone_take(&interruption->stone);
    slab_give(&interruptions, interruption);
    frame_limit_renew(thread);
    flow_switched(handler.current, &thread->flow);
    trace_attach(thread);
    flow_drop(&handler);
}

void interruption_end(struct thread *thread, const struct interruption *outer) {
    while (thread->interruption != NULL && thread->interruption != outer)
        end_innermost(thread);
}

void interruption_settle_slow(struct thread *thread, uintptr_t here) {
    while (thread->interruption != NULL && left(thread, thread->interruption->address, here))
        end_innermost(thread);
    if (thread_handler != 0 && left(thread, thread_handler, here))
        thread_handler = thread->interruption != NULL ? thread->interruption->address : 0;
}

void interruption_end_all(struct thread *thread) {
    while (thread->interruption != NULL)
        end_innermost(thread);
    thread_handler = 0;
}
