/* What bytes say: F3, F5, F7, F8, and E4, E5.
 *
 * F3  A write to an eventfd leaves (context, count) in its mailbox, reserved before the call; a read
 *     takes what adds up to the number it got.
 * F5  timerfd_settime leaves its context in the cell; the event and the read adopt it.
 * F7  Bytes read from an accepted connection when nothing is outstanding begin a request; until an
 *     answer is written, more bytes belong to it. New bytes while an answer is cut short are doubtful.
 * F8  connect, and every write to such a socket, leave their context in the cell: who wrote last awaits
 *     the reply. A write after one that was cut short goes on with it, so it adopts instead.
 * E4  A write to a connection with an outstanding request belongs to that request. In a frame that
 *     exact evidence gave to another one, it may be a deferred answer, or a publish to a client that
 *     happens to have asked: which of the two a connection does is learnt, and until then the write is
 *     the connection's and the rest of the frame ambiguous.
 * E5  A wake-up's frame is tentative: whatever is touched in it is better evidence.
 *
 * Reading adopts unless an explicit scope was opened in this frame, or the current context already
 * descends from the carrier's. */
#include "options.h"
#include "rules.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

/* E4: so many writes from others' frames to one open question are no answer to it. */
enum { PUBLISHED = 3 };

/* --- adopting ------------------------------------------------------------------------------------ */

static bool alive(const struct passage *passage) {
    return cell_generation(&passage->file->cell) == passage->generation;
}

/* Where evidence is weak, a connection or a continuation that is touched is better. */
static bool frame_is_weak(struct thread *thread) {
    const struct frame *frame = frame_top(thread);
    return frame == NULL || frame->tentative || frame->mixed || frame->evidence <= EVIDENCE_PENDING;
}

/* What the frame's work came from: an open-ended frame lasts until that is answered, and in a batch another
 * one begins the next callback. */
static void frame_name_file(struct thread *thread, const struct passage *passage) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    frame->file = passage->file;
    frame->generation = passage->generation;
}

/* Did the wait that opened this frame report the file? */
static bool reported_in(const struct frame *frame, const struct open_file *file) {
    return frame->wait_serial != 0 &&
           atomic_load_explicit(&file->waited, memory_order_relaxed) == frame->wait_serial;
}

/* A batch is handled callback by callback. One that reads, for the first time in this frame, what the wait
 * reported, after another one read something else so, is the next: what the last one left is not its. */
static void next_callback(struct thread *thread, const struct passage *passage) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL || !reported_in(frame, passage->file))
        return;
    uint64_t served =
        atomic_exchange_explicit(&passage->file->served, frame->wait_serial, memory_order_relaxed);
    if (served != frame->wait_serial && frame->file != NULL && frame->file != passage->file)
        frame_next(thread);
}

/* Does the current context descend from this one? A value set since may have taken the place of the very
 * node that was adopted. */
static bool has_it_already(struct thread *thread, const struct context *context) {
    const struct frame *frame = frame_top(thread);
    return context_descends_surely(thread->flow.current, context) ||
           (frame != NULL && frame->adopted_value && context_is(context, frame->adopted_serial));
}

/* Adopts a carrier's context (a reference). An empty one says "nobody knows": in a loop that watches
 * this carrier that is the loop's base; a thread that reads it for itself keeps what it has. */
