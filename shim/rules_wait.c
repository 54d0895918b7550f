/* F2, and how a wait answers: E0, E1, E2, E3, E7, E8.
 *
 * F2  An epoll registration without a better context of its own carries the context it was made in.
 *     A wait that returns events opens a dispatch frame; what the events say becomes current in it.
 * E0  A loop is changed only on proof that it mixes: batches stay whole, and one with several contexts
 *     is a *mixed* frame, ambiguous until stronger evidence settles it. After CONTRADICTIONS frames were
 *     contradicted, the loop turns exact; never if its epoll is itself waited for or shared by fork.
 * E1  An exact loop gets one event a wait, by asking the kernel for one: its semantics stay its own, and
 *     level-triggered descriptors take turns.
 * E2  A poll with zero timeout means "I still have work queued from the last event": while it reports
 *     nothing it continues the frame, POLLS_AT_MOST in a row (in doubt, if the frame is mixed); when it
 *     reports something, the next frame may be the last one's work too. An exact loop is told "nothing"
 *     without asking.
 * E3  A wait whose timeout has run out ends the frame: what follows are timers, of which nothing is known.
 * E7  An edge-triggered eventfd is often never read: its mailbox is looked at when its event arrives.
 * E8  epoll_data is looked up in reverse (interest.h). */
#include "../ctxstore/kernel.h"
#include "interest.h"
#include "options.h"
#include "rules.h"

enum { CONTRADICTIONS = 8, POLLS_AT_MOST = 32 };

void rules_epoll_created(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_EPOLL);
    if (file != NULL)
        file->set = interest_set_new();
    thread_leave();
}

/* --- registrations ------------------------------------------------------------------------------- */

/* Only what has no better context of its own keeps the one it is registered in. */
static struct context *registration_context(struct thread *thread, const struct open_file *file) {
    return file_kind(file) == FILE_PLAIN ? flow_capture(&thread->flow) : NULL;
}

/* Before the real call, since another thread may get the event before that returns. The program's
 * pointer may be bad: it is looked at through the kernel (H22). */
struct registration rules_register_begin(int epoll, int operation, int fd, const struct epoll_event *event,
                                         struct here here) {
    struct registration registration = {0};
    struct open_file *file = file_at(epoll);
    frame_settle(here);
    if (file == NULL || file_kind(file) != FILE_EPOLL || file->set == NULL || fd < 0)
        return registration;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return registration;
    struct epoll_event copy;
    registration.passage =
        (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    registration.file = operation == EPOLL_CTL_ADD ? NULL : file_at(fd);
    if (operation == EPOLL_CTL_ADD && kernel_peek(&copy, event, sizeof copy)) {
        registration.file = file_open_any(fd);
        if (registration.file != NULL) {
            interest_add(file->set, fd, registration.file, &copy,
                         registration_context(thread, registration.file));
            registration.added = true;
        }
    }
    thread_leave();
    return registration;
}

static void register_done(struct thread *thread, const struct registration *registration, int operation,
                          int fd, const struct epoll_event *event) {
    struct interest_set *set = registration->passage.file->set;
    if (operation == EPOLL_CTL_MOD)
        interest_change(set, fd, registration->file, event, registration_context(thread, registration->file));
    else if (operation == EPOLL_CTL_DEL)
        interest_remove(set, fd, registration->file);
    else if (file_kind(registration->file) == FILE_EPOLL)
        file_mark(registration->file, FILE_NESTED, true);
}

void rules_register_end(const struct registration *registration, int operation, int fd,
                        const struct epoll_event *event, int result) {
    const struct passage *passage = &registration->passage;
    if (passage->file == NULL || registration->file == NULL)
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    bool alive = cell_generation(&passage->file->cell) == passage->generation;
    if (alive && result == 0)
        register_done(thread, registration, operation, fd, event);
    else if (alive && registration->added)
        interest_remove(passage->file->set, fd, registration->file);
    thread_leave();
}

/* --- loops --------------------------------------------------------------------------------------- */

static struct loop *loop_of(struct thread *thread, const struct open_file *epoll, struct here here) {
    uint32_t generation = cell_generation(&epoll->cell);
    for (struct loop *loop = thread->loops; loop < thread->loops + LOOPS; loop++)
        if (loop->epoll == epoll && loop->generation == generation && loop->site == here.site)
            return loop;
    struct loop *loop = &thread->loops[thread->next_loop++ % LOOPS];
    *loop = (struct loop){.epoll = epoll,
                          .generation = generation,
                          .site = here.site,
                          .exact = options.dispatch == DISPATCH_EXACT};
    return loop;
}

/* An epoll that another one or another process waits for must answer as the kernel does: a reader that
 * drains it until it gets fewer events than it asked for would stop too early. */
static bool loop_is_exact(const struct loop *loop, const struct open_file *epoll) {
    return loop->exact && !file_has(epoll, FILE_NESTED) && !file_is_shared(epoll);
}

static void loop_contradicted(struct loop *loop) {
    if (options.dispatch == DISPATCH_AUTO && ++loop->contradictions >= CONTRADICTIONS)
        loop->exact = true;
}

void rules_contradicted(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->loop != NULL)
        loop_contradicted(frame->loop);
}

