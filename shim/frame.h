/* Dispatch frames: what a callback does to its context never reaches the loop or the next callback.
 *
 * Taking work from a carrier opens one, the next wait at the same or a shallower stack address ends it,
 * and so does any hook entered from a shallower address than its loop has ever come back from; then the
 * context before is current again, and scopes left open inside are closed and reported. A deeper wait nests,
 * unless it returns to the same place as the frame's own wait (an interpreter calls its one wait at several
 * depths). On a stack whose bounds are not known addresses are not compared, and the frame ends at the next
 * wait. */
#ifndef SHIM_FRAME_H
#define SHIM_FRAME_H

#include "thread.h"

/* The innermost frame, or NULL. */
static inline struct frame *frame_top(struct thread *thread) {
    return thread->depth > 0 ? &thread->frames[thread->depth - 1] : NULL;
}

/* Opens a frame whose base is the enclosing loop's; something is to be adopted in it. NULL when they lie too
 * deep. */
struct frame *frame_open(struct thread *thread, struct here wait);
/* The program has closed a scope, and perhaps a detour that frames began on. */
void frame_scope_closed(struct thread *thread);
/* Ends the innermost. */
void frame_end(struct thread *thread);
void frame_end_all(struct thread *thread);
/* Ends every frame that a wait (or an ingress) at this place ends. */
void frame_end_for_wait(struct thread *thread, struct here wait);
/* What its loop has shown of its log (ledger.h); NULL: it has no loop. */
static inline struct habits *frame_habits(const struct frame *frame) {
    return frame->loop != NULL ? &frame->loop->habits : NULL;
}
/* Has it no choice whose log a line is? One event at most is its: its loop asks for one a wait, and this is
 * no batch that came before it did. */
static inline bool frame_is_exact(const struct frame *frame) {
    return frame->loop == NULL || (frame->loop->exact && !frame->mixed);
}
/* Is what is current nobody's for sure? */
bool frame_in_doubt(const struct thread *thread);
/* Was it opened by a wait for one descriptor, at a place where never several were waited for? That is no
 * loop. */
bool frame_waits_alone(const struct frame *frame);
/* Would it end one that is not open-ended? */
bool frame_same_wait(const struct thread *thread, const struct frame *frame, struct here wait);

/* What new roots derive from, and what unknown work sees: borrowed. */
struct context *frame_base(const struct thread *thread);

/* What a root of the program's own derives from: the loop's base; without a loop, nothing. Borrowed. */
struct context *frame_base_clean(const struct thread *thread);

/* Makes `context` (a reference) current in the innermost frame; opens an open-ended one where there is none.
 */
void frame_adopt(struct thread *thread, struct context *context, enum evidence evidence);
/* Names what the frame's work came from: an open-ended frame lasts until that is answered, and in a batch
 * another one begins the next callback. */
void frame_came_from(struct thread *thread, struct open_file *file, uint32_t generation);
/* Notes what its work came over, and by which thread's doing (0: not known), for those who look; nothing
 * else.
 */
void frame_woken_by(struct thread *thread, const struct open_file *file, int by);
/* Did the wait that opened this frame report the file? */
bool frame_reported(const struct frame *frame, const struct open_file *file);
/* A batch is handled callback by callback: one that reads the file (or accepts from it) for the first time
 * after its wait has reported it, when another one has done so before, is the next. What the last one left is
 * over, and reported. One that was not reported (a connection just accepted) is read within a callback: when
 * the request read before it lies in a queue of the program's own, whose work comes next is not known. */
void frame_reads(struct thread *thread, struct open_file *file);

/* What it is now, nobody knows: its context goes on as the likeliest. */
void frame_doubt(struct thread *thread, enum evidence evidence);
/* What was just read from `here` is for sure the current context's, and so is what its reader does with it;
 * what follows need not be: the next hook is in doubt, and so is who asks from a shallower place. */
void frame_passes(struct thread *thread, struct here here);
/* E4: a call that is over was the current context's. `answers`: it was the answer. Is it in doubt again whose
 * work comes next? That is so too where several answers of a batch have gone out, and their log has not. */
void frame_wrote(struct thread *thread, bool answers, bool doubtful);
/* More of an answer to this request (borrowed), from another one's work: its line may still come. */
void frame_answers_on(struct thread *thread, const struct context *request);
/* E5: it may drain a queue. */
void frame_wakes_up(struct thread *thread);
/* Something that carries nothing is written to: a log. */
void frame_logs(void);
/* E0 (kept.c). Is a request that was read in this frame last still to be answered? */
bool frame_has_request(const struct frame *frame);

/* Was a scope opened in this frame that is still open? Without a frame, in this flow. */
bool frame_explicit(const struct thread *thread);

/* Another frame is the innermost, or another flow is on. */
void frame_limit_renew(struct thread *thread);

/* A hook was entered at `here`: ends the frames whose loop has been left. */
void frame_settle_slow(uintptr_t here);
/* The program asks what is current. */
void frame_asked_slow(uintptr_t here);
static inline void frame_asked(struct here here) {
    if (__builtin_expect(here.address > frame_limit, 0))
        frame_asked_slow(here.address);
}
static inline void frame_settle(struct here here) {
    local.site = here.site;
    if (__builtin_expect(here.address > frame_limit, 0))
        frame_settle_slow(here.address);
}

#endif