static void carrier_adopt(struct thread *thread, const struct passage *passage, struct context *context,
                          enum evidence evidence) {
    next_callback(thread, passage);
    bool watched = thread->depth > 0 && passage->file->interests != NULL;
    bool nothing_new = context != NULL ? has_it_already(thread, context) : !watched;
    if (nothing_new || frame_explicit(thread)) {
        context_release(context);
        return;
    }
    frame_adopt(thread, context != NULL ? context : context_retain(frame_base(thread)), evidence);
    frame_name_file(thread, passage);
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

struct passage rules_read_open(struct open_file *file, struct here here) {
    struct passage passage = {.file = file, .generation = cell_generation(&file->cell), .here = here};
    if (file_kind(file) == FILE_PLAIN || file_kind(file) == FILE_LISTENER)
        return (struct passage){0};
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return (struct passage){0};
    passage.ended = comes_back(frame_top(thread), &passage);
    if (passage.ended)
        frame_end(thread);
    rules_thread_waits(thread, here);
    thread_leave();
    thread_bury();
    return passage;
}

/* New bytes on a connection: begin a request, or belong to the one that is outstanding. */
static struct context *request_of(struct thread *thread, const struct passage *passage) {
    struct open_file *file = passage->file;
    if (file_has(file, FILE_OUTSTANDING))
        return cell_copy(&file->cell, passage->generation);
    struct context *request = root_request(thread, file, passage->generation);
    if (request != NULL && file_has(file, FILE_UNFINISHED)) {
        struct context *before = cell_copy(&file->cell, passage->generation);
        struct context *doubtful = context_ambiguous(request, &before, 1, thread->flow.serial);
        context_release(before);
        context_release(request);
        request = doubtful;
    }
    cell_put(&file->cell, passage->generation, context_retain(request));
    file_mark(file, FILE_OUTSTANDING, true);
    return request;
}

/* E4: how the last question fared tells what kind of connection this is. A write from another request's
 * frame left it open, since it may have been a publish; now that the peer asks on, it was the answer. */
static void connection_learns(struct open_file *file) {
    uint32_t foreign = atomic_exchange_explicit(&file->foreign, 0, memory_order_relaxed);
    if (foreign == 0)
        return;
    file_mark(file, FILE_OUTSTANDING, false);
    if (!file_has(file, FILE_PUBLISHES))
        file_mark(file, FILE_DEFERS, true);
}

static void read_connection(struct thread *thread, const struct passage *passage, long result) {
    if (result <= 0)
        return;
    connection_learns(passage->file);
    carrier_adopt(thread, passage, request_of(thread, passage), EVIDENCE_READ);
}

/* The eight bytes that a read of an eventfd got; 0 when they are scattered. */
static uint64_t counter_value(long result, const struct iovec *buffers, int count) {
    uint64_t value = 0;
    if (result == (long)sizeof value && count > 0 && buffers[0].iov_len >= sizeof value)
        memcpy(&value, buffers[0].iov_base, sizeof value);
    return value;
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
    carrier_adopt(thread, passage, delivery.context, EVIDENCE_READ);
    struct frame *frame = frame_top(thread);
    if (frame != NULL)
        frame->tentative = true;
}

/* Did this read say anything about the carrier? An answer, its end, or that it broke. */
static bool read_tells(long result) {
    return result >= 0 || (errno != EAGAIN && errno != EINTR && errno != EBADF && errno != EFAULT);
}

/* There was no more to come back for: the thread goes on with what it has. */
static void read_nothing(struct thread *thread, const struct passage *passage) {
    if (passage->ended && file_kind(passage->file) != FILE_EVENTFD)
        carrier_adopt(thread, passage, cell_copy(&passage->file->cell, passage->generation), EVIDENCE_READ);
}

/* F5. A timer that fires once is over when that was read, and keeps nobody. */
static void read_timer(struct thread *thread, const struct passage *passage) {
    struct context *armed = cell_copy(&passage->file->cell, passage->generation);
    if (!file_has(passage->file, FILE_REPEATS))
        cell_clear(&passage->file->cell, passage->generation, armed);
    carrier_adopt(thread, passage, armed, EVIDENCE_READ);
}

static void read_done(struct thread *thread, const struct passage *passage, long result,
                      const struct iovec *buffers, int count) {
    if (!read_tells(result))
        read_nothing(thread, passage);
    else if (file_kind(passage->file) == FILE_CONNECTION)
        read_connection(thread, passage, result);
    else if (file_kind(passage->file) == FILE_EVENTFD)
        read_eventfd(thread, passage, result, buffers, count);
    else if (file_kind(passage->file) == FILE_TIMERFD)
        read_timer(thread, passage);
    else
        carrier_adopt(thread, passage, cell_copy(&passage->file->cell, passage->generation), EVIDENCE_READ);
}

void rules_read_close(const struct passage *passage, long result, const struct iovec *buffers, int count) {
    struct thread *thread = read_tells(result) || passage->ended ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (alive(passage))
        read_done(thread, passage, result, buffers, count);
    thread_leave();
}

/* --- writing ------------------------------------------------------------------------------------- */

/* A frame that exact evidence gave to somebody else writes to a connection that waits for an answer.
 * Consumes the reference to the request; returns what is to be adopted. */
static struct context *respond_elsewhere(struct thread *thread, struct passage *passage,
                                         struct context *request) {
    struct open_file *file = passage->file;
    rules_contradicted(thread);
    if (file_has(file, FILE_DEFERS))
        return request;
    passage->foreign = true;
    if (atomic_fetch_add_explicit(&file->foreign, 1, memory_order_relaxed) + 1 >= PUBLISHED)
        file_mark(file, FILE_PUBLISHES, true);
    struct context *doubtful = NULL;
    if (!file_has(file, FILE_PUBLISHES))
        doubtful = context_ambiguous(request, &thread->flow.current, 1, thread->flow.serial);
    context_release(request);
    return doubtful;
}

/* The connection's own request answers: what other frames wrote while it was open were publishes. */
static void answered_itself(struct open_file *file) {
    if (atomic_exchange_explicit(&file->foreign, 0, memory_order_relaxed) != 0)
        file_mark(file, FILE_PUBLISHES, true);
}

/* E4. Returns what is to be adopted (a reference), or NULL. */
static struct context *response_context(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    struct context *request = cell_copy(&file->cell, passage->generation);
    const struct frame *frame = frame_top(thread);
    bool surely = context_descends_surely(thread->flow.current, request);
    bool same_doubt = frame != NULL && frame->evidence == EVIDENCE_RESPONSE &&
                      context_descends(thread->flow.current, request);
    if (request == NULL || surely || same_doubt) {
        context_release(request);
        passage->foreign = !surely; /* a frame that this very doubt is about goes on writing */
        if (surely)
            answered_itself(file);
        return NULL;
    }
    bool weak = frame == NULL || frame->tentative || frame->evidence <= EVIDENCE_PENDING;
    if (!weak && !reported_in(frame, file))
        return respond_elsewhere(thread, passage, request);
    answered_itself(file);
    return request;
}

/* A write that goes on with one that was cut short, or with a connect, belongs to who began it. */
static struct context *continuation_context(struct thread *thread, const struct passage *passage) {
    struct context *owner =
        frame_is_weak(thread) ? cell_copy(&passage->file->cell, passage->generation) : NULL;
    if (owner == NULL || context_descends_surely(thread->flow.current, owner)) {
        context_release(owner);
        return NULL;
    }
    return owner;
}

static void write_adopt(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    struct context *context = NULL;
    enum evidence evidence = EVIDENCE_PENDING;
    if (file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING)) {
        context = response_context(thread, passage);
        evidence = EVIDENCE_RESPONSE;
    } else if (file_has(file, FILE_UNFINISHED)) {
        context = continuation_context(thread, passage);
    }
    if (context == NULL || frame_explicit(thread)) {
        context_release(context);
        return;
    }
    frame_adopt(thread, context, evidence);
    frame_name_file(thread, passage);
}

