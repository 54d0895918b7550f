/* Flows that are not on: see parked.h. */
#include "parked.h"

#include "../ctxstore/slab.h"
#include "frame.h"

#include <string.h>

void park_nobody(struct thread *thread) {
    flow_begin(&thread->flow, NULL);
    thread->depth = 0;
    thread->stack_low = thread->stack_high = 0;
    thread->inherited = false;
    thread->left_frame = false;
    thread->left_loop = thread->ran_out = NULL;
    thread->turn = TURN_NOBODY;
    thread->coroutine = NULL;
}

/* Frames that there is no memory for are ended. */
static struct frame *frames_out(struct thread *thread) {
    size_t size = thread->depth * sizeof(struct frame);
    struct frame *frames = size > 0 ? block_take(size) : NULL;
    if (frames != NULL)
        memcpy(frames, thread->frames, size);
    else
        frame_end_all(thread);
    return frames;
}

void park(struct thread *thread, struct parked *parked) {
    struct frame *frames = frames_out(thread);
    *parked = (struct parked){.flow = thread->flow,
                              .frames = frames,
                              .depth = thread->depth,
                              .stack_low = thread->stack_low,
                              .stack_high = thread->stack_high,
                              .inherited = thread->inherited,
                              .left_frame = thread->left_frame,
                              .left_loop = thread->left_loop,
                              .left_at = thread->left_at,
                              .ran_out = thread->ran_out,
                              .start = thread->start,
                              .start_serial = thread->start_serial,
                              .next_start_wait = thread->next_start_wait,
                              .serial = context_next_serial(),
                              .thread = thread};
    memcpy(parked->start_waits, thread->start_waits, sizeof parked->start_waits);
    park_nobody(thread);
}

void unpark(struct thread *thread, const struct parked *parked) {
    thread->flow = parked->flow;
    thread->depth = parked->depth;
    if (parked->depth > 0) {
        memcpy(thread->frames, parked->frames, parked->depth * sizeof(struct frame));
        block_give(parked->frames, parked->depth * sizeof(struct frame));
    }
    thread->stack_low = parked->stack_low;
    thread->stack_high = parked->stack_high;
    thread->inherited = parked->inherited;
    thread->left_frame = parked->left_frame;
    thread->start = parked->start;
    thread->start_serial = parked->start_serial;
    memcpy(thread->start_waits, parked->start_waits, sizeof thread->start_waits);
    thread->next_start_wait = parked->next_start_wait;
    context_serials_after(parked->serial);
    bool same = parked->thread == thread; /* else its loops are the other one's */
    thread->left_loop = same ? parked->left_loop : NULL;
    thread->left_at = parked->left_at;
    thread->ran_out = same ? parked->ran_out : NULL;
    for (struct frame *frame = thread->frames; frame < thread->frames + thread->depth && !same; frame++) {
        frame->loop = NULL;
        frame->lone = false;
    }
}

void parked_drop(struct parked *parked) {
    for (unsigned i = 0; i < parked->depth; i++) {
        context_release(parked->frames[i].before);
        context_release(parked->frames[i].base);
    }
    if (parked->depth > 0)
        block_give(parked->frames, parked->depth * sizeof(struct frame));
    flow_drop(&parked->flow);
}
