/* What a wait's answer makes current: E2, E3, E5, E7, for every kind of wait.
 *
 * A wait that returns events opens a dispatch frame; what the events say becomes current in it. One with
 * several contexts is a *mixed* frame, ambiguous until stronger evidence settles it.
 *
 * E2  A poll with zero timeout means "I still have work queued from the last event": while it reports
 *     nothing it continues the frame, POLLS_AT_MOST in a row (in doubt, if the frame is mixed); when it
 *     reports something, the next frame is *queued*: the last one's work may be done in it, so what it adopts
 *     is for sure for the very call that told so, and no longer (frame_passes). An exact loop is not asked
 *     again for POLLED_AT_MOST, lest the others wait too long. Where another thread has woken it up meanwhile
 *     (an eventfd or a pipe that it watches has something from there) the work may be that thread's: then it
 *     is asked.
 * E3  A wait whose timeout has run out ends the frame: what follows are timers, of which nothing is known.
 *     In a loop whose timers have answered requests, a frame in which one may be due is queued, too.
 * E7  An edge-triggered eventfd is often never read: its mailbox is looked at when its event arrives. Where
 * its callback begins nobody sees, so a batch with one in it is queued, too. */
#include "kept.h"
#include "rules_own.h"
#include "wait.h"

enum { POLLS_AT_MOST = 32, POLLED_AT_MOST = 10 }; /* the latter in milliseconds */

/* --- before it ----------------------------------------------------------------------------------- */

/* A thread that serves one connection at a time may wait here *inside* its request; once that is answered,
 * the wait is for the next one. So it is in a loop, whose handlers happen to run at a shallower depth than
 * its wait: when this very epoll watches the connection, or this place has waited for several. */
static void end_answered(struct thread *thread, const struct wait *wait) {
    const struct frame *top = frame_top(thread);
    if (top == NULL || top->wait.address != FRAME_OPEN_ENDED)
        return;
    bool alive = top->file != NULL && cell_generation(&top->file->cell) == top->generation;
    if (!alive || (file_kind(top->file) == FILE_CONNECTION && !file_has(top->file, FILE_OUTSTANDING)) ||
        wait->loop->many || (wait->epoll != NULL && interest_watches(wait->epoll->set, top->file)))
        frame_end(thread);
}

/* A loop that was left and comes back has not been left: its frames reach as far from now on. */
static void loop_comes_back(struct thread *thread, struct loop *loop) {
    if (thread->left_loop == loop && thread->left_at > loop->floor)
        loop->floor = thread->left_at;
    thread->left_loop = NULL;
    thread->ran_out = NULL;
}

void wait_begins(struct thread *thread, struct wait *wait, long milliseconds) {
    wait->poll = milliseconds == 0;
    wait->left = thread->left_loop == wait->loop;
    thread->keeping.lists |= wait->poll && thread->depth > 0;
    loop_comes_back(thread, wait->loop);
    loop_waits(wait->loop, milliseconds);
    end_answered(thread, wait);
    if (!wait->poll)
        frame_end_for_wait(thread, wait->here);
    rules_thread_waits(thread, wait->here);
}

/* Another thread has woken this loop up, to go on with what it has put into a list of the loop's own. */
static bool is_woken(const struct wait *wait) {
    return wait->epoll != NULL && interest_is_woken(wait->epoll->set, local.tid);
}

bool wait_has_work(struct thread *thread, const struct wait *wait) {
    struct frame *top = frame_top(thread);
    if (top == NULL || top->loop == NULL || top->loop->epoll != wait->epoll ||
        !frame_same_wait(thread, top, wait->here) || top->polls >= POLLS_AT_MOST || is_woken(wait))
        return false;
    uint64_t now = loop_clock();
    if (top->polls == 0)
        top->polled_since = now;
    return now - top->polled_since <= POLLED_AT_MOST;
}

/* --- a batch ------------------------------------------------------------------------------------- */

