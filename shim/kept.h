/* Requests that are open when the frame is over in which a loop has read them: E0.
 *
 * One that was left, or given to a thread that may give it back, lies in a list of the program's own, and
 * when the loop goes on with it no call tells. So as long as one is open, what follows each touch in another
 * frame is in doubt; until the loop has shown often enough what becomes of them: more of the request is read,
 * another thread answers it, or a frame of its own. One that is worked for in the midst of somebody else's
 * frame shows the opposite, for good. */
#ifndef SHIM_KEPT_H
#define SHIM_KEPT_H

#include "thread.h"

/* The callback leaves its work with a carrier (NULL: it has no descriptor): it need not lie in a queue of the
 * program's. */
void kept_hands_on(struct thread *thread, struct open_file *file);

/* In this frame of a thread that serves one connection at a time, and has a request to answer, an eventfd or
 * a pipe is read that nobody waited for: a runtime's own affair, or anything else. */
bool kept_in_between(const struct frame *frame, const struct open_file *file);

/* What this frame's callback leaves open is noted: when it touches something else; at its end; and what was
 * seen of others in it, when the frame is over. */
void kept_goes_on(struct thread *thread, const struct frame *frame);
void kept_callback_ends(struct thread *thread, const struct frame *frame);
void kept_frame_ends(struct thread *thread, const struct frame *frame);
/* A frame begins. Has the thread left other requests open, and is not known to do well with them? */
bool kept_any(struct thread *thread);

/* This connection, whose request is open, is written to, or asked when it can be. */
void kept_answers(struct thread *thread, struct open_file *file, const struct context *request);
void kept_arms(struct thread *thread, struct open_file *file);
/* This frame answers its own; it answers another one for sure. */
void kept_answers_itself(struct thread *thread);
void kept_crossed(struct thread *thread);

#endif
