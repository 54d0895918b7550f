/* What bytes that go out say: F3, F8, E4, E5, E10.
 *
 * F3  A write to an eventfd leaves (context, count) in its mailbox: reserved before the call, since a
 *     reader may see its effect before it returns, and settled with what was really added.
 * F8  A write to a server leaves its context in the cell: who wrote last awaits the reply. A write after
 *     one that was cut short, or after a connect in progress, goes on with it: it adopts instead.
 * E4  A write to a connection with an outstanding request belongs to that request. In a frame that
 *     exact evidence gave to another one, it may be a deferred answer, or a publish to a client that
 *     happens to have asked: which of the two a connection does is learnt, and until then the write is
 *     the connection's and the rest of the frame ambiguous.
 * E5  A wake-up's frame is tentative: whatever is touched in it is better evidence.
 * E10 Bytes that were read as a request's, and are sent to a server from where they lie, are its work
 *     (forward.h). That is the strongest evidence there is but for a scope. */
#include "kept.h"
#include "reservation.h"
#include "rules_own.h"
#include "trace.h"

#include <errno.h>
#include <string.h>

/* E4: so many writes from others' frames to one open question are no answer to it. */
enum { PUBLISHED = 3 };

/* --- whose write it is --------------------------------------------------------------------------- */

/* Where evidence is weak, a connection or a continuation that is touched is better. */
bool frame_is_weak(struct thread *thread) {
    const struct frame *frame = frame_top(thread);
    return frame == NULL || frame->tentative || frame->mixed ||
           frame->provenance.evidence <= EVIDENCE_PENDING;
}

/* This request, or what was current. Consumes the reference. */
struct context *doubt(struct thread *thread, struct context *request) {
    struct context *doubtful = context_ambiguous(request, &thread->flow.current, 1, thread->flow.serial);
    context_release(request);
    return doubtful;
}

/* Was it read in this very batch? Then a loop that answers all of one in a later phase does so; that costs
 * nothing as long as nothing else of theirs is in doubt. */
static bool read_here(const struct frame *frame, const struct open_file *file) {
    return frame->wait_serial != 0 &&
           atomic_load_explicit(&file->served, memory_order_relaxed) == file_wait_mark(frame->wait_serial);
}

/* A frame that exact evidence gave to somebody else writes to a connection that waits for an answer.
 * Consumes the reference to the request; returns what is to be adopted. */
static struct context *respond_elsewhere(struct thread *thread, struct passage *passage,
                                         struct context *request) {
    struct open_file *file = passage->file;
    const struct frame *frame = frame_top(thread);
    kept_crossed(thread);
    if (frame == NULL || !read_here(frame, file) || frame->lost)
        rules_contradicted(thread);
    passage->passing = true;
    if (file_has(file, FILE_DEFERS))
        return request;
    passage->foreign = true;
    if (atomic_load_explicit(&file->foreign, memory_order_relaxed) >= PUBLISHED ||
        atomic_fetch_add_explicit(&file->foreign, 1, memory_order_relaxed) + 1 >= PUBLISHED)
        file_mark(file, FILE_PUBLISHES, true);
    if (!file_has(file, FILE_PUBLISHES))
        return doubt(thread, request);
    context_release(request);
    return NULL;
}

/* The connection's own request answers: what other frames wrote while it was open were publishes. */
static void answered_itself(struct open_file *file) {
    if (atomic_exchange_explicit(&file->foreign, 0, memory_order_relaxed) != 0)
        file_mark(file, FILE_PUBLISHES, true);
}

/* Outside any frame of a loop: whose work came before nobody saw, and whose comes next neither: a worker may
 * have more of others' in hand. Consumes the reference. */
static struct context *respond_outside(struct thread *thread, struct passage *passage,
                                       struct context *request) {
    passage->passing = true;
    return rules_answered_outside(thread, passage->file) ? doubt(thread, request) : request;
}

/* In a frame that has nothing against it. Consumes the reference. */
static struct context *respond(struct passage *passage, struct context *request) {
    answered_itself(passage->file);
    return request;
}

/* Is the request that the connection waits with what is current anyway? Then this is its answer. */
static bool answers_current(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    const struct context *request =
        connection_request_current(file, passage->generation, thread->flow.current);
    if (request == NULL)
        return false;
    wake_up_answers(thread, request);
    kept_answers(thread, file, request);
    kept_answers_itself(thread);
    answered_itself(file);
    return true;
}

/* E5. A wake-up's, and its loop is known to log after it has answered: what follows is for this answer. */
static bool logs_after(const struct frame *frame) {
    return frame->tentative && habits_log_after(frame_habits(frame));
}

