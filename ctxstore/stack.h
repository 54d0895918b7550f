/* Call stacks, stored once each and named by a number, so that a context or a hand-over can say how the
 * program came there. Their numbers begin where those of places end (site.h): whoever keeps a place's number
 * can keep a stack's.
 *
 * Slots are filled by compare-and-swap of their hash and never changed again; `frames` is written last, and 0
 * until then. A table that is full, as of some thousands of stacks, gives number 0. All is async-signal-safe.
 */
#ifndef CTXSTORE_STACK_H
#define CTXSTORE_STACK_H

#include "site.h"

#include <stdbool.h>

enum { STACK_FRAMES = 30, STACK_BITS = 12, STACK_FIRST = 1 << SITE_BITS };

struct stack {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint32_t frames;
    void *frame[STACK_FRAMES]; /* return addresses, innermost first */
};

/* NULL before. */
extern struct stack *stack_table;
/* Maps the table. False without memory. Once, at start-up. */
bool stacks_begin(void);
/* The number of these addresses, of at most STACK_FRAMES; 0: no room. */
uint16_t stack_add(void *const *frames, unsigned count);
/* The stack of a number; NULL: it names none. */
const struct stack *stack_of(uint16_t number);

#endif
