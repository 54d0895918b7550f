/* F12: a signal handler runs in the interrupted flow's context, may not change it, and hands nothing on: a
 * SIGTERM's self-pipe belongs to no request (interruption.h says how). */
#include "rules.h"

void rules_signal_begin(struct handling *handling) {
    if (local.guard == GUARD_BORROWED)
        (void)process_is_borrowed(); /* if that is over, the guard is free */
    handling->witness = handling_witness((uintptr_t)handling);
    handling->outer_handler = thread_handler;
    handling->outer_guard = local.guard;
    handling->outer = local.thread != NULL ? local.thread->interruption : NULL;
    thread_handler = (uintptr_t)handling;
    if (guard_is_free(local.guard))
        local.guard = GUARD_HANDLER;
    atomic_signal_fence(memory_order_seq_cst);
}

void rules_signal_end(struct handling *handling) {
    struct thread *thread = local.thread;
    if (thread != NULL && thread->interruption != handling->outer) {
        local.guard = (uintptr_t)__builtin_frame_address(0);
        atomic_signal_fence(memory_order_seq_cst);
        interruption_end(thread, handling->outer);
    }
    handling->witness = 0;
    thread_handler = handling->outer_handler;
    atomic_signal_fence(memory_order_seq_cst);
    uintptr_t guard = handling->outer_guard;
    local.guard = guard == GUARD_READY && !graveyard_empty() ? GUARD_BURY : guard;
}
