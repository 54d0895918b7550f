/* Moving the flow that is on out of a thread's record, and another one in: for coroutines (F11), which take
 * turns, and for signal handlers (F12), which come in between. */
#ifndef SHIM_PARKED_H
#define SHIM_PARKED_H

#include "thread.h"

/* Afterwards nobody is on: the flow is a new, empty one on a stack that is not known. */
void park(struct thread *thread, struct parked *parked);
void park_nobody(struct thread *thread);
/* Takes the place of the flow that is on, which must have ended. Who is on (`turn`) is the caller's to say.
 */
void unpark(struct thread *thread, const struct parked *parked);
/* A flow that will not come back. */
void parked_drop(struct parked *parked);

#endif
