/* What bytes that come in say: F3, F5, F7, F8.
 *
 * F3  A read of an eventfd takes from its mailbox what adds up to the number it got.
 * F5  The read of a timerfd adopts the context that it was armed in.
 * F7  Bytes read from an accepted connection when nothing is outstanding begin a request; until an
 *     answer is written, more bytes belong to it. New bytes while an answer is cut short are doubtful.
 * F8  The reply of a server is read in the context of who wrote to it last.
 *
 * Reading adopts unless an explicit scope was opened in this frame, or the current context already
 * descends from the carrier's. */
#include "../ctxstore/kernel.h"
#include "kept.h"
#include "leaks.h"
#include "rules_own.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* --- adopting ------------------------------------------------------------------------------------ */

/* Does the current context descend from this one? A value set since may have taken the place of the very
 * node that was adopted. */
static bool has_it_already(struct thread *thread, const struct context *context) {
    const struct frame *frame = frame_top(thread);
    return context_descends_surely(thread->flow.current, context) ||
           (frame != NULL && frame->adopted_value && context_is(context, frame->adopted_serial));
}

/* In a later phase of a loop's turn, which works for many: until it has come back, and its frames reach
 * there. */
static bool frame_lies_outside(const struct thread *thread, const struct frame *frame) {
    return frame->loop == NULL && thread->left_frame && rules_runs_loop(thread);
}

/* What another request has woken this thread up with, while it has one to answer: whose it goes on with, its
 * answer tells. */
static bool comes_between(struct thread *thread, const struct passage *passage,
                          const struct context *context) {
    return context != NULL && kept_in_between(frame_top(thread), passage->file) &&
           !has_it_already(thread, context);
}

/* An empty one says "nobody knows": in a loop that watches
 * this carrier that is the loop's base; a thread that reads it for itself keeps what it has. */
bool carrier_adopt(struct thread *thread, const struct passage *passage, struct context *context,
                   enum evidence evidence) {
    thread->woke.file = NULL; /* what is answered from here on is no wake-up's, unless this was one */
    if (comes_between(thread, passage, context)) {
        frame_doubt(thread, EVIDENCE_READ);
        context_release(context);
        return false;
    }
    frame_reads(thread, passage->file);
    bool watched = thread->depth > 0 && passage->file->interests != NULL;
    bool nothing_new = context != NULL ? has_it_already(thread, context) : !watched;
    bool by_hand = frame_explicit(thread);
    if (by_hand && !nothing_new)
        leaks_ingress(thread, context, "new work was read");
    if (nothing_new || by_hand) {
        const struct frame *frame = frame_top(thread);
        if (!by_hand && frame != NULL && frame_reported(frame, passage->file))
            frame_came_from(thread, passage->file, passage->generation); /* its callback is this one */
        context_release(context);
        return true;
    }
    frame_adopt(thread, context != NULL ? context : context_retain(frame_base(thread)), evidence);
    frame_came_from(thread, passage->file, passage->generation);
    const struct frame *frame = frame_top(thread);
    if (frame != NULL &&
        (frame->queued || ledger_owes(&frame->ledger, frame_habits(frame), frame_is_exact(frame)) ||
         frame_lies_outside(thread, frame)))
        frame_passes(thread, passage->here);
    return true;
}

/* In a batch this begins the next callback. */
void registered_adopt(struct thread *thread, const struct passage *passage) {
    const struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->loop == NULL || !frame_reported(frame, passage->file))
        return;
    const struct open_file *epoll = frame->loop->epoll;
    if (epoll != NULL && epoll->set != NULL && cell_generation(&epoll->cell) == frame->loop->generation)
        carrier_adopt(thread, passage, interest_context(epoll->set, passage->file), EVIDENCE_EVENT);
}

/* --- reading ------------------------------------------------------------------------------------- */

/* A thread without a loop comes back to where its work came from: to a connection whose request was
 * answered, to the eventfd, timer or server that its frame was opened by. That work is over. */
