/* Places in the code: see site.h. */
#include "site.h"

#include "stack.h"

#include <stddef.h>

enum { PROBES = 32 };

_Atomic uintptr_t site_table[1 << SITE_BITS];

uint16_t site_add(const void *address) {
    unsigned slot = site_slot(address);
    if ((uintptr_t)address <= UINT16_MAX)
        return (uint16_t)(uintptr_t)address;
    for (int probe = 0; probe < PROBES; probe++, slot = (slot + 1) % (1 << SITE_BITS)) {
        uintptr_t found = 0;
        if (slot == 0)
            continue; /* the number of no place */
        if (atomic_compare_exchange_strong_explicit(&site_table[slot], &found, (uintptr_t)address,
                                                    memory_order_relaxed, memory_order_relaxed) ||
            found == (uintptr_t)address)
            return (uint16_t)slot;
    }
    return 0;
}

const void *site_address(uint16_t number) {
    const struct stack *stack = stack_of(number);
    if (number >= STACK_FIRST)
        return stack != NULL ? stack->frame[0] : NULL;
    return (const void *)atomic_load_explicit(&site_table[number], memory_order_relaxed);
}
