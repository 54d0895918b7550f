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
    for (struct frame *frame = thread->frames; frame < thread->frames + thread->depth; frame++)
        if (parked->thread != thread)
            frame->loop = NULL; /* that is the other thread's */
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
