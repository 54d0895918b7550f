/* Coroutines (F11): flows that take turns on a thread, each on a stack of its own.
 *
 * A flow is known by the *stack* that it runs on: one that makecontext was given, or the thread's own. A
 * switch names the stack that goes on, by the saved stack pointer; so a saved context may be copied, resumed
 * many times, or resumed on another thread, and nothing of ours has to lie in it or be on the stack for it.
 *
 * The thread's record holds what the flow that is on needs (its current context, scopes, frames, bounds);
 * a switch moves that out, into the coroutine's record or the thread's `own`, and another's in. What runs
 * on a stack that nobody knows is *nobody's*: it has an empty flow, as long as its turn lasts.
 *
 * A program may free a coroutine's stack without ending the coroutine, and nobody is told. Its context is
 * given back when a new coroutine is made on the same memory; and every time that the number of coroutines
 * has doubled, those go whose stack is not mapped any longer, or has been written to where it was left.
 *
 * Which coroutine an address is of, a tree of all stacks says, under a lock; usually a hint is enough, and no
 * lock is taken. States of a coroutine, in one word with a count of its changes, so that whoever changes one
 * knows that nothing has happened since he looked: GONE      not in the tree; free, or in the hands of him
 * who made it so, to be dropped and freed OFF       in the tree; waits for its turn, or has not had its first
 * yet
 *             -> ON by whoever turns to it;  -> GONE by whoever takes it out of the tree, with the lock
 *   ON        in the tree; in exactly one thread's record, which alone touches what it holds
 *             -> OFF by that thread;  -> GONE by it, with the lock;  -> REMOVED by whoever gives its stack to
 *             another, with the lock
 *   REMOVED   as ON, but not in the tree;  -> GONE by its thread
 * The bounds of its stack stay the same but in GONE. So a coroutine whose bounds cover an address, and that
 * goes from the OFF it was seen in to ON, is the one that the tree has there: its stacks do not overlap.
 * Where it was left is written before OFF; who reads that without turning to it (sweep) believes it only if
 * it goes from that very OFF to GONE.
 *
 * A thread's own stack is its own as long as no coroutine has been given a part of it: each thread notes how
 * many stacks had ever been added when the tree had none there.
 */
#ifndef SHIM_COROUTINE_H
#define SHIM_COROUTINE_H

#include "stacks.h"
#include "thread.h"

#include <stddef.h>

enum coroutine_state { COROUTINE_GONE, COROUTINE_OFF, COROUTINE_ON, COROUTINE_REMOVED };
enum { COROUTINE_STATE_BITS = 2 };

struct coroutine {
    struct stack_range stack; /* first: the tree's */
    struct parked parked;
    struct origin origin;        /* of whoever made it */
    _Atomic uint64_t turn;       /* how often it has changed << COROUTINE_STATE_BITS | enum coroutine_state */
    _Atomic uintptr_t low, high; /* the stack's, for who comes by a hint */
    _Atomic uintptr_t left_at;   /* OFF: the word here, in its stack, stays what it is; */
    _Atomic uint32_t left_word;
    _Atomic bool left_unseen; /* no: it left by a jump, and only the page can be asked for */
};
static inline enum coroutine_state coroutine_state_in(uint64_t turn) {
    return (enum coroutine_state)(turn & ((1 << COROUTINE_STATE_BITS) - 1));
}
/* Those whose stack is not another's by now. Under the lock, but for looking at it as holders.h says. */
extern struct stack_range *coroutine_stacks;

/* A new one starts in `start` (a reference) on the stack [low, low + size). `left_at` is where its stack
 * pointer is. */
void coroutine_new(struct thread *thread, struct context *start, uintptr_t low, size_t size,
                   uintptr_t left_at);

/* The program goes on where the stack pointer is `to`; the flow that is on was left at `from`. */
void coroutine_turn(struct thread *thread, uintptr_t to, uintptr_t from);

/* The program is at this address: if that is another flow's stack than the record says, it came there
 * without any hook (a jump), and that flow is on. */
void coroutine_settle(struct thread *thread, uintptr_t here);

/* The coroutine that is on has come to its end: nobody is on. */
void coroutine_end(struct thread *thread);

/* The thread ends. What is on it ends with it; then its own flow is on, to be ended by the caller. */
void coroutine_thread_end(struct thread *thread);

#endif
