/* What the waits of a loop have in common, whichever call makes them: inside the rules only.
 *
 * A wait says what it reported one descriptor after another (batch_see); taken together that is a *batch*,
 * and what it says becomes current in a new dispatch frame (wait_dispatch). */
#ifndef SHIM_WAIT_H
#define SHIM_WAIT_H

#include "interest.h"
#include "rules.h"

/* --- loops: E0 (rules_loop.c) -------------------------------------------------------------------- */

/* The loop that waits here, for this epoll or, NULL, with poll or select. */
struct loop *loop_of(struct thread *thread, const struct open_file *epoll, struct here here);
/* It waits for so many milliseconds: -1 for ever, 0 not at all. */
void loop_waits(struct loop *loop, long milliseconds);
/* E3: may its timers run requests' work now, since the time that it last waited for is over? */
bool loop_timers_due(const struct loop *loop);
/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_clock(void);
/* Is it served one context a wait (E1)? */
bool loop_is_exact(const struct loop *loop);

/* --- waits: E2, E3, E5, E7 (rules_wait.c) --------------------------------------------------------- */

/* What a batch of events says, taken together. */
struct batch {
    struct context *first;                 /* a reference */
    struct context *others[CONTEXT_LINKS]; /* references */
    unsigned other_count;
    unsigned events;
    const struct open_file *from; /* what the latest came over, and by which thread's doing (0: not known); */
    int by;                       /* NULL: that need not be told */
    unsigned tracked;             /* of those, how many are of a descriptor that is known */
    unsigned connections;         /* ... and of a connection, or of a listener, which is as good as several */
    bool mixed;                   /* not all the same */
    bool wake_up;                 /* E5: an eventfd or a pipe is among them */
    bool unread;                  /* E7: ... an eventfd that nobody need read */
};

/* A wait of this loop begins: what was before is over, if it is. */
void wait_begins(struct thread *thread, struct wait *wait, long milliseconds);
/* E2: is a frame of this very loop open, whose work may still be queued? */
bool wait_has_work(struct thread *thread, const struct wait *wait);
/* Work of the frame before that may still be queued when the next one begins. */
struct rest {
    bool any;
    struct context *context; /* a reference; NULL: not known whose */
};
/* It has come back with `count` events, none yet seen. */
struct rest wait_continues(struct thread *thread, const struct wait *wait, int count);
/* Names a wait that reports something. */
void wait_reports(struct thread *thread);
/* Adds an event; consumes the sighting's context. */
void batch_see(struct thread *thread, struct batch *batch, const struct sighting *sighting, uint32_t events);
/* Opens the frame. Consumes the batch and the rest. */
void wait_dispatch(struct thread *thread, const struct wait *wait, struct batch *batch, struct rest rest);

#endif
