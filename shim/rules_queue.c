/* Work queues between threads: F9, F10, and how E9 and E11 are told apart. What is learnt of a queue is
 * queue.h's; here is who takes part in one, and what that makes current.
 *
 * F9  What a producer has current where its section ends goes with the item. A *consumer* is a thread without
 *     work of its own that waits, at the bottom of its loop: there a queue begins. It is one at every later
 *     section that ends where its dequeues end, asleep before or not. Whoever else waits on the condition
 *     resumes with its own context (C19), and shows that this is a lock (E11), as does a wait at another
 * depth. F10 The same for a semaphore, whose units are the items. One that is given back by who took from it
 * is a lock. Shared between processes or not: what somebody else posts does not add up, so nothing is said.
 * E5  A hand-off's frame is tentative: whatever is touched in it is better evidence. It ends when the thread
 *     comes back to its queue.
 *
 * A thread knows of one queue that it sleeps in, one that it woke up in and one that it has just put
 * something into: nobody is in two at once, since sections do not nest in a consumer's loop. Queues are only
 * looked for in processes that have contexts. */
#include "kept.h"
#include "rules_own.h"

bool queue_depth_of(const struct thread *thread, struct here here, uintptr_t *depth) {
    *depth = thread->stack_high - here.address;
    return thread_on_own_stack(thread, here.address);
}

bool queue_is_idle(const struct thread *thread) {
    return thread->depth == 0 && !thread->inherited && thread->flow.current == NULL &&
           thread->flow.detours == NULL;
}

/* --- coming back for more ------------------------------------------------------------------------ */

/* Did this frame's work end with the answer, as in a thread that serves one connection after another? That of
 * a loop has been left as well, for one further out. */
static bool is_answered(const struct thread *thread, const struct frame *frame, struct here here) {
    bool left = frame->comparable && here.address > frame->wait.address;
    if (frame->wait.address != FRAME_OPEN_ENDED && !(left && thread_on_own_stack(thread, here.address)))
        return false;
    bool alive = frame->file != NULL && cell_generation(&frame->file->cell) == frame->generation;
    if (!alive || file_kind(frame->file) != FILE_CONNECTION || !file_has(frame->file, FILE_OUTSTANDING))
        return true;
    struct context *asked = cell_copy(&frame->file->cell, frame->generation);
    bool another = asked != frame->adopted; /* the peer has asked on since */
    context_release(asked);
    return another;
}

/* A consumer is back at the bottom of its loop: what it worked for is over. */
void queue_comes_back(struct thread *thread, struct here here) {
    const struct frame *top = frame_top(thread);
    if (thread->depth == 1 && (top->from_queue || is_answered(thread, top, here)))
        frame_end(thread);
}

/* A jump out of a wait, or a cancellation that is cleaning up: it sleeps no longer. */
static bool left_its_sleep(struct thread *thread) {
    struct queue_part *part = &thread->queue;
    if (part->asleep == NULL)
        return false;
    queue_wakes(part->asleep, part->asleep_life);
    part->asleep = NULL;
    return true;
}

/* Its last enqueue got no signal, now that it begins another section. */
static void goes_on(struct thread *thread) {
    queue_refute(&thread->queue.pending);
    thread->queue.pending = (struct queue_pending){0};
}

/* Nobody needs queues in a process where no work comes from anywhere. */
bool queue_work_may_come(void) {
    return atomic_load_explicit(&process_serves, memory_order_relaxed) || context_live() > 0;
}

/* --- going to sleep ------------------------------------------------------------------------------ */

static bool same_place(struct here a, struct here b) {
    return a.address == b.address && a.site == b.site;
}

/* What a queue or a bell has handed over ends there. */
static bool is_handed(struct thread *thread) {
    return thread->depth > 0 && frame_top(thread)->from_queue;
}

static bool has_rested(const struct queue_part *part, struct here here) {
    for (unsigned i = 0; i < QUEUE_RESTS; i++)
        if (same_place(part->rests[i], here))
            return true;
    return false;
}

/* Whoever waits where it waited last, or where it had no work when it waited before, is back at the bottom of
 * its loop, if its request was answered: whatever it waits for, since each worker of a pool may have a
 * condition of its own. What is waited for in the middle of requests, too, is a lock (E11): there an answer
 * may have more to it than what was written so far. */