static bool comes_back(const struct frame *top, const struct passage *passage) {
    if (top == NULL || top->wait.address != FRAME_OPEN_ENDED)
        return false;
    if (file_kind(passage->file) == FILE_CONNECTION && top->file != NULL &&
        file_kind(top->file) == FILE_CONNECTION)
        return !file_has(passage->file, FILE_OUTSTANDING);
    return top->file == passage->file && top->generation == passage->generation;
}

void rules_bury_before(int fd) {
    if (!graveyard_empty() && !(kernel_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0) & O_NONBLOCK))
        thread_bury();
}

struct passage rules_read_open(struct open_file *file, int fd, bool blocks, struct here here) {
    struct passage passage = {
        .file = file, .generation = cell_generation(&file->cell), .here = here, .fd = fd, .messages = 1};
    if ((file_kind(file) == FILE_PLAIN && file->interests == NULL) || file_kind(file) == FILE_LISTENER)
        return (struct passage){0};
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return (struct passage){0};
    const struct frame *top = frame_top(thread);
    if (comes_back(top, &passage)) {
        passage.ended = top->file == file && top->generation == passage.generation;
        frame_end(thread);
    }
    rules_thread_waits(thread, here);
    if (file_kind(file) == FILE_PIPE)
        pipe_read_begin(thread, &passage);
    thread_leave();
    if (blocks)
        rules_bury_before(fd);
    return passage;
}

/* How many of the bytes went to the first buffer. */
static size_t first_read(long result, const struct iovec *buffers) {
    return buffers->iov_len < (size_t)result ? buffers->iov_len : (size_t)result;
}

/* Its peer asks for something else now, so what it asked before is over. What is at rest nobody holds: that
 * is over already. */
static struct context *request_begins(struct thread *thread, const struct passage *passage) {
    struct context *before;
    struct context *request = root_next_request(thread, passage->file, passage->generation, &before);
    context_end(before);
    context_release(before);
    return request;
}

/* While the answer to what it asked before is cut short. */
static struct context *request_in_doubt(struct thread *thread, const struct passage *passage) {
    struct open_file *file = passage->file;
    struct context *before = connection_request(file, passage->generation, thread->flow.serial);
    struct context *request = root_request(thread, file, passage->generation);
    struct context *doubtful =
        request != NULL ? context_ambiguous(request, &before, 1, thread->flow.serial) : NULL;
    context_release(request);
    context_release(before);
    cell_put(&file->cell, passage->generation, context_retain(doubtful));
    return doubtful;
}

/* One whose answer has been handed to the kernel is not outstanding any more for who reads meanwhile: the
 * peer may have it, and ask on, before the call that sends it has returned. */
static bool is_outstanding(const struct open_file *file) {
    uint32_t latest = atomic_load_explicit(&file->requests, memory_order_acquire);
    return file_has(file, FILE_OUTSTANDING) &&
           atomic_load_explicit(&file->answering, memory_order_acquire) != connection_answer(latest);
}

/* More of the request that is outstanding; unless whom the connection was sent to (F15) has answered that. */
static struct context *more_of_request(struct thread *thread, const struct passage *passage) {
    struct context *request = connection_request(passage->file, passage->generation, thread->flow.serial);
    return file_has(passage->file, FILE_SHARED) ? not_proven(thread, request) : request;
}

/* New bytes on a connection: begin a request, or belong to the one that is outstanding. */
static struct context *request_of(struct thread *thread, const struct passage *passage) {
    struct open_file *file = passage->file;
    if (is_outstanding(file))
        return more_of_request(thread, passage);
    struct context *request =
        file_has(file, FILE_UNFINISHED) ? request_in_doubt(thread, passage) : request_begins(thread, passage);
    file_mark(file, FILE_KEPT, false);
    file_mark(file, FILE_OUTSTANDING, true);
    return request;
}

/* E4: how the last question fared tells what kind of connection this is. A write from another request's
 * frame left it open, since it may have been a publish; now that the peer asks on, it was the answer. */