/* E4. Returns what is to be adopted (a reference), or NULL. */
static struct context *response_context(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    if (answers_current(thread, passage))
        return NULL;
    struct context *request = connection_request(file, passage->generation, thread->flow.serial);
    const struct frame *frame = frame_top(thread);
    wake_up_answers(thread, request);
    kept_answers(thread, file, request);
    bool surely = context_descends_surely(thread->flow.current, request);
    bool likely = context_descends(thread->flow.current, request);
    bool same_doubt = frame != NULL && frame->provenance.evidence == EVIDENCE_RESPONSE && likely;
    if (request == NULL || surely || same_doubt) {
        context_release(request);
        if (surely)
            kept_answers_itself(thread);
        passage->foreign = !surely; /* a frame that this very doubt is about goes on writing */
        if (surely)
            answered_itself(file);
        return NULL;
    }
    if (frame == NULL || frame->wait.address == FRAME_OPEN_ENDED)
        return respond_outside(thread, passage, request);
    bool weak = frame->tentative || frame->provenance.evidence <= EVIDENCE_PENDING;
    bool unsettled = frame->mixed && frame->provenance.evidence == EVIDENCE_EVENT && frame->polls == 0;
    passage->passing = (weak && !logs_after(frame)) || frame->queued;
    if (weak || likely || (unsettled && !frame->later && frame_reported(frame, file)))
        return respond(passage, request);
    return respond_elsewhere(thread, passage, request);
}

/* More of an answer, after which its frame was in doubt again. */
static struct context *answer_context(struct thread *thread, struct passage *passage) {
    const struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->file != passage->file || frame->provenance.evidence < EVIDENCE_READ)
        return NULL;
    struct context *request = connection_request(passage->file, passage->generation, thread->flow.serial);
    passage->passing = context_descends(thread->flow.current, request) &&
                       !context_descends_surely(thread->flow.current, request);
    if (passage->passing)
        return request;
    context_release(request);
    return NULL;
}

/* A write that goes on with one that was cut short, or with a connect, belongs to who began it. */
struct context *continuation_context(struct thread *thread, const struct passage *passage) {
    struct context *owner = frame_is_weak(thread)
                                ? carrier_context(passage->file, passage->generation, thread->flow.serial)
                                : NULL;
    if (owner == NULL || context_descends_surely(thread->flow.current, owner)) {
        context_release(owner);
        return NULL;
    }
    return owner;
}

/* E10. Returns what is to be adopted (a reference), or NULL. */
static struct context *forwarded_context(struct thread *thread, const struct outgoing *outgoing) {
    bool doubtful;
    struct context *request = forward_find(thread, outgoing, &doubtful);
    return doubtful ? doubt(thread, request) : request;
}

/* What a write says of whose it is, strongest first: a new reference, or NULL. */
static struct context *write_context(struct thread *thread, struct passage *passage,
                                     const struct outgoing *outgoing, enum evidence *evidence) {
    struct open_file *file = passage->file;
    *evidence = EVIDENCE_RESPONSE;
    if (file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING))
        return response_context(thread, passage);
    struct context *answer = file_kind(file) == FILE_CONNECTION ? answer_context(thread, passage) : NULL;
    if (answer != NULL)
        return answer;
    *evidence = EVIDENCE_BYTES;
    struct context *owner = file_kind(file) == FILE_OUTBOUND ? forwarded_context(thread, outgoing) : NULL;
    if (owner != NULL)
        return owner;
    *evidence = EVIDENCE_PENDING;
    return file_has(file, FILE_UNFINISHED) ? continuation_context(thread, passage) : NULL;
}

/* A request that is sent on out of its turn says nothing of what comes next: in a frame where work lies in a
 * queue of the program's, or where a batch has more callbacks than this one. */
static bool others_may_follow(struct thread *thread, enum evidence evidence) {
    const struct frame *frame = frame_top(thread);
    return frame != NULL && (frame->queued || (frame->mixed && evidence == EVIDENCE_PENDING));
}

static void write_adopt(struct thread *thread, struct passage *passage, const struct outgoing *outgoing) {
    enum evidence evidence;
    if (file_kind(passage->file) == FILE_CONNECTION)
        rules_queue_answers(thread, passage);
    struct context *context = write_context(thread, passage, outgoing, &evidence);
    if (context == NULL || frame_explicit(thread)) {
        context_release(context);
        return;
    }
    if (evidence == EVIDENCE_BYTES)
        rules_queue_evidence(thread, context);
    if (evidence != EVIDENCE_RESPONSE)
        passage->passing = others_may_follow(thread, evidence);
    frame_adopt(thread, context, evidence);
    frame_came_from(thread, passage->file, passage->generation);
}

/* --- F3: a mailbox entry is reserved before the call and settled after it ------------------------- */

/* Nearly every writer adds one; what it really added is settled after. */
static void reserve(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    if (file->mailbox != NULL && !file_is_shared(file))
        passage->ticket = reservation_make(thread, file->mailbox, 1, passage->here);
}

