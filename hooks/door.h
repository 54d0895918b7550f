/* Doors: functions of ours that stand for functions of the program's, one for each.
 *
 * A function that is handed to libc or the kernel, to be called later with an argument that must not change,
 * is replaced by a door to it: a few instructions that carry the door's number to a place of ours, which
 * calls the program's function. Each function has a door of its own, for ever. States of a place in the
 * table: 0, free, and anybody may fill it by compare-and-swap; a function, and nobody changes it again. When
 * all are taken the function itself is handed on, and nothing is known of its calls. All of it is
 * async-signal-safe. */
#ifndef HOOKS_DOOR_H
#define HOOKS_DOOR_H

#include "hook.h"

enum { DOORS_EACH = 512, DOOR_SIZE = 16 };

struct doors {
    const char *code;
    _Atomic uintptr_t functions[DOORS_EACH];
};

/* The door to a function (or to a door: itself); without one left, the function. */
uintptr_t door_for(struct doors *doors, uintptr_t function);
/* What this door leads to; anything else is what it is. */
uintptr_t door_behind(struct doors *doors, uintptr_t address);
static inline uintptr_t door_leads_to(struct doors *doors, unsigned door) {
    return atomic_load_explicit(&doors->functions[door], memory_order_acquire);
}

/* Defines `name`, whose doors lead to the function `place`; its fourth argument is the door's number, and the
 * first three are the caller's. */
#if defined(__x86_64__)
#    define DOOR_CODE(name, place) " endbr64\n movl $number_" #    name ", %ecx\n jmp " #    place "\n"
#elif defined(__aarch64__)
#    define DOOR_CODE(name, place) " hint #34\n mov w3, #number_" #    name "\n b " #    place "\n"
#endif
#define DOORS(name, place)                                                                                   \
    extern const char code_##name[] __attribute__((visibility("hidden")));                                   \
    static struct doors name = {.code = code_##name};                                                        \
    __asm__(".text\n .p2align 4\n .hidden code_" #name "\n .globl code_" #name "\n .type code_" #name        \
            ", %function\ncode_" #name ":\n .cfi_startproc\n .set number_" #name ", 0\n"                     \
            ".rept 512\n .p2align 4\n" DOOR_CODE(                                                            \
                name, place) " .set number_" #name ", number_" #name                                         \
                             " + 1\n .endr\n .p2align 4\n .cfi_endproc\n .size code_" #name                  \
                             ", .-code_" #name "\n")

#endif
