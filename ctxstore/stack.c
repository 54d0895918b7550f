/* Call stacks: see stack.h. */
#include "stack.h"

#include "kernel.h"

#include <string.h>

enum { STACKS = 1 << STACK_BITS, PROBES = 32, PAGE = 4096 };

struct stack *stack_table;

bool stacks_begin(void) {
    size_t size = STACKS * sizeof(struct stack);
    stack_table = kernel_map((size + PAGE - 1) / PAGE * PAGE);
    return stack_table != NULL;
}

static uint64_t hash_of(void *const *frames, unsigned count) {
    uint64_t hash = count;
    for (unsigned i = 0; i < count; i++) {
        hash = (hash ^ (uintptr_t)frames[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return hash != 0 ? hash : 1;
}

/* Is this slot ours, or can it become so? A stack of the same 64-bit hash counts as the same. */
static bool slot_take(struct stack *slot, uint64_t hash, void *const *frames, unsigned count) {
    uint64_t found = 0;
    if (!atomic_compare_exchange_strong_explicit(&slot->hash, &found, hash, memory_order_relaxed,
                                                 memory_order_relaxed))
        return found == hash;
    memcpy(slot->frame, frames, count * sizeof *frames);
    atomic_store_explicit(&slot->frames, count, memory_order_release);
    return true;
}

uint16_t stack_add(void *const *frames, unsigned count) {
    if (stack_table == NULL || count == 0 || count > STACK_FRAMES)
        return 0;
    uint64_t hash = hash_of(frames, count);
    for (unsigned probe = 0; probe < PROBES; probe++) {
        unsigned index = (unsigned)(hash + probe) % STACKS;
        if (slot_take(&stack_table[index], hash, frames, count))
            return (uint16_t)(STACK_FIRST + index);
    }
    return 0;
}

const struct stack *stack_of(uint16_t number) {
    if (stack_table == NULL || number < STACK_FIRST || number >= STACK_FIRST + STACKS)
        return NULL;
    const struct stack *stack = &stack_table[number - STACK_FIRST];
    return atomic_load_explicit(&stack->frames, memory_order_acquire) > 0 ? stack : NULL;
}
