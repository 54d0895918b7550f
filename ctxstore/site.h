/* Places in the program's code, by a small number, so that every context can say where it was pushed.
 *
 * A return address takes eight bytes, and a program has few places that push: so each gets a 16-bit
 * number, which is its slot in one table for ever. States of a slot: 0, free, and anybody may fill it by
 * compare-and-swap; an address, and nobody changes it again. A reader that finds another address looks
 * further, or adds its own; so finding a known place is one load. A table that is full, as of some
 * thousands of places, gives number 0: not known. All is async-signal-safe.
 *
 * Greater numbers name whole call stacks (stack.h). An "address" that is no greater than a number can be is
 * one already: so whoever has looked at the stack hands its number on as a place. */
#ifndef CTXSTORE_SITE_H
#define CTXSTORE_SITE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a call came from: the address of the callee's stack frame, and the place it returns to. */
struct here {
    uintptr_t address;
    const void *site;
};
#define HERE ((struct here){(uintptr_t)__builtin_frame_address(0), __builtin_return_address(0)})

enum { SITE_BITS = 14 };
extern __attribute__((visibility("hidden"))) _Atomic uintptr_t site_table[1 << SITE_BITS];

static inline unsigned site_slot(const void *address) {
    return (unsigned)((uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> (64 - SITE_BITS));
}
uint16_t site_add(const void *address);

/* Has the place a number, in the slot that is looked at first? Then what it is: that slot. Nothing is ever in
 * slot 0. */
static inline bool site_known(const void *address, uint16_t *number) {
    unsigned slot = site_slot(address);
    *number = (uint16_t)slot;
    return atomic_load_explicit(&site_table[slot], memory_order_relaxed) == (uintptr_t)address;
}
/* The number of a place in the code; 0: not known. */
static inline uint16_t site_number(const void *address) {
    uint16_t number;
    return site_known(address, &number) ? number : site_add(address);
}
/* The place of a number, or the innermost one of a stack (stack.h); NULL: not known. */
const void *site_address(uint16_t number);

#endif