static void waits_again(struct thread *thread, const void *what, struct here here) {
    struct queue_part *part = &thread->queue;
    bool rested = has_rested(part, here);
    if (thread->depth == 1 && !is_handed(thread)) {
        if (!is_answered(thread, frame_top(thread), here))
            queue_waits_inside(what);
        else if ((rested || same_place(part->waited, here)) && !queue_is_inside(queue_of(what)))
            queue_comes_back(thread, here);
    }
    part->waited = here;
    if (!rested && queue_is_idle(thread))
        part->rests[part->next_rest++ % QUEUE_RESTS] = here;
}

/* A thread without work waits: that may be a consumer, and what it waits for a queue. */
static void looks_idle(struct thread *thread, const void *mutex, const void *condition, struct here here) {
    uintptr_t depth;
    if (queue_is_idle(thread) && queue_depth_of(thread, here, &depth) && queue_work_may_come())
        queue_begin(mutex, condition, depth);
}

/* The queue that this thread is about to sleep in as a consumer; else NULL. */
static struct queue *consumers_queue(struct thread *thread, const void *mutex, const void *condition,
                                     struct here here) {
    struct queue *queue = queue_of(mutex);
    uintptr_t depth;
    if (queue == NULL || !queue_depth_of(thread, here, &depth))
        return NULL;
    switch (queue_wait_at(queue, mutex, condition, depth)) {
    case QUEUE_WAIT_LOCK:
        queue_drop(queue, queue_generation(queue));
        return NULL;
    case QUEUE_WAIT_CONSUMER:
        if (queue_has_spoken(queue))
            rules_thread_is_worker(thread);
        if (!queue_is_inside(queue) || is_handed(thread))
            queue_comes_back(thread, here);
        if (queue_is_idle(thread))
            return queue;
        if (!thread->inherited)
            queue_drop(queue, queue_generation(queue));
        return NULL;
    default:
        return NULL;
    }
}

static bool holds(const struct thread *thread, const struct queue *queue) {
    return thread->queue.held == queue && thread->queue.held_life == queue_generation(queue);
}

/* A section begins. */
static void takes_hold(struct thread *thread, struct queue *queue) {
    struct queue_part *part = &thread->queue;
    bool again = holds(thread, queue);
    part->held_depth = again ? (uint16_t)(part->held_depth + 1) : 1;
    part->signalled = again && part->signalled;
    part->held = queue;
    part->held_life = queue_generation(queue);
}

void rules_lock(const void *mutex) {
    struct queue *queue = queue_of(mutex);
    struct thread *thread = queue != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (!holds(thread, queue))
        goes_on(thread);
    takes_hold(thread, queue);
    thread_leave();
}

static void stops_working(struct thread *thread) {
    struct queue_part *part = &thread->queue;
    if (part->busy != NULL)
        queue_busy(part->busy, part->busy_life, false);
    part->busy = NULL;
}

static void works(struct thread *thread, struct queue *queue, uint32_t life) {
    stops_working(thread);
    thread->queue.busy = queue;
    thread->queue.busy_life = life;
    queue_busy(queue, life, true);
}

static void falls_asleep(struct thread *thread, struct queue *queue, bool empty) {
    struct queue_part *part = &thread->queue;
    stops_working(thread);
    part->asleep = queue;
    part->asleep_life = queue_generation(queue);
    queue_sleeps(queue, part->asleep_life, empty);
}

/* Does a wait on this matter to anybody? */
static bool wait_matters(const void *address) {
    const struct thread *thread = local.thread;
    bool has_work =
        thread != NULL && (thread->inherited || thread->depth > 0 || thread->flow.current != NULL);
    return has_work || queue_may_watch(address) || queue_work_may_come();
}

/* What the queue says, marked as what it is; consumes the reference. */
static struct context *marked(struct thread *thread, const struct queue_handoff *handoff) {
    struct context *context = handoff->context;
    if (context == NULL || context->kind == CONTEXT_AMBIGUOUS)
        return context;
    struct context *node = handoff->sure ? context_inferred(context, thread->flow.serial)
                                         : context_ambiguous(context, NULL, 0, thread->flow.serial);
    context_release(context);
    if (node != NULL)
        context_tag(node, handoff->tag.queue, handoff->tag.life);
    return node;
}

/* It lasts until the thread comes back, however shallow the places are from which it works: so the frame lies
 * at the very top of the stack. */
void queue_hand_to(struct thread *thread, const struct taking *taking) {
    struct context *context = marked(thread, &taking->handoff);
    struct here top = {thread->stack_high - 1, taking->here.site};
    struct frame *frame = context != NULL ? frame_open(thread, top) : NULL;
    if (frame == NULL) {
        context_release(context);
        return;
    }
    frame->from_queue = true;
    frame->tentative = true;
    frame_adopt(thread, context, EVIDENCE_QUEUE);
}