static void connection_learns(struct open_file *file) {
    if (atomic_exchange_explicit(&file->foreign, 0, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&file->answering, 0, memory_order_relaxed); /* it was not answered by its number */
    file_mark(file, FILE_OUTSTANDING, false);
    if (!file_has(file, FILE_PUBLISHES))
        file_mark(file, FILE_DEFERS, true);
}

/* The connection is over; in a batch that begins its callback, too. */
static void read_end(struct thread *thread, const struct passage *passage) {
    const struct frame *frame = frame_top(thread);
    if (frame != NULL && frame_reported(frame, passage->file) && !file_has(passage->file, FILE_OUTSTANDING))
        carrier_adopt(thread, passage,
                      connection_root(passage->file, passage->generation, thread->flow.serial),
                      EVIDENCE_READ);
}

/* Another thread's wait has reported it: if that thread goes on with what is read here, it gets it back
 * without any call. */
static void read_for_another(const struct thread *thread, struct open_file *file) {
    uint64_t wait = atomic_load_explicit(&file->waited, memory_order_relaxed);
    if (wait == 0 || wait >> 32 == (uint32_t)thread->flow.serial || file->interests == NULL ||
        atomic_exchange_explicit(&file->served, file_wait_mark(wait), memory_order_relaxed) ==
            file_wait_mark(wait))
        return;
    interest_read_elsewhere(file, wait);
}

static void read_connection(struct thread *thread, const struct passage *passage, long result,
                            const struct iovec *buffers, int count) {
    if (result <= 0) {
        read_end(thread, passage);
        return;
    }
    read_for_another(thread, passage->file);
    connection_learns(passage->file);
    struct context *request = request_of(thread, passage);
    rules_queue_evidence(thread, request);
    if (count > 0)
        forward_note(buffers->iov_base, first_read(result, buffers), passage->file, passage->generation,
                     request);
    carrier_adopt(thread, passage, request, EVIDENCE_READ);
}

/* The eight bytes that a read of an eventfd got; 0 when they are scattered. */
static uint64_t counter_value(long result, const struct iovec *buffers, int count) {
    uint64_t value = 0;
    if (result == (long)sizeof value && count > 0 && buffers[0].iov_len >= sizeof value)
        memcpy(&value, buffers[0].iov_base, sizeof value);
    return value;
}

/* The serial of the request that a context is surely of; 0: none. */
static uint64_t work_serial(const struct context *context) {
    const struct context *work = context_root_of(context);
    if (work == NULL || context_certainty(context) == CONTEXT_IS_AMBIGUOUS)
        return 0;
    return atomic_load_explicit(&work->serial, memory_order_relaxed);
}

/* E5: what a wake-up says of its eventfd, or pipe. Who finishes something while another's wake-up is on its
 * way need not write; then what was written says little of whose work is done. */
void wake_up_answers(struct thread *thread, const struct context *request) {
    struct wake_up *woke = &thread->woke;
    uint64_t work = woke->file != NULL ? work_serial(request) : 0;
    if (work == 0 || work == woke->answered || cell_generation(&woke->file->cell) != woke->generation)
        return;
    uint64_t brought =
        woke->serial != 0 && context_is(woke->context, woke->serial) ? work_serial(woke->context) : 0;
    woke->answered = work;
    if (woke->count == 0 || (brought != 0 && brought != work))
        file_mark(woke->file, FILE_DRAINS, true);
    else
        woke->count--;
}

static void read_eventfd(struct thread *thread, const struct passage *passage, long result,
                         const struct iovec *buffers, int count) {
    struct open_file *file = passage->file;
    if (result != (long)sizeof(uint64_t) || file->mailbox == NULL)
        return;
    uint64_t value = counter_value(result, buffers, count);
    struct delivery delivery = {0};
    if (value == 0 || file_is_shared(file))
        mailbox_clear(file->mailbox);
    else
        delivery = mailbox_take(file->mailbox, value, !file_has(file, FILE_SEMAPHORE), thread->flow.serial);
    const struct context *brought = delivery.context;
    uint64_t serial = brought != NULL ? atomic_load_explicit(&brought->serial, memory_order_relaxed) : 0;
    bool is_work =
        carrier_adopt(thread, passage, wake_up_context(thread, file, delivery.context), EVIDENCE_READ);
    struct frame *frame = frame_top(thread);
    if (frame == NULL || !is_work)
        return;
    frame_wakes_up(thread);
    wake_up_begins(thread, passage, brought, serial, value);
    frame->provenance.by = delivery.origin.tid;
    trace_from(thread, &frame->provenance);
}

/* Did this read say anything about the carrier? An answer, its end, or that it broke. */
static bool read_tells(long result) {
    return result >= 0 || (errno != EAGAIN && errno != EINTR && errno != EBADF && errno != EFAULT);
}

/* There was no more to come back for: the thread goes on with what it had of that. In one that runs a loop
 * the callback may be over with that, and whose work comes next is not known. */
static void read_nothing(struct thread *thread, const struct passage *passage) {
    if (!passage->ended || file_kind(passage->file) == FILE_EVENTFD)
        return;
    carrier_adopt(thread, passage, carrier_context(passage->file, passage->generation, thread->flow.serial),
                  EVIDENCE_READ);
    if (rules_runs_loop(thread))
        frame_doubt(thread, EVIDENCE_READ);
}

/* F5. A timer that fires once is over when that was read, and keeps nobody. */
static void read_timer(struct thread *thread, const struct passage *passage) {
    struct context *armed = cell_copy(&passage->file->cell, passage->generation);
    if (!file_has(passage->file, FILE_REPEATS))
        cell_clear(&passage->file->cell, passage->generation, armed);
    carrier_adopt(thread, passage, armed, EVIDENCE_READ);
}

/* F8. A connection that was answered may stay in a pool, where it keeps no request that has ended. */
static void read_reply(struct thread *thread, const struct passage *passage) {
    carrier_adopt(thread, passage, cell_copy_last(&passage->file->cell, passage->generation), EVIDENCE_READ);
}

/* E10: what lay where these bytes went is gone. `noted`: the first of them will be, in its place. */
static void read_over(long result, const struct iovec *buffers, int count, bool noted) {
    for (int i = 0; i < count && result > 0; i++) {
        size_t size = first_read(result, &buffers[i]);
        if (i > 0 || !noted)
            forward_overwritten(buffers[i].iov_base, size);
        result -= (long)size;
    }
}

static void read_done(struct thread *thread, const struct passage *passage, long result,
                      const struct iovec *buffers, int count) {
    if (__builtin_expect(file_kind(passage->file) == FILE_STRANGER, 0) && result > 0)
        stranger_read(thread, passage); /* it is one no longer */
    if (file_kind(passage->file) == FILE_PLAIN)
        registered_adopt(thread, passage);
    else if (!read_tells(result))
        read_nothing(thread, passage);
    else if (file_kind(passage->file) == FILE_CONNECTION)
        read_connection(thread, passage, result, buffers, count);
    else if (file_kind(passage->file) == FILE_EVENTFD)
        read_eventfd(thread, passage, result, buffers, count);
    else if (file_kind(passage->file) == FILE_TIMERFD)
        read_timer(thread, passage);
    else if (file_kind(passage->file) != FILE_STRANGER)
        read_reply(thread, passage);
}

void rules_read_close(const struct passage *passage, long result, const struct iovec *buffers, int count) {
    struct thread *thread = read_tells(result) || passage->ended ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    bool alive = passage_alive(passage);
    if (atomic_load_explicit(&forward_on, memory_order_relaxed))
        read_over(result, buffers, count, alive && file_kind(passage->file) == FILE_CONNECTION);
    if (alive)
        read_done(thread, passage, result, buffers, count);
    thread_leave();
}