/* --- F3: a mailbox entry is reserved before the call and settled after it ------------------------- */

static void reservation_settle(const struct reservation *reservation, uint64_t moved) {
    struct open_file *file = reservation->file;
    if (cell_generation(&file->cell) == reservation->generation && file->mailbox != NULL)
        mailbox_settle(file->mailbox, reservation->ticket, moved);
}

/* Calls that never came back (cancellation, longjmp) are below us on the stack no longer: whoever enters
 * from their depth or a shallower one shows it. A signal handler enters from a deeper one. */
static void reservations_abandoned(struct thread *thread, struct here here) {
    while (thread->reservations > 0) {
        const struct reservation *last = &thread->reserved[thread->reservations - 1];
        if (here.address < last->address || !thread_on_own_stack(thread, here.address) ||
            !thread_on_own_stack(thread, last->address))
            return;
        reservation_settle(last, 0);
        thread->reservations--;
    }
}

void rules_reservations_end(struct thread *thread) {
    while (thread->reservations > 0)
        reservation_settle(&thread->reserved[--thread->reservations], 0);
}

/* Nearly every writer adds one; what it really added is settled after. */
static void reserve(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    reservations_abandoned(thread, passage->here);
    if (file->mailbox == NULL || file_is_shared(file) || process_is_borrowed())
        return;
    passage->ticket = mailbox_reserve(file->mailbox, flow_capture(&thread->flow), 1);
    if (passage->ticket != 0 && thread->reservations < RESERVATIONS)
        thread->reserved[thread->reservations++] =
            (struct reservation){file, passage->generation, passage->ticket, passage->here.address};
}

static void write_eventfd(struct thread *thread, const struct passage *passage, long result,
                          const void *first) {
    struct reservation mine = {passage->file, passage->generation, passage->ticket, 0};
    uint64_t added = 0;
    if (result == (long)sizeof added && first != NULL)
        memcpy(&added, first, sizeof added);
    if (passage->ticket != 0)
        reservation_settle(&mine, added);
    for (unsigned i = 0; i < thread->reservations; i++)
        if (thread->reserved[i].ticket == mine.ticket && thread->reserved[i].file == mine.file)
            thread->reservations = i;
}

/* --- writing ------------------------------------------------------------------------------------- */

struct passage rules_write_open(struct open_file *file, struct here here) {
    struct passage passage = {.file = file, .generation = cell_generation(&file->cell), .here = here};
    if (file_kind(file) != FILE_CONNECTION && file_kind(file) != FILE_OUTBOUND &&
        file_kind(file) != FILE_EVENTFD)
        return (struct passage){0};
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return (struct passage){0};
    if (file_kind(file) == FILE_EVENTFD)
        reserve(thread, &passage);
    else
        write_adopt(thread, &passage);
    if (file_kind(file) == FILE_OUTBOUND)
        cell_put(&file->cell, passage.generation, flow_capture(&thread->flow));
    thread_leave();
    return passage;
}