static void batch_add(struct batch *batch, struct context *context) {
    bool is_first = batch->events++ == 0;
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
    } else {
        context_release(context);
    }
}

/* A connection whose answer is still being written is woken to go on; else for bytes of its next request. */
static struct context *connection_context(const struct thread *thread, const struct sighting *sighting,
                                          uint32_t events) {
    struct open_file *file = sighting->file;
    bool continues =
        file_has(file, FILE_OUTSTANDING | FILE_UNFINISHED) || (events & (EPOLLIN | EPOLLOUT)) == EPOLLOUT;
    uint64_t flow = thread->flow.serial;
    struct context *request = continues ? connection_request(file, sighting->generation, flow) : NULL;
    return request != NULL ? request : connection_root(file, sighting->generation, flow);
}

/* E7. What has been queued so far tells who has called; whoever adds to the queue before he calls may have
 * been served by then, or be served along with these. Consumes the reference and returns another. */
struct context *not_proven(struct thread *thread, struct context *context) {
    if (context == NULL || context->kind == CONTEXT_AMBIGUOUS)
        return context;
    struct context *doubtful = context_ambiguous(context, NULL, 0, thread->flow.serial);
    context_release(context);
    return doubtful;
}

/* A reference to what one event is about; NULL: the loop's base. */
static struct context *event_context(struct thread *thread, const struct sighting *sighting, uint32_t events,
                                     struct batch *batch) {
    struct open_file *file = sighting->file;
    struct delivery delivery;
    switch (file_kind(file)) {
    case FILE_LISTENER:
        batch->connections += 2;
        return NULL;
    case FILE_EPOLL:
        return NULL;
    case FILE_STRANGER:
        batch->connections++;
        return NULL;
    case FILE_CONNECTION: /* what is read from it next tells more */
        batch->connections++;
        return connection_context(thread, sighting, events);
    case FILE_EVENTFD:
        batch->wake_up = true;
        if (file->mailbox == NULL || !(sighting->asked & EPOLLET) || file_is_shared(file))
            return NULL;
        batch->unread = true;
        delivery = mailbox_peek_new(file->mailbox, thread->flow.serial);
        batch->from = file;
        batch->by = delivery.origin.tid;
        return not_proven(thread, delivery.context);
    case FILE_PIPE:
        batch->wake_up |= (events & EPOLLIN) != 0;
        batch->from = file;
        batch->by = 0;
        return pipe_event(thread, sighting, events);
    case FILE_DATAGRAM:
        return datagram_event(thread, sighting);
    case FILE_OUTBOUND:
    case FILE_TIMERFD:
        batch->from = file;
        batch->by = cell_giver(&file->cell);
        return cell_copy(&file->cell, sighting->generation);
    default:
        return context_retain(sighting->context);
    }
}

void batch_see(struct thread *thread, struct batch *batch, const struct sighting *sighting, uint32_t events) {
    struct context *context = NULL;
    if (sighting->file != NULL && cell_generation(&sighting->file->cell) == sighting->generation) {
        atomic_store_explicit(&sighting->file->waited, thread->waits, memory_order_relaxed);
        context = event_context(thread, sighting, events, batch);
        batch->tracked++;
    }
    context_release(sighting->context);
    if (sighting->several)
        batch->mixed = true;
    batch_add(batch, context);
}

/* --- after it ------------------------------------------------------------------------------------ */

/* A name for this wait that no other has: files that it reports carry it. */
void wait_reports(struct thread *thread) {
    thread->waits = thread->flow.serial << 32 | (uint32_t)(thread->waits + 1);
}

/* Nothing ready: the frame goes on, in doubt if it is a mixed one, or if it may be a timer that the loop did
 * not wait for. Something: the frame is over, but work of it is still queued. */
