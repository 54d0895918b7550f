/* Dispatch frames: see frame.h. */
#include "frame.h"

#include "openfile.h"

#include <string.h>

struct frame *frame_top(struct thread *thread) {
    return thread->depth > 0 ? &thread->frames[thread->depth - 1] : NULL;
}

static void limit_renew(struct thread *thread) {
    const struct frame *top = frame_top(thread);
    if (thread != thread_self)
        return;
    frame_limit = top != NULL && top->comparable ? top->wait.address : FRAME_OPEN_ENDED;
}

/* A thread's inherited context is evidence of its start only: it is nobody's base (F1, "ingress starts
 * clean"). */
struct context *frame_base(const struct thread *thread) {
    if (thread->depth > 0)
        return thread->frames[thread->depth - 1].base;
    return thread->inherited ? NULL : thread->flow.current;
}

struct context *frame_base_clean(const struct thread *thread) {
    return thread->depth > 0 ? frame_base(thread) : NULL;
}

static bool is_open(const struct context *node) {
    return node != NULL && node->scoped && !atomic_load_explicit(&node->closed, memory_order_relaxed);
}

/* How many scopes from the innermost outwards are open. */
static uint16_t open_scopes(const struct context *context) {
    uint16_t count = 0;
    for (; is_open(context) && count < UINT16_MAX; context = context->parent)
        count++;
    return count;
}

struct frame *frame_open(struct thread *thread, struct here wait) {
    if (thread->depth == FRAMES_DEEPEST)
        return NULL;
    struct context *base = context_retain(frame_base(thread));
    struct frame *frame = &thread->frames[thread->depth++];
    *frame = (struct frame){.wait = wait,
                            .before = context_retain(thread->flow.current),
                            .base = base,
                            .opened = flow_mark(&thread->flow),
                            .open_scopes = open_scopes(thread->flow.current),
                            .comparable = thread_on_own_stack(thread, wait.address)};
    limit_renew(thread);
    return frame;
}

/* Scopes that were open when the frame began, and were closed from inside it, are not gone back to. One that
 * had been closed before is another matter: work goes on in it for as long as it takes. */
static struct context *still_open(const struct frame *frame, struct context *before) {
    struct context *open = before;
    for (uint16_t i = 0; i < frame->open_scopes && open != NULL && !is_open(open); i++)
        open = open->parent;
    if (open != before) {
        context_retain(open);
        context_release(before);
    }
    return open;
}

void frame_end(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    struct context *before = still_open(frame, frame->before), *base = frame->base;
    flow_unwind(&thread->flow, frame->opened);
    thread->depth--;
    limit_renew(thread);
    flow_become(&thread->flow, before, true);
    context_release(base);
}

void frame_came_from(struct thread *thread, struct open_file *file, uint32_t generation) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    frame->file = file;
    frame->generation = generation;
    frame->provenance.carrier = (int)file_kind(file);
    frame->provenance.fd = file->fd;
}

bool frame_reported(const struct frame *frame, const struct open_file *file) {
    return frame->wait_serial != 0 &&
           atomic_load_explicit(&file->waited, memory_order_relaxed) == frame->wait_serial;
}

void frame_next(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    flow_unwind(&thread->flow, frame->opened);
    flow_become(&thread->flow, context_retain(frame->base), true);
    frame->opened = flow_mark(&thread->flow);
    frame->adopted_serial = 0;
    frame->provenance.evidence = EVIDENCE_NONE;
}

void frame_end_all(struct thread *thread) {
    while (thread->depth > 0)
        frame_end(thread);
}

bool frame_same_wait(const struct thread *thread, const struct frame *frame, struct here wait) {
    if (!frame->comparable || !thread_on_own_stack(thread, wait.address))
        return true;
    return wait.address >= frame->wait.address || wait.site == frame->wait.site;
}

void frame_end_for_wait(struct thread *thread, struct here wait) {
    while (thread->depth > 0) {
        const struct frame *top = frame_top(thread);
        if (top->wait.address == FRAME_OPEN_ENDED || !frame_same_wait(thread, top, wait))
            return;
        frame_end(thread);
    }
}

void frame_adopt(struct thread *thread, struct context *context, enum evidence evidence) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        frame = frame_open(thread, (struct here){FRAME_OPEN_ENDED, NULL});
    if (frame == NULL) {
        context_release(context);
        return;
    }
    uint64_t serial = context != NULL ? atomic_load_explicit(&context->serial, memory_order_relaxed) : 0;
    bool is_value = context != NULL && context->kind == CONTEXT_VALUE;
    flow_become(&thread->flow, context, true);
    frame->provenance = (struct provenance){evidence, -1, -1, provenance_clock()};
    frame->adopted = context;
    frame->adopted_serial = serial;
    frame->adopted_value = is_value;
}

/* Has the callback left the work that was adopted, by closing a scope of it? What it opened then is that
 * work's next step, and nobody else's (`await` does so). */
static bool left_adopted(const struct thread *thread, const struct frame *frame) {
    if (frame->adopted_serial == 0 || frame->adopted_value)
        return false;
    return !context_is(frame->adopted, frame->adopted_serial) ||
           !context_descends(thread->flow.current, frame->adopted);
}

bool frame_explicit(const struct thread *thread) {
    if (thread->depth == 0)
        return flow_explicit(&thread->flow, (struct flow_mark){0});
    const struct frame *frame = &thread->frames[thread->depth - 1];
    return flow_explicit(&thread->flow, frame->opened) && !left_adopted(thread, frame);
}

void frame_settle_slow(uintptr_t here) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    while (thread->depth > 0 && here > frame_limit && thread_on_own_stack(thread, here)) {
        thread->left_frame = true;
        frame_end(thread);
    }
    thread_leave();
}
