/* F9 where each worker of a pool has a condition variable of its own, all under one mutex: whoever has work
 * picks an idle worker, leaves it there, and signals that worker's condition, its *bell*. Who rang hands on
 * what it has current; there is no order to be known. No thread is known here.
 *
 * A bell is a condition for which one thread waits, without work, always at one place. Bells under one mutex
 * whose threads are the same, by where they wait, are of one *kind*, and there is a kind only from the second
 * bell on. The look alone proves nothing (E11: a fair lock wakes its waiters so too), so a kind is silent
 * until AGREED hand-offs agreed with better evidence:
 *   - the worker touches a connection of the request that it was handed;
 *   - it signals somebody who waits *in* that request, for the result.
 * Another request's connection drops the kind for good; another request's waiter makes it begin anew, STRIKES
 * times.
 *
 * Rung twice before it woke up, a bell says nothing. A worker that was handed something by a bell of a kind
 * does not hand on by others of that kind: it may pass on what it found in a list beside its own.
 *
 * The tables are written with the table locked, and looked up without; a bell's fields are guarded by its
 * lock, those of kinds are atomic. */
#ifndef SHIM_BELL_H
#define SHIM_BELL_H

#include "queue.h"

struct bell;

/* What a worker was handed. */
struct bell_handoff {
    struct context *context; /* a reference; NULL: nobody knows, or it is not believed yet */
    uint64_t work;           /* the serial of its request; 0: nothing to be judged */
    uint8_t kind;            /* from 1; 0: none */
};

/* Is there a kind? What costs all other programs a load when they signal. */
extern _Atomic bool bells_any;
static inline bool bells_may_ring(void) {
    return __builtin_expect(atomic_load_explicit(&bells_any, memory_order_relaxed), 0);
}

/* The bell of this condition, or NULL: any thread, without a lock. */
struct bell *bell_of(const void *condition);
/* Is this where its worker waits, or further out? */
bool bell_hangs(struct bell *bell, const void *mutex, struct here here, uint64_t flow);
/* A flow without work is about to wait: that may be its bell. */
struct bell_place {
    struct here here;
    uintptr_t depth; /* below the top of the thread's stack */
    uint64_t flow;   /* the serial of the waiter's */
};
void bell_sleeps(const void *mutex, const void *condition, const struct bell_place *place);
/* A flow with work waits there: it is none. */
void bell_is_none(struct bell *bell);
/* It has woken up. */
struct bell_handoff bell_wakes(struct bell *bell, uint64_t flow);
/* Somebody who works in this context (no reference consumed) signals; `own`: the kind that it was handed its
 * work by. */
void bell_rings(struct bell *bell, struct context *context, uint8_t own);

/* Somebody waits for a result in this request (its serial), or does no more. */
void bell_asks(const void *condition, uint64_t work);
/* The request in which somebody waits for this; 0: not known. */
uint64_t bell_asked(const void *condition);

/* Work is taken in sections under the kind's mutex that end at one place, also without waiting for it: there
 * what was taken before is over. */
bool bell_is_under(uint8_t kind, const void *mutex);
void bell_exit_learn(uint8_t kind, struct queue_place place);
bool bell_is_exit(const void *mutex, struct queue_place place);
/* The bits of these mutexes in the queues' filter. */
uint64_t bell_filter(void);

void bell_judge(uint8_t number, bool agrees, bool touched);
void bell_forget(const void *condition);
void bell_forked(void);

#endif
