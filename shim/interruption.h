/* Signal handlers (F12): a handler runs in the context of the flow that it interrupts, and may not change it.
 *
 * It is a flow of its own: one that begins in the interrupted one's context, hands nothing on, and is dropped
 * at its end with whatever it did. Most handlers never use the shim, so the flow is only made when one does:
 * until then the guard says so (GUARD_HANDLER), and a handler costs a few stores. A handler that interrupts
 * the shim itself finds the guard taken, and does nothing.
 *
 * A handler may be left by a jump. Who is then seen on the interrupted stack, above where the handler was,
 * has left it; on an alternate stack, who is seen on the thread's again. */
#ifndef SHIM_INTERRUPTION_H
#define SHIM_INTERRUPTION_H

#include "thread.h"

/* On the stack of a handler's caller, which is ours; `thread_handler` is its address. */
struct handling {
    uint64_t witness; /* while it runs; so a handler that was jumped out of can often be told */
    uintptr_t outer_handler, outer_guard;
    const struct interruption *outer;
};

static inline uint64_t handling_witness(uintptr_t address) {
    return (uint64_t)address ^ UINT64_C(0x9E3779B97F4A7C15);
}

/* Inside the guard, in a handler that uses the shim for the first time, or where one was left by a jump.
 * False without memory: the handler must do nothing. */
bool interruption_open(struct thread *thread, uintptr_t here);
/* Ends the innermost ones, up to `outer`. */
void interruption_end(struct thread *thread, const struct interruption *outer);
/* Who is seen above this has left the innermost one. */
uintptr_t interruption_limit(const struct thread *thread);
/* The program is here: ends those that were left by a jump. */
void interruption_settle_slow(struct thread *thread, uintptr_t here);
static inline void interruption_settle(struct thread *thread, uintptr_t here) {
    if (__builtin_expect(thread->interruption != NULL || thread_handler != 0, 0))
        interruption_settle_slow(thread, here);
}
void interruption_end_all(struct thread *thread);

#endif
