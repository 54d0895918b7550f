/* What is true of the whole process: is the shim ready, which process is this, was it forked.
 *
 * A fork is noticed without asking the kernel each time: one page is mapped MADV_WIPEONFORK, so a child
 * finds a zero where its parent had written a one. That sees every kind of fork, also those made inside
 * libc (daemon, forkpty). A vfork child shares our memory, finds the one, and is told apart by its pid. */
#ifndef SHIM_PROCESS_H
#define SHIM_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* 1: this memory belongs to this process and the shim is ready; 0: before start-up, or in a fork child
 * that has not been set right yet. Written at start-up and in a fork child, which has one thread then. */
extern __attribute__((visibility("hidden"))) _Atomic uint32_t *process_mine;

/* Raised on both sides of every fork that is seen: an open file made before it is shared. */
extern _Atomic uint32_t process_forks;

/* It listens: work may come from outside. */
extern _Atomic bool process_serves;

/* Called by the constructor. False without memory: the shim then stays out of the way for good. */
bool process_start(void);
bool process_started(void);

/* Sets a fork child right when this is one. Cheap when it is not. False before start-up. */
static inline bool process_check(void);

/* Is this a vfork child, which must leave the parent's memory alone? A system call after a vfork, once. */
bool process_is_borrowed(void);
int process_pid(void);

/* In the parent, after a fork that a hook saw. */
void process_did_fork(void);

/* The process is about to shut itself in (H21): nothing more is asked of the kernel. Or it did not, after
 * all. Returns whether it could be asked before. */
bool process_shut(bool shut);

bool process_set_right(void);
/* Is there nothing to set right? */
static inline bool process_is_right(void) {
    return atomic_load_explicit(process_mine, memory_order_relaxed) != 0;
}
static inline bool process_check(void) {
    return process_is_right() || process_set_right();
}

#endif
