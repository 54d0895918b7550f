/* Doors: see door.h. */
#include "door.h"

_Static_assert(DOORS_EACH == 512 && DOOR_SIZE == 16, "the numbers in DOORS");

static bool is_door(const struct doors *doors, uintptr_t address) {
    uintptr_t first = (uintptr_t)doors->code;
    return address >= first && address < first + (uintptr_t)DOORS_EACH * DOOR_SIZE;
}

static bool is_for(_Atomic uintptr_t *place, uintptr_t function) {
    uintptr_t seen = 0;
    return atomic_compare_exchange_strong_explicit(place, &seen, function, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           seen == function;
}

uintptr_t door_for(struct doors *doors, uintptr_t function) {
    if (is_door(doors, function))
        return function;
    unsigned start = (unsigned)(function * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (unsigned i = 0; i < DOORS_EACH; i++) {
        unsigned door = (start + i) % DOORS_EACH;
        if (is_for(&doors->functions[door], function))
            return (uintptr_t)doors->code + (uintptr_t)door * DOOR_SIZE;
    }
    return function;
}

uintptr_t door_behind(struct doors *doors, uintptr_t address) {
    if (!is_door(doors, address))
        return address;
    return door_leads_to(doors, (unsigned)((address - (uintptr_t)doors->code) / DOOR_SIZE));
}
