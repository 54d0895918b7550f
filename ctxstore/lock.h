/* A lock that survives fork (H3) and never touches errno, malloc or a cancellation point.
 *
 * A fork child gets a copy of every lock, some of them held by threads that it does not have. Taking
 * all locks before each fork would stall a busy server, so each word carries the *epoch* of the
 * process that took it: a fork child raises its epoch, and a word with an older one is held by nobody.
 * It also carries the thread that took it, since a signal handler may leave by siglongjmp from anywhere in
 * here: a thread that finds its own name on a lock that it does not hold has left it so. What such a lock
 * guards may be half changed, and lock_take says so: the caller must then empty it without following a
 * pointer in it.
 *
 * States of the word (epoch << 24 | thread << 1 | contended), and who may change it:
 *   0                  free          anybody, to held by himself
 *   held               one holder    the holder to free; a waiter to contended
 *   held, contended    one holder, perhaps sleepers in the kernel; the holder to free, waking one
 *   of an older epoch  as free, but its data is stale; anybody, to held
 *   of this thread, in lock_take: the same; nothing takes a lock twice
 * Thread ids have 22 bits (the kernel's PID_MAX_LIMIT), one more tells the made-up ones of a process that may
 * not ask for them, and 8 are left for the epoch: enough to tell it from those of the last 255 generations.
 *
 * Taking is an acquire, giving a release: what the lock guards is plain memory. */
#ifndef CTXSTORE_LOCK_H
#define CTXSTORE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    _Atomic uint32_t word;
};

/* Raised in each fork child, before anything else of ours runs there. Starts at 2. */
extern uint32_t lock_epoch;

/* Waits for the lock. Returns false when it was left behind, by a thread that fork did not copy or by a jump:
 * the lock is held all the same, and the caller empties what it guards. */
bool lock_take(struct lock *lock);
void lock_give(struct lock *lock);

/* This thread left a critical section by a jump (siglongjmp out of a signal handler): the locks that it still
 * holds are marked as left behind, for whoever takes them next to empty what they guard. */
void lock_abandon_held(void);

/* This thread's id, where that is known: it is not asked of the kernel then. */
void lock_own_name(int tid);

#endif