static void write_eventfd(struct thread *thread, const struct passage *passage, long result,
                          const void *first) {
    uint64_t added = 0;
    if (passage->ticket == 0)
        return;
    if (result == (long)sizeof added && first != NULL)
        memcpy(&added, first, sizeof added);
    if (passage_alive(passage))
        mailbox_settle(passage->file->mailbox, passage->ticket, added);
    reservation_over(thread, passage->file->mailbox, passage->ticket);
    if (__builtin_expect(thread->inherited, 0))
        rules_thread_moves_on(thread);
}

/* --- writing ------------------------------------------------------------------------------------- */

/* From here on the peer may ask for something else (rules_read.c). */
static void answer_begins(struct passage *passage) {
    struct open_file *file = passage->file;
    if (passage->foreign || file_kind(file) != FILE_CONNECTION || !file_has(file, FILE_OUTSTANDING))
        return;
    passage->answers = atomic_load_explicit(&file->requests, memory_order_acquire);
    atomic_store_explicit(&file->answering, connection_answer(passage->answers), memory_order_release);
}

struct passage rules_write_open(struct open_file *file, const struct outgoing *outgoing, struct here here) {
    struct passage passage = {.file = file, .generation = cell_generation(&file->cell), .here = here};
    if (file_kind(file) != FILE_CONNECTION && file_kind(file) != FILE_OUTBOUND &&
        file_kind(file) != FILE_EVENTFD && file_kind(file) != FILE_STRANGER)
        return (struct passage){0};
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return (struct passage){0};
    if (__builtin_expect(file_kind(file) == FILE_STRANGER, 0))
        file_turns_out(file, FILE_OUTBOUND);
    if (file_kind(file) == FILE_EVENTFD)
        reserve(thread, &passage);
    else
        write_adopt(thread, &passage, outgoing);
    answer_begins(&passage);
    if (file_kind(file) == FILE_OUTBOUND)
        cell_put(&file->cell, passage.generation, flow_capture(&thread->flow));
    if (file_kind(file) != FILE_CONNECTION)
        kept_hands_on(thread, file);
    thread_leave();
    return passage;
}

/* Leak finding wants to know since when its request may be over. */
static void answered(const struct passage *passage) {
    struct context *request = cell_copy(&passage->file->cell, passage->generation);
    context_answered(request);
    context_release(request);
}

static void answers_on(struct thread *thread, const struct passage *passage) {
    struct context *request = connection_request(passage->file, passage->generation, thread->flow.serial);
    frame_answers_on(thread, request);
    context_release(request);
}

static bool peer_asked_on(const struct passage *passage) {
    return passage->answers != 0 &&
           atomic_load_explicit(&passage->file->requests, memory_order_acquire) != passage->answers;
}

/* What the peer has asked meanwhile is outstanding: its reader counts it first and marks it then, here it is
 * the other way round, so that neither misses the other. */
static void answer_sent(const struct passage *passage) {
    file_mark(passage->file, FILE_OUTSTANDING, false);
    if (peer_asked_on(passage))
        file_mark(passage->file, FILE_OUTSTANDING, true);
}

static void answer_failed(const struct passage *passage) {
    uint16_t begun = connection_answer(passage->answers);
    if (passage->answers != 0)
        atomic_compare_exchange_strong(&passage->file->answering, &begun, 0);
}

static void write_socket(struct thread *thread, const struct passage *passage, long result, size_t asked) {
    struct open_file *file = passage->file;
    bool cut_short = result < 0 ? errno == EAGAIN : (size_t)result < asked;
    bool answers = result > 0 && file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING);
    bool latest = !peer_asked_on(passage);
    if (answers && latest && !passage->foreign)
        trace_answer(thread, file, passage->generation);
    if (answers)
        connection_served(thread, file, passage->generation);
    if (result > 0 && !passage->foreign)
        answer_sent(passage);
    else if (!passage->foreign)
        answer_failed(passage);
    if (__builtin_expect(context_clock != NULL, 0) && result > 0 && latest &&
        file_kind(file) == FILE_CONNECTION && !file_has(file, FILE_OUTSTANDING))
        answered(passage);
    file_mark(file, FILE_UNFINISHED, cut_short);
    if (result > 0 && !answers && file_kind(file) == FILE_CONNECTION && frame_top(thread) != NULL &&
        frame_top(thread)->ledger.various)
        answers_on(thread, passage);
    if (answers || passage->passing)
        frame_wrote(thread, answers, passage->passing);
}

void rules_write_close(const struct passage *passage, long result, size_t asked, const void *first) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    if (file_kind(passage->file) == FILE_EVENTFD)
        write_eventfd(thread, passage, result, first);
    else if (passage_alive(passage))
        write_socket(thread, passage, result, asked);
    else if (passage->passing) /* the peer had it all and left, and its connection is closed */
        frame_wrote(thread, false, true);
    thread_leave();
}
