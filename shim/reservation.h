/* Calls that have not come back, on carriers that count (F3, F4): a writer's entry in a mailbox, reserved
 * before the call and settled after it, and a reader inside its call. A call that is cancelled, or left by a
 * jump, never comes back: whoever enters from its depth or a shallower one shows that, and so does the
 * thread's end. */
#ifndef SHIM_RESERVATION_H
#define SHIM_RESERVATION_H

#include "thread.h"

/* Reserves a place for `count` in the mailbox, for what this thread captures now. 0: there is none. */
uint64_t reservation_make(struct thread *thread, struct mailbox *mailbox, uint64_t count, struct here here);
/* Notes a reader. */
void reservation_read(struct thread *thread, struct mailbox *mailbox, struct here here);
/* The call with this ticket (0: a reader's) came back; the mailbox has been told. */
void reservation_over(struct thread *thread, const struct mailbox *mailbox, uint64_t ticket);

#endif
