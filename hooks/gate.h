/* Hooks behind a gate. What only `annotate` needs is out of the way when it is off: the symbol is a jump
 * through a pointer, and the pointer leads to the real function. So a program without annotations does not
 * notice that its printf, mmap or error were interposed, whatever their arguments mean.
 *
 * It stays out of the way, too, where the next function of that name is not libc's: other libraries have an
 * `error`, a `warn` or a `dprintf` of their own, with other arguments, and their calls of it come here.
 *
 * GATED_HOOK is written as HOOK is (hook.h); its row is a GATED_ROW. */
#ifndef HOOKS_GATE_H
#define HOOKS_GATE_H

#include "../shim/annotate.h"
#include "hook.h"

typedef void gate_function(void);

struct gate {
    gate_function *target; /* first: the jump goes through it. The body's, until start-up decides */
    gate_function *body;
    enum hook_row row;
};

#if defined(__x86_64__)
#    define GATE_JUMP(name) "endbr64\n jmp *gate_" #    name "(%rip)\n"
#elif defined(__aarch64__)
#    define GATE_JUMP(name)                                                                                  \
        "hint #34\n adrp x16, gate_" #name "\n ldr x16, [x16, :lo12:gate_" #name "]\n br x16\n"
#endif

#define GATED_HOOK(type, name, parameters)                                                                   \
    extern const enum hook_row hook_body_##name;                                                             \
    const enum hook_row hook_body_##name = hook_row_##name;                                                  \
    static __typeof__(name) gated_##name;                                                                    \
    extern struct gate gate_##name;                                                                          \
    struct gate gate_##name = {(gate_function *)gated_##name, (gate_function *)gated_##name,                 \
                               hook_row_##name};                                                             \
    __asm__(".text\n .p2align 4\n .globl " #name "\n .type " #name ", %function\n" #name ":\n"               \
            " .cfi_startproc\n " GATE_JUMP(name) " .cfi_endproc\n .size " #name ", .-" #name "\n");          \
    static type gated_##name parameters

#endif