void rules_sleep_begin(const void *condition, const void *mutex, struct here here) {
    frame_settle(here);
    struct thread *thread = wait_matters(mutex) ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    left_its_sleep(thread);
    goes_on(thread);
    thread->queue.woke = NULL;
    rules_thread_waits(thread, here);
    bell_comes_back(thread, condition, mutex, here);
    waits_again(thread, condition, here);
    if (queue_of(mutex) == NULL)
        looks_idle(thread, mutex, condition, here);
    struct queue *queue = consumers_queue(thread, mutex, condition, here);
    if (queue != NULL)
        falls_asleep(thread, queue, true);
    if (queue == NULL || !queue_has_spoken(queue))
        bell_falls_asleep(thread, condition, mutex, here);
    thread_leave();
}

/* Whoever slept before there was a queue is looked at anew. */
void rules_sleep_end(const void *condition, const void *mutex, bool timed_out, struct here here) {
    if (!queue_may_watch(mutex) && !bells_may_ring())
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    left_its_sleep(thread);
    struct queue *queue = consumers_queue(thread, mutex, condition, here);
    struct queue *held = queue_of(mutex);
    if (held != NULL && !holds(thread, held))
        takes_hold(thread, held);
    thread->queue.woke = queue;
    thread->queue.woke_life = queue != NULL ? queue_generation(queue) : 0;
    thread->queue.timed_out = timed_out;
    bell_wakes_up(thread, condition, here);
    thread_leave();
}

void rules_signal(const void *condition) {
    struct queue *queue = queue_of(condition);
    bool bells = bells_may_ring();
    struct thread *thread = queue != NULL || bells ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct queue_part *part = &thread->queue;
    if (bells)
        bell_signalled(thread, condition);
    if (queue == NULL) {
        /* no queue's */
    } else if (holds(thread, queue)) {
        part->signalled = true;
    } else if (part->pending.queue == queue) {
        queue_confirm(&part->pending);
        kept_hands_on(thread, NULL);
        part->pending = (struct queue_pending){0};
    }
    thread_leave();
}

/* --- a section ends ------------------------------------------------------------------------------ */

static void puts_in(struct thread *thread, struct queue *queue, uint32_t life, struct here here) {
    struct queue_part *part = &thread->queue;
    part->pending =
        queue_put(queue, life, here.site, part->signalled, flow_capture(&thread->flow), thread->flow.serial);
    if (part->pending.sure)
        kept_hands_on(thread, NULL);
    if (part->signalled)
        part->pending = (struct queue_pending){0};
}

static struct taking section_ends(struct thread *thread, struct queue *queue, struct here here) {
    struct queue_part *part = &thread->queue;
    struct taking taking = {0};
    uint32_t life = queue_generation(queue);
    struct queue_place place = {here.site, 0};
    bool known = queue_depth_of(thread, here, &place.depth);
    bool woke = part->woke == queue && part->woke_life == life;
    if (known && (woke || queue_is_exit(queue, life, place))) {
        taking = (struct taking){.thread = thread, .here = here};
        if (queue_has_spoken(queue))
            rules_thread_is_worker(thread);
        works(thread, queue, life);
        taking.handoff = queue_take(queue, life, place, woke && part->timed_out, thread->flow.serial);
    } else {
        puts_in(thread, queue, life, here);
    }
    part->woke = NULL;
    return taking;
}

struct taking rules_unlock_begin(const void *mutex, struct here here) {
    struct taking taking = {0};
    frame_settle(here);
    struct queue *queue = queue_of(mutex);
    bool bells = bells_may_ring();
    struct thread *thread = queue != NULL || bells ? thread_enter() : NULL;
    if (thread == NULL) {
        if (queue != NULL)
            queue_missed(queue);
        return taking;
    }
    if (bells)
        bell_section_ends(thread, mutex, here);
    if (queue == NULL) {
        thread_leave();
        return taking;
    }
    struct queue_part *part = &thread->queue;
    if (holds(thread, queue) && part->held_depth > 1) {
        part->held_depth--; /* an inner one, of a recursive mutex */
        thread_leave();
        return taking;
    }
    if (left_its_sleep(thread) || !holds(thread, queue))
        queue_missed(queue); /* not all of this section was seen */
    else
        taking = section_ends(thread, queue, here);
    part->held = NULL;
    part->signalled = false;
    thread_leave();
    return taking;
}

/* --- a hand-off becomes current ------------------------------------------------------------------ */

