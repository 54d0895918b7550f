/* Requests that go on elsewhere than in the frame that has read them: see kept.h.
 *
 * A frame whose request was given to another thread is *away*: what its loop does next may be what others
 * have put into its list. Programs that give a copy away (a log, a statistic) and go on show it by answering:
 * after COPIES such answers their loop is believed.
 *
 * A frame that answers another request where its own was for sure has *crossed*. If its own is still open
 * when it ends, its thread keeps requests and goes on with them anywhere: for the rest of its life what
 * follows each touch is in doubt. A loop that may still turn exact does so first, for most keep nothing then;
 * and one with timers has a better reason to answer out of turn (E3). */
#include "kept.h"

#include "connection.h"
#include "frame.h"
#include "rules.h"
#include "trace.h"
#include "wait.h"

/* Was a request read in this frame last, and is not answered yet? */
bool frame_has_request(const struct frame *frame) {
    const struct open_file *file = frame->file;
    return file != NULL && cell_generation(&file->cell) == frame->generation &&
           file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING) &&
           frame->provenance.evidence == EVIDENCE_READ;
}

/* Of a wait for one descriptor, at a place where never several were waited for: that is no loop. */
bool frame_waits_alone(const struct frame *frame) {
    return frame->lone && !frame->loop->many;
}

/* --- handing on ---------------------------------------------------------------------------------- */

/* Not for sure: an eventfd or pipe of a thread's own. */
static bool leads_to_a_thread(const struct open_file *file) {
    return file == NULL || file_kind(file) == FILE_EVENTFD || file_kind(file) == FILE_PIPE;
}

static bool is_outstanding(const struct open_file *file, uint32_t generation) {
    return file != NULL && cell_generation(&file->cell) == generation && file_kind(file) == FILE_CONNECTION &&
           file_has(file, FILE_OUTSTANDING);
}

/* A thread that serves one connection at a time. */
static bool serves_one(const struct frame *frame) {
    return frame->loop != NULL ? frame_waits_alone(frame) : frame->wait.address == FRAME_OPEN_ENDED;
}

bool kept_in_between(const struct frame *frame, const struct open_file *file) {
    return frame != NULL && leads_to_a_thread(file) && serves_one(frame) && frame_has_request(frame) &&
           !frame->handed_on && !frame_reported(frame, file);
}

/* One that has answered what it read, and then wakes up another one, is done with it: what it takes next, it
 * may take without a wait. */
static bool is_done(const struct frame *frame, const struct open_file *file) {
    return file != NULL && leads_to_a_thread(file) && serves_one(frame) &&
           frame->provenance.evidence == EVIDENCE_READ && frame->file != NULL &&
           cell_generation(&frame->file->cell) == frame->generation &&
           file_kind(frame->file) == FILE_CONNECTION && !file_has(frame->file, FILE_OUTSTANDING);
}

/* A loop that has given its request to a thread may go on with what other threads have put into a list of its
 * own: E0. One that goes on with the request itself, and answers it, is learnt. */
enum { COPIES = 8 };
static void given_away(struct frame *frame) {
    frame->given = true;
    frame->away = frame->loop->copies < COPIES;
}

static void note_poked(struct keeping *keeping, struct open_file *file) {
    for (struct poked *poked = keeping->poked; poked < keeping->poked + POKED; poked++)
        if (poked->file == file && poked->generation == cell_generation(&file->cell))
            return;
    keeping->poked[keeping->next_poked++ % POKED] = (struct poked){file, cell_generation(&file->cell)};
}

/* E5. Who is still busy with what the last write told of, need not be told again: now that a request was left
 * without any call, it may have gone the same way as others, and their wake-ups may be more than theirs. */
static void poked_drain(const struct keeping *keeping) {
    for (const struct poked *poked = keeping->poked; poked < keeping->poked + POKED; poked++)
        if (poked->file != NULL && cell_generation(&poked->file->cell) == poked->generation)
            file_mark(poked->file, FILE_DRAINS, true);
}

void kept_hands_on(struct thread *thread, struct open_file *file) {
    struct frame *frame = frame_top(thread);
    trace_capture(thread, file);
    if (frame == NULL)
        return;
    if (file != NULL && file_kind(file) == FILE_EVENTFD && frame_has_request(frame))
        note_poked(&thread->keeping, file);
    frame->handed_on = true;
    frame->lost |= frame_in_doubt(thread);
    if (is_done(frame, file))
        frame->passing = 1; /* wherever it goes on */
    else if (frame->loop != NULL && !frame_waits_alone(frame) && leads_to_a_thread(file) &&
             frame_has_request(frame))
        given_away(frame);
    frame_limit_renew(thread);
}

/* --- what becomes of them ------------------------------------------------------------------------ */

/* So many did not lie in a list of the loop's own. */
enum { RETURNED = 8 };

static bool is_proven(uint8_t times) {
    return times >= RETURNED;
}

static void returned(struct keeping *keeping) {
    keeping->returned += !is_proven(keeping->returned);
}

static bool is_same(const struct kept *kept) {
    return cell_generation(&kept->file->cell) == kept->generation &&
           atomic_load_explicit(&kept->file->requests, memory_order_relaxed) == kept->request;
}

static bool is_open(const struct kept *kept) {
    return is_outstanding(kept->file, kept->generation) && is_same(kept);
}

/* Where this connection's was noted, else where another one may be. */
static struct kept *place_for(struct keeping *keeping, const struct open_file *file) {
    struct kept *free = NULL;
    for (struct kept *kept = keeping->kept; kept < keeping->kept + KEPT; kept++) {
        if (kept->file == file)
            return kept;
        if (kept->file == NULL)
            free = kept;
    }
    return free != NULL ? free : &keeping->kept[keeping->next++ % KEPT];
}

