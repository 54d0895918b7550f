/* F1: a new thread inherits the context of the one that starts it, as the weakest evidence: pools are
 * created lazily, inside somebody's request, so a thread that comes back a second time to the same wait
 * is a worker. Its start context is released, and it counts as idle. Before that it may take others' work
 * without ever waiting there: once it has woken another thread up, what it was started for may be done and
 * handed back, and its start context is in doubt. That it has slept says nothing: a runtime's threads do so
 * as they begin, and whenever they want its lock.
 *
 * F13: a fork child keeps the context of the flow that forked; those of other flows are dropped without
 * destroy. Memory does the keeping; numbers start anew. */
#include "kept.h"
#include "rules.h"
#include "trace.h"

struct context *rules_thread_capture(struct here here) {
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return NULL;
    struct context *context = flow_capture(&thread->flow);
    kept_hands_on(thread, NULL);
    thread_leave();
    return context;
}

void rules_thread_dropped(struct context *context) {
    struct thread *thread = context != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    context_release(context);
    thread_leave();
}

static bool same_place(struct here a, struct here b) {
    return a.address == b.address && a.site == b.site;
}

void rules_thread_waits(struct thread *thread, struct here here) {
    flow_settle(&thread->flow);
    if (thread->flow.current != NULL && thread_on_own_stack(thread, here.address))
        flow_close_gone(&thread->flow, thread->stack_low, here.address);
    if (!thread->inherited || thread->depth > 0)
        return;
    bool again = false;
    for (unsigned i = 0; i < START_WAITS; i++)
        again |= same_place(thread->start_waits[i], here);
    thread->start_waits[thread->next_start_wait++ % START_WAITS] = here;
    if (again)
        rules_thread_is_worker(thread);
}

void rules_thread_is_worker(struct thread *thread) {
    if (!thread->inherited || thread->depth > 0)
        return;
    if (thread->flow.current == thread->start && context_is(thread->start, thread->start_serial)) {
        flow_become(&thread->flow, NULL, true);
        trace_leave(thread);
    }
    thread->inherited = false;
}

void rules_thread_moves_on(struct thread *thread) {
    struct context *start = thread->flow.current;
    if (!thread->inherited || thread->depth > 0 || start != thread->start ||
        !context_is(start, thread->start_serial) || start->kind == CONTEXT_AMBIGUOUS)
        return;
    thread_inherit(thread, context_ambiguous(start, NULL, 0, thread->flow.serial));
}

void rules_forked(void) {
    root_forked();
    queue_forked();
    bell_forked();
}
