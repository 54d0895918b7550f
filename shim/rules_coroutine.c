/* F11: a coroutine starts in the context that was current where it was made, and keeps one of its own over
 * every switch, wherever it goes on (coroutine.h says how it is known). As a thread's, the context that it
 * started in is weak evidence: one that comes back to the same wait lets it go. */
#include "coroutine.h"
#include "interruption.h"
#include "rules.h"

void rules_coroutine_made(uintptr_t low, size_t size, uintptr_t stack_pointer, struct here here) {
    frame_settle(here);
    if (low > UINTPTR_MAX - size || stack_pointer < low || stack_pointer >= low + size)
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    coroutine_settle(thread, here.address);
    coroutine_new(thread, flow_capture(&thread->flow), low, size, stack_pointer);
    thread_leave();
}

void rules_coroutine_switch(uintptr_t stack_pointer, uintptr_t left_at, struct here here) {
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    interruption_end_all(thread); /* a handler that switches: the interrupted flow is what goes off */
    coroutine_settle(thread, here.address);
    coroutine_turn(thread, stack_pointer, left_at);
    thread_leave();
}

void rules_coroutine_begin(struct here here) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    coroutine_settle(thread, here.address);
    thread_leave();
}

void rules_coroutine_over(struct here here) {
    rules_coroutine_begin(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    coroutine_end(thread);
    thread_leave();
    thread_bury();
}