static void write_socket(const struct passage *passage, long result, size_t asked) {
    struct open_file *file = passage->file;
    bool cut_short = result < 0 ? errno == EAGAIN : (size_t)result < asked;
    if (result > 0 && !passage->foreign)
        file_mark(file, FILE_OUTSTANDING, false);
    file_mark(file, FILE_UNFINISHED, cut_short);
}

void rules_write_close(const struct passage *passage, long result, size_t asked, const void *first) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    if (file_kind(passage->file) == FILE_EVENTFD)
        write_eventfd(thread, passage, result, first);
    else if (alive(passage))
        write_socket(passage, result, asked);
    thread_leave();
}

/* --- the life of sockets, eventfds, timerfds ----------------------------------------------------- */

void rules_listen(int fd) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    if (!process_is_borrowed())
        file_become(fd, FILE_LISTENER);
    thread_leave();
}

void rules_accept_begin(int listener, struct here here) {
    (void)listener;
    frame_settle(here);
    thread_bury();
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    const struct frame *top = frame_top(thread);
    if (top != NULL && top->wait.address == FRAME_OPEN_ENDED)
        frame_end(thread);
    rules_thread_waits(thread, here);
    thread_leave();
    thread_bury();
}

void rules_accept_end(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 && options.roots && !process_is_borrowed() ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_CONNECTION);
    if (file != NULL)
        cell_put(&file->root, cell_generation(&file->root), root_connection(thread));
    thread_leave();
}

struct passage rules_connect_begin(int fd, struct here here) {
    struct passage passage = {0};
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return passage;
    struct open_file *file = process_is_borrowed() ? NULL : file_become(fd, FILE_OUTBOUND);
    if (file != NULL && file_kind(file) == FILE_OUTBOUND) {
        passage = (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
        cell_put(&file->cell, passage.generation, flow_capture(&thread->flow));
    }
    thread_leave();
    return passage;
}

/* Is the connect that gave this error still on its way, or has it been made? */
static bool connect_goes_on(int error) {
    return error == EINPROGRESS || error == EALREADY || error == EINTR || error == EAGAIN || error == EISCONN;
}

void rules_connect_end(const struct passage *passage, int fd, int result) {
    struct thread *thread = passage->file != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (result != 0 && errno == EBADF)
        file_created(fd);
    else if (alive(passage) && result != 0 && !connect_goes_on(errno))
        cell_put(&passage->file->cell, passage->generation, NULL);
    if (alive(passage))
        file_mark(passage->file, FILE_UNFINISHED, result != 0 && errno == EINPROGRESS);
    thread_leave();
}

void rules_eventfd_created(int fd, unsigned initial, int flags) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 && !process_is_borrowed() ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_EVENTFD);
    if (file != NULL) {
        file->mailbox = mailbox_new();
        file_mark(file, FILE_SEMAPHORE, (flags & EFD_SEMAPHORE) != 0);
        if (file->mailbox != NULL && initial != 0)
            mailbox_settle(file->mailbox, mailbox_reserve(file->mailbox, NULL, initial), initial);
    }
    thread_leave();
}

void rules_timerfd_created(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 && !process_is_borrowed() ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    file_open(fd, FILE_TIMERFD);
    thread_leave();
}

struct arming rules_timer_begin(int fd, struct here here) {
    struct arming arming = {0};
    frame_settle(here);
    struct open_file *file = file_at(fd);
    struct thread *thread = file != NULL && file_kind(file) == FILE_TIMERFD ? thread_enter() : NULL;
    if (thread == NULL)
        return arming;
    arming.passage = (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    arming.before = cell_copy(&file->cell, arming.passage.generation);
    cell_put(&file->cell, arming.passage.generation, flow_capture(&thread->flow));
    thread_leave();
    return arming;
}

/* A disarmed timer awaits nothing. */
void rules_timer_end(const struct arming *arming, int result, const struct itimerspec *value) {
    struct thread *thread = arming->passage.file != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = arming->passage.file;
    if (result != 0)
        cell_put(&file->cell, arming->passage.generation, context_retain(arming->before));
    else if (value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 0)
        cell_put(&file->cell, arming->passage.generation, NULL);
    if (result == 0)
        file_mark(file, FILE_REPEATS, value->it_interval.tv_sec != 0 || value->it_interval.tv_nsec != 0);
    context_release(arming->before);
    thread_leave();
}