/* In a frame of this kind the loop has nothing else to do but its event's work, as far as we know. */
static bool is_for_one(const struct frame *frame) {
    const struct loop *loop = frame->loop;
    return (loop->epoll == NULL || loop->exact) && !frame->mixed && (!frame->queued || frame->wary) &&
           !loop_timers_due(loop);
}

/* Has the callback left its request open? With another thread, it may come back; with a server or a timer,
 * that will tell when. What was written to it in somebody else's frame may have been its answer (E4). */
static bool leaves_open(const struct thread *thread, const struct frame *frame) {
    return frame->loop != NULL && !thread->keeping.keeps && !frame_waits_alone(frame) &&
           is_outstanding(frame->file, frame->generation) && (!frame->handed_on || frame->given) &&
           atomic_load_explicit(&frame->file->foreign, memory_order_relaxed) == 0;
}

void kept_goes_on(struct thread *thread, const struct frame *frame) {
    if (!leaves_open(thread, frame))
        return;
    struct kept *kept = place_for(&thread->keeping, frame->file);
    struct kept now = {frame->file, frame->generation,
                       atomic_load_explicit(&frame->file->requests, memory_order_relaxed)};
    if (kept->file == now.file && kept->generation == now.generation && kept->request == now.request) {
        returned(&thread->keeping);
        thread->keeping.pieces += !is_proven(thread->keeping.pieces);
    } else if (!frame->given && !is_proven(thread->keeping.pieces)) {
        poked_drain(&thread->keeping);
    }
    *kept = now;
    thread->keeping.any = true;
}

void kept_callback_ends(struct thread *thread, const struct frame *frame) {
    if (frame->provenance.evidence == EVIDENCE_RESPONSE || !leaves_open(thread, frame))
        return; /* a write that was no answer */
    kept_goes_on(thread, frame);
    file_mark(frame->file, FILE_KEPT, is_for_one(frame));
}

/* Has the wait that has just come back reported it? Then its own callback comes. */
static bool is_reported(const struct thread *thread, const struct kept *kept) {
    return atomic_load_explicit(&kept->file->waited, memory_order_relaxed) == thread->waits;
}

/* One that is answered, and not here, was answered by another thread. */
bool kept_any(struct thread *thread) {
    struct keeping *keeping = &thread->keeping;
    bool any = false;
    if (!keeping->any || is_proven(keeping->returned))
        return false;
    keeping->any = false;
    for (struct kept *kept = keeping->kept; kept < keeping->kept + KEPT; kept++) {
        if (kept->file == NULL)
            continue;
        if (is_open(kept)) {
            keeping->any = true;
            any |= !is_reported(thread, kept);
            continue;
        }
        if (is_same(kept))
            returned(keeping);
        kept->file = NULL;
    }
    return any && !is_proven(keeping->returned);
}

static bool forget(struct keeping *keeping, const struct open_file *file) {
    bool was = false;
    if (!keeping->any)
        return false;
    for (struct kept *kept = keeping->kept; kept < keeping->kept + KEPT; kept++)
        if (kept->file == file) {
            was = is_open(kept);
            kept->file = NULL;
        }
    return was;
}

/* Is the frame somebody else's? A thread that serves one connection has other events in the midst of a
 * request, and goes on with it then. */
static bool is_amid_another(const struct thread *thread, const struct context *request) {
    const struct context *current = thread->flow.current;
    return request != NULL && context_root_of(current) != NULL && !context_descends(current, request->parent);
}

static void works_for(struct thread *thread, struct open_file *file, const struct context *request) {
    struct frame *frame = frame_top(thread);
    bool proves = file_has(file, FILE_KEPT), known = forget(&thread->keeping, file) || proves;
    file_mark(file, FILE_KEPT, false);
    if (frame == NULL || frame->loop == NULL || !known)
        return;
    if (context_descends(thread->flow.current, request) || (frame->tentative && !thread->keeping.lists))
        returned(&thread->keeping);
    else if (proves && !frame->tentative && is_for_one(frame) && is_amid_another(thread, request))
        thread->keeping.keeps = true;
}

void kept_answers(struct thread *thread, struct open_file *file, const struct context *request) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->crossed == file)
        frame->crossed = NULL; /* its own, in the same frame: it does not keep that */
    works_for(thread, file, request);
}

/* In its own frame: its answer comes at its own event. */
void kept_arms(struct thread *thread, struct open_file *file) {
    struct frame *frame = frame_top(thread);
    struct context *request = connection_request(file, cell_generation(&file->cell), thread->flow.serial);
    if (frame != NULL && frame->file == file) {
        frame->handed_on = true;
        frame->given = false;
    } else if (frame != NULL && !frame->mixed && !context_descends(thread->flow.current, request)) {
        rules_contradicted(thread);
        works_for(thread, file, request);
    }
    context_release(request);
}

void kept_answers_itself(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->away && frame->loop != NULL && frame->loop->copies < COPIES)
        frame->loop->copies++;
}

/* An answer to somebody else, where this frame's own request was for sure. A loop that may turn exact does so
 * first: most keep nothing then. */
void kept_crossed(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->loop == NULL)
        return;
    if (frame->handed_on)
        frame->loop->copies = 0;
    if (!is_for_one(frame) || frame_in_doubt(thread) || !frame_has_request(frame))
        return;
    frame->crossed = frame->file;
    frame->crossed_generation = frame->generation;
}

/* And its own is still open at its end. */
void kept_frame_ends(struct thread *thread, const struct frame *frame) {
    if (frame->loop != NULL && is_outstanding(frame->crossed, frame->crossed_generation))
        thread->keeping.keeps = true;
    kept_callback_ends(thread, frame);
}