/* A loop that does its work outside the frames of its wait (at a shallower depth, in a later phase) shows
 * that when it answers there. */
bool rules_answered_outside(struct thread *thread, struct open_file *file) {
    for (struct loop *loop = thread->loops; thread->left_frame && loop < thread->loops + LOOPS; loop++) {
        bool alive = loop->epoll != NULL && cell_generation(&loop->epoll->cell) == loop->generation;
        if (!alive || loop->epoll->set == NULL || !interest_watches(loop->epoll->set, file))
            continue;
        bool exact = loop_is_exact(loop, loop->epoll);
        loop_contradicted(loop);
        return !exact;
    }
    return false;
}

/* --- waits --------------------------------------------------------------------------------------- */

/* A thread that serves one connection at a time may wait here *inside* its request; once that is answered,
 * the wait is for the next one. So it is when this very epoll watches the connection: that is a loop, whose
 * handlers happen to run at a shallower depth than its wait. */
static void end_answered(struct thread *thread, const struct interest_set *set) {
    const struct frame *top = frame_top(thread);
    if (top == NULL || top->wait.address != FRAME_OPEN_ENDED)
        return;
    bool alive = top->file != NULL && cell_generation(&top->file->cell) == top->generation;
    if (!alive || (file_kind(top->file) == FILE_CONNECTION && !file_has(top->file, FILE_OUTSTANDING)) ||
        (set != NULL && interest_watches(set, top->file)))
        frame_end(thread);
}

void rules_poll(struct here here, bool blocks) {
    if (blocks)
        thread_bury();
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    end_answered(thread, NULL);
    if (blocks)
        frame_end_for_wait(thread, here);
    rules_thread_waits(thread, here);
    thread_leave();
}

/* E2: is a frame of this very loop open, whose work may still be queued? */
static bool loop_has_work(struct thread *thread, const struct wait *wait) {
    const struct frame *top = frame_top(thread);
    return top != NULL && top->loop == wait->loop && top->provenance.evidence != EVIDENCE_NONE &&
           frame_same_wait(thread, top, wait->here) && top->polls < POLLS_AT_MOST;
}

struct wait rules_wait_begin(int epoll, int max_events, bool poll, struct here here) {
    struct wait wait = {.max_events = max_events};
    struct open_file *file = file_at(epoll);
    frame_settle(here);
    if (!poll)
        thread_bury();
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return wait;
    if (file == NULL || file_kind(file) != FILE_EPOLL || file->set == NULL) {
        frame_end_for_wait(thread, here); /* what it reports is not known, but that it waits is */
        thread_leave();
        return wait;
    }
    wait = (struct wait){.thread = thread,
                         .epoll = file,
                         .generation = cell_generation(&file->cell),
                         .here = here,
                         .loop = loop_of(thread, file, here),
                         .max_events = max_events,
                         .poll = poll};
    file_drop_deferred();
    thread->left_frame = false;
    end_answered(thread, file->set);
    if (!poll)
        frame_end_for_wait(thread, here);
    rules_thread_waits(thread, here);
    if (loop_is_exact(wait.loop, file)) {
        wait.max_events = max_events > 1 ? 1 : max_events;
        wait.quiet = poll && max_events > 0 && loop_has_work(thread, &wait);
    }
    thread_leave();
    if (!poll)
        thread_bury();
    return wait;
}

/* What a batch of events says, taken together. */
struct batch {
    struct context *first;                 /* a reference */
    struct context *others[CONTEXT_LINKS]; /* references */
    unsigned other_count;
    unsigned known; /* events whose context is known */
    bool mixed;     /* not all the same */
    bool wake_up;   /* E5: an eventfd is among them */
};

static void batch_add(struct batch *batch, struct context *context, bool is_first) {
    if (is_first) {
        batch->first = context;
    } else if (context != batch->first) {
        batch->mixed = true;
        if (batch->first == NULL)
            batch->first = context;
        else if (batch->other_count < CONTEXT_LINKS)
            batch->others[batch->other_count++] = context;
        else
            context_release(context);
        return;
    } else {
        context_release(context);
    }
}

/* A connection whose answer is still being written is woken to go on; else for bytes of its next request. */
static struct context *connection_context(const struct sighting *sighting, uint32_t events) {
    struct open_file *file = sighting->file;
    bool continues = file_has(file, FILE_OUTSTANDING) || file_has(file, FILE_UNFINISHED) ||
                     (events & (EPOLLIN | EPOLLOUT)) == EPOLLOUT;
    struct context *request = continues ? cell_copy(&file->cell, sighting->generation) : NULL;
    return request != NULL ? request : cell_copy(&file->root, sighting->generation);
}

