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
 * States of a coroutine, changed under the one lock here:
 *   OFF    waits for its turn, or has not had its first yet; whoever turns to it takes it: ON
 *   ON     in exactly one thread's record, which alone touches it; from there OFF again, or freed
 * One that is ON when its stack is given to another leaves the tree, and is freed when its thread leaves it.
 */
#ifndef SHIM_COROUTINE_H
#define SHIM_COROUTINE_H

#include "stacks.h"
#include "thread.h"

#include <stddef.h>

struct coroutine {
    struct stack_range stack; /* first: the tree's */
    struct parked parked;
    struct origin origin; /* of whoever made it */
    bool on;
    bool in_tree;
    uintptr_t left_at; /* OFF: the word here, in its stack, stays what it is; */
    uint32_t left_word;
    bool left_unseen; /* no: it left by a jump, and only the page can be asked for */
};
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