struct rest wait_continues(struct thread *thread, const struct wait *wait, int count) {
    struct frame *top = frame_top(thread);
    if (count == 0 && !wait->poll)
        thread->ran_out = wait->loop;
    if (wait->poll && count > 0 && wait->left)
        return (struct rest){.any = true};
    if (!wait->poll || top == NULL || top->wait.address == FRAME_OPEN_ENDED ||
        !frame_same_wait(thread, top, wait->here))
        return (struct rest){0};
    if (count <= 0 && top->polls < POLLS_AT_MOST) {
        top->polls++;
        top->queued |= top->mixed || loop_timers_due(wait->loop) || is_woken(wait);
        if (top->queued)
            frame_doubt(thread, EVIDENCE_EVENT);
        return (struct rest){0};
    }
    struct rest rest = {.any = count > 0};
    if (rest.any)
        rest.context = context_retain(thread->flow.current);
    frame_end_for_wait(thread, wait->here);
    return rest;
}

/* Inside other work (a request that a thread serves alone, a callback whose loop waits further out) a wait
 * takes up something else only where it is known what. poll waits for its caller's own affairs there: a reply
 * with a time limit, the rest of a request, a child's output. */
static bool brings_nothing(struct thread *thread, const struct wait *wait, const struct batch *batch) {
    if (batch->mixed)
        return false;
    if (batch->first == NULL)
        return thread->depth > 0 &&
               (wait->epoll == NULL || frame_top(thread)->wait.address == FRAME_OPEN_ENDED);
    return wait->epoll == NULL && context_descends_surely(thread->flow.current, batch->first);
}

/* A reference, which for a single context is the batch's own. */
static struct context *batch_context(struct thread *thread, struct batch *batch) {
    struct context *first = batch->first;
    if (batch->mixed && first != NULL)
        return context_ambiguous(first, batch->others, batch->other_count, thread->flow.serial);
    batch->first = NULL;
    return first;
}

/* A descriptor, perhaps with what a runtime waits for beside each of its threads' own. */
static bool is_lone(const struct batch *batch) {
    return batch->events == 1 || (batch->events == 2 && batch->connections == 1 && batch->wake_up);
}

static void frame_begin(struct thread *thread, const struct wait *wait, struct batch *batch, bool queued) {
    struct frame *frame = frame_open(thread, wait->here);
    if (frame == NULL)
        return;
    if (thread->depth == 1 && frame->before == frame->base && wait->loop->floor > frame->limit)
        frame->limit = wait->loop->floor;

    frame->loop = wait->loop;
    frame->wait_serial = thread->waits;
    frame->mixed = batch->mixed;
    frame->lone = wait->epoll == NULL && is_lone(batch);
    frame->unread = batch->unread && batch->mixed;
    bool lent = batch->mixed && wait->epoll != NULL && interest_is_lent(wait->epoll->set);
    frame->queued = queued || lent || frame->unread || thread->keeping.keeps || loop_timers_due(wait->loop);
    frame->wary = !frame->queued && kept_any(thread);
    frame->queued |= frame->wary;
    ledger_opens(&frame->ledger, frame_habits(frame), batch->mixed || batch->first == NULL,
                 frame_is_exact(frame));
    enum evidence evidence = batch->first != NULL ? EVIDENCE_EVENT : EVIDENCE_NONE;
    struct context *context = batch_context(thread, batch);
    frame_adopt(thread, context != NULL ? context : context_retain(frame->base), evidence);
    if (batch->events == 1 && batch->from != NULL && evidence == EVIDENCE_EVENT)
        frame_woken_by(thread, batch->from, batch->by);
    if (batch->wake_up)
        frame_wakes_up(thread);
}

void wait_dispatch(struct thread *thread, const struct wait *wait, struct batch *batch, struct rest rest) {
    if (rest.any)
        batch_add(batch, rest.context);
    wait->loop->many |= batch->connections > 1;
    if (!brings_nothing(thread, wait, batch))
        frame_begin(thread, wait, batch, rest.any && batch->mixed);
    context_release(batch->first);
    for (unsigned i = 0; i < batch->other_count; i++)
        context_release(batch->others[i]);
}
