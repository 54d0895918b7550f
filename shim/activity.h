/* Whose work the process has been doing, for who wants to know of bytes that were gathered (E12): has any
 * other request been worked for since?
 *
 * `changes` goes up whenever a request's work becomes current, or ends, that is not the one noted last: two
 * words that are written one after the other, by any thread. Where two threads do so at once it may go up
 * once too often, and the doubt be one too many. A connection counts as one with the request that is read
 * from it. Only kept where lines are annotated. */
#ifndef SHIM_ACTIVITY_H
#define SHIM_ACTIVITY_H

#include "annotate.h"

extern _Atomic uint64_t activity_changes;

void activity_note_slow(const struct context *context);
/* Work is being done in this context (NULL: nobody's). */
static inline void activity_note(const struct context *context) {
    if (__builtin_expect(annotate_on, 0) && context != NULL)
        activity_note_slow(context);
}

/* Does no other thread have any work? Looks at all of them, without a lock. */
bool activity_alone(const struct thread *thread);

#endif