/* A reference to what one event is about; NULL: the loop's base. */
static struct context *event_context(struct thread *thread, const struct sighting *sighting, uint32_t events,
                                     struct batch *batch) {
    struct open_file *file = sighting->file;
    switch (file_kind(file)) {
    case FILE_LISTENER:
    case FILE_EPOLL:
        return NULL;
    case FILE_CONNECTION:
        return connection_context(sighting, events);
    case FILE_EVENTFD:
        batch->wake_up = true;
        if (file->mailbox == NULL || !(sighting->asked & EPOLLET) || file_is_shared(file))
            return NULL;
        return mailbox_peek_new(file->mailbox, thread->flow.serial).context;
    case FILE_OUTBOUND:
    case FILE_TIMERFD:
        return cell_copy(&file->cell, sighting->generation);
    default:
        return context_retain(sighting->context);
    }
}

static void batch_see(struct thread *thread, struct batch *batch, struct interest_set *set,
                      const struct epoll_event *event, bool is_first) {
    struct sighting sighting = interest_find(set, event);
    struct context *context = NULL;
    if (sighting.file != NULL && cell_generation(&sighting.file->cell) == sighting.generation) {
        atomic_store_explicit(&sighting.file->waited, thread->waits, memory_order_relaxed);
        context = event_context(thread, &sighting, event->events, batch);
        batch->known++;
    }
    context_release(sighting.context);
    if (sighting.several)
        batch->mixed = true;
    batch_add(batch, context, is_first);
}

/* A name for this wait that no other has: events that it reports carry it in their files. */
static uint64_t wait_name(const struct thread *thread) {
    return thread->flow.serial << 32 | (uint32_t)(thread->waits + 1);
}

/* Opens the frame and makes what the batch says current in it. */
static void batch_dispatch(const struct wait *wait, struct batch *batch) {
    struct thread *thread = wait->thread;
    struct context *context = batch->first;
    bool inside_request = thread->depth > 0 && frame_top(thread)->wait.address == FRAME_OPEN_ENDED;
    struct frame *frame = NULL;
    if (!inside_request || context != NULL)
        frame = frame_open(thread, wait->here);
    if (frame == NULL) {
        context_release(context);
        return;
    }
    frame->loop = wait->loop;
    frame->wait_serial = thread->waits;
    frame->mixed = batch->mixed;
    frame->tentative = batch->wake_up;
    enum evidence evidence = context != NULL ? EVIDENCE_EVENT : EVIDENCE_NONE;
    if (batch->mixed && context != NULL) {
        struct context *doubtful =
            context_ambiguous(context, batch->others, batch->other_count, thread->flow.serial);
        context_release(context);
        context = doubtful;
    }
    frame_adopt(thread, context != NULL ? context : context_retain(frame->base), evidence);
}

/* Something mixed goes on: which of its contexts it is now, nobody knows. */
static void frame_doubt(struct thread *thread) {
    struct context *current = thread->flow.current;
    if (current == NULL || current->kind == CONTEXT_AMBIGUOUS || frame_explicit(thread))
        return;
    frame_adopt(thread, context_ambiguous(current, NULL, 0, thread->flow.serial), EVIDENCE_EVENT);
}

/* E2, after a real poll. Nothing ready: the frame goes on, in doubt if it is a mixed one. Something: the
 * frame is over, but work of it may still be queued: returns its context (a reference) for the next one. */
static struct context *poll_continues(struct thread *thread, const struct wait *wait, int count) {
    struct frame *top = frame_top(thread);
    if (!wait->poll || top == NULL || top->wait.address == FRAME_OPEN_ENDED ||
        !frame_same_wait(thread, top, wait->here))
        return NULL;
    bool working = top->provenance.evidence != EVIDENCE_NONE && top->polls < POLLS_AT_MOST;
    if (count <= 0 && working) {
        top->polls++;
        if (top->mixed)
            frame_doubt(thread);
        return NULL;
    }
    struct context *carried = working ? context_retain(thread->flow.current) : NULL;
    frame_end_for_wait(thread, wait->here);
    return carried;
}

void rules_wait_end(const struct wait *wait, const struct epoll_event *events, int count) {
    struct thread *thread = wait->thread != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct context *carried = poll_continues(thread, wait, count);
    if (count > 0 && cell_generation(&wait->epoll->cell) == wait->generation) {
        struct batch batch = {0};
        thread->waits = wait_name(thread);
        for (int i = 0; i < count; i++)
            batch_see(thread, &batch, wait->epoll->set, &events[i], i == 0);
        if (carried != NULL)
            batch_add(&batch, context_retain(carried), false);
        batch_dispatch(wait, &batch);
        for (unsigned i = 0; i < batch.other_count; i++)
            context_release(batch.others[i]);
    }
    context_release(carried);
    thread_leave();
}
