/* E0: requests that go on elsewhere than in the frame that has read them: with another thread, or in a list
 * of the program's own.
 *
 * A frame whose request was given to another thread is *away*: what its loop does next may be what others
 * have put into its list. Programs that give a copy away (a log, a statistic) and go on show it by answering:
 * after COPIES such answers their loop is believed.
 *
 * A frame that answers another request where its own was for sure has *crossed*. If its own is still open
 * when it ends, its loop keeps requests and goes on with them anywhere: for the rest of its life what follows
 * each touch is in doubt. A loop that may still turn exact does so first, for most keep nothing then; and one
 * with timers has a better reason to answer out of turn (E3). */
#include "frame.h"
#include "openfile.h"
#include "trace.h"
#include "wait.h"

/* Was a request read in this frame last, and is not answered yet? */
bool frame_has_request(const struct frame *frame) {
    const struct open_file *file = frame->file;
    return file != NULL && cell_generation(&file->cell) == frame->generation &&
           file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING) &&
           frame->provenance.evidence == EVIDENCE_READ;
}

/* Not for sure: an eventfd or pipe of a thread's own. */
static bool leads_to_a_thread(const struct open_file *file) {
    return file == NULL || file_kind(file) == FILE_EVENTFD || file_kind(file) == FILE_PIPE;
}

/* Of a wait for one descriptor, at a place where never several were waited for: that is no loop. */
bool frame_waits_alone(const struct frame *frame) {
    return frame->lone && !frame->loop->many;
}

enum { COPIES = 8 };
void frame_hands_on(struct thread *thread, const struct open_file *file) {
    struct frame *frame = frame_top(thread);
    trace_capture(thread, file);
    if (frame == NULL)
        return;
    frame->handed_on = true;
    frame->lost |= frame_in_doubt(thread);
    if (frame->loop == NULL || frame_waits_alone(frame) || !leads_to_a_thread(file) ||
        !frame_has_request(frame) || frame->loop->copies >= COPIES)
        return;
    frame->away = true;
    frame_limit_renew(thread);
}

void frame_answers_itself(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->away && frame->loop != NULL && frame->loop->copies < COPIES)
        frame->loop->copies++;
}

void frame_crossed(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->loop == NULL)
        return;
    if (frame->handed_on)
        frame->loop->copies = 0;
    if ((frame->loop->epoll != NULL && (!frame->loop->exact || frame->mixed)) || frame->queued ||
        frame_in_doubt(thread) || !frame_has_request(frame) || loop_timers_due(frame->loop))
        return;
    frame->crossed = frame->file;
    frame->crossed_generation = frame->generation;
}

/* Its own, in the same frame: it does not keep that. */
void frame_answers_late(struct thread *thread, const struct open_file *file) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->crossed == file)
        frame->crossed = NULL;
}

/* And its own is still open at its end. */
void frame_learns_crossed(const struct frame *frame) {
    const struct open_file *file = frame->crossed;
    if (file != NULL && frame->loop != NULL && cell_generation(&file->cell) == frame->crossed_generation &&
        file_has(file, FILE_OUTSTANDING))
        frame->loop->keeps = true;
}