void rules_taking_end(const struct taking *taking, bool succeeded) {
    struct thread *thread = taking->thread != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (thread->depth == 0 || !frame_top(thread)->from_bell)
        queue_comes_back(thread, taking->here);
    if (succeeded && queue_is_idle(thread))
        queue_hand_to(thread, taking);
    else
        context_release(taking->handoff.context);
    thread_leave();
}

/* --- F10: semaphores ----------------------------------------------------------------------------- */

/* A queue can only begin when it is empty. */
void rules_units_begin(const void *semaphore, int units, struct here here) {
    frame_settle(here);
    struct thread *thread = wait_matters(semaphore) ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    left_its_sleep(thread);
    rules_thread_waits(thread, here);
    waits_again(thread, semaphore, here);
    if (queue_of(semaphore) == NULL && units == 0)
        looks_idle(thread, semaphore, NULL, here);
    struct queue *queue = consumers_queue(thread, semaphore, NULL, here);
    if (queue != NULL)
        falls_asleep(thread, queue, units == 0);
    thread_leave();
}

void rules_units_end(const void *semaphore, bool succeeded, struct here here) {
    struct queue *queue = queue_may_watch(semaphore) ? queue_of(semaphore) : NULL;
    struct thread *thread = queue != NULL ? thread_enter() : NULL;
    if (thread == NULL) {
        if (queue != NULL && succeeded)
            queue_missed(queue);
        return;
    }
    struct queue_place place = {here.site, 0};
    left_its_sleep(thread);
    queue_depth_of(thread, here, &place.depth);
    if (succeeded) {
        struct taking taking = {.thread = thread, .here = here};
        works(thread, queue, queue_generation(queue));
        taking.handoff = queue_take(queue, queue_generation(queue), place, false, thread->flow.serial);
        if (consumers_queue(thread, semaphore, NULL, here) != NULL)
            queue_hand_to(thread, &taking);
        else
            context_release(taking.handoff.context);
    }
    thread_leave();
}

struct queue_pending rules_post_begin(const void *semaphore, struct here here) {
    frame_settle(here);
    struct queue *queue = queue_of(semaphore);
    struct thread *thread = queue != NULL ? thread_enter() : NULL;
    struct queue_pending post = {0};
    if (thread == NULL) {
        if (queue != NULL)
            queue_missed(queue);
        return post;
    }
    post = queue_put(queue, queue_generation(queue), here.site, false, flow_capture(&thread->flow),
                     thread->flow.serial);
    kept_hands_on(thread, NULL);
    thread_leave();
    return post;
}

void rules_post_end(const struct queue_pending *post, bool succeeded) {
    struct thread *thread = post->queue != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    queue_posted(post, succeeded);
    thread_leave();
}

void rules_queue_memory(const void *address) {
    bool known = queue_of(address) != NULL || bell_of(address) != NULL;
    if (!known || process_is_borrowed() || thread_enter() == NULL)
        return;
    queue_forget(address);
    bell_forget(address);
    thread_leave();
}

/* --- evidence ------------------------------------------------------------------------------------ */

/* A hand-off is judged once, by what is touched first. A request agrees with its connection, and the other
 * way round. */
bool rules_queue_evidence(struct thread *thread, const struct context *request) {
    const struct frame *top = frame_top(thread);
    bell_evidence(thread, request);
    if (top == NULL || !top->from_queue || request == NULL || request->kind == CONTEXT_AMBIGUOUS)
        return false;
    struct context *node = thread->flow.current != NULL ? context_tagged(thread->flow.current) : NULL;
    if (node == NULL || context_mark(node, CONTEXT_CLOSED))
        return false;
    bool agrees = context_descends(request, node->parent) || context_descends(node->parent, request);
    queue_judge((struct queue_tag){node->site, node->stack}, agrees);
    return true;
}

/* What is no answer to a question says nothing about whom this thread works for. */
void rules_queue_answers(struct thread *thread, const struct passage *passage) {
    if (atomic_load_explicit(&queue_filter, memory_order_relaxed) == 0)
        return;
    struct context *request = connection_request(passage->file, passage->generation, thread->flow.serial);
    bool asked = file_has(passage->file, FILE_OUTSTANDING);
    if (request != NULL && request->kind != CONTEXT_AMBIGUOUS &&
        !(asked && rules_queue_evidence(thread, request)))
        queue_answered(request);
    context_release(request);
}

void rules_queue_thread_ends(struct thread *thread) {
    left_its_sleep(thread);
    stops_working(thread);
}
