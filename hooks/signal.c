/* Signal handlers: F12. What the kernel is given instead of a handler is a *door* to it, which tells the
 * rules before and after.
 *
 * Each handler has a door of its own, for ever: so what the kernel knows of a signal is all there is to know.
 * A handler that is replaced while its signal is being delivered, or in a vfork child, needs no bookkeeping;
 * flags and masks are the kernel's; a door that somebody reads or puts back by a system call of his own leads
 * where it always led. States of a place in the table: 0, free, and anybody may fill it by compare-and-swap;
 * a handler, and nobody changes it again. When all are taken the kernel is given the handler itself, and what
 * runs in it is the interrupted flow's.
 *
 * Whoever asks for a handler is told his own, never a door. All of it may be called in handlers. */
#include "hook.h"

enum { DOORS = 512, DOOR_SIZE = 16 };

static _Atomic uintptr_t handlers[DOORS];

extern char signal_doors[] __attribute__((visibility("hidden")));
typedef void handler_function(int number, siginfo_t *info, void *interrupted);

/* Where all doors lead. A handler without SA_SIGINFO finds its argument where it expects it. */
__attribute__((used, visibility("hidden"))) void signal_arrived(int number, siginfo_t *info,
                                                                void *interrupted, unsigned door);
void signal_arrived(int number, siginfo_t *info, void *interrupted, unsigned door) {
    struct handling handling;
    handler_function *handler =
        (handler_function *)atomic_load_explicit(&handlers[door], memory_order_acquire);
    rules_signal_begin(&handling);
    handler(number, info, interrupted);
    rules_signal_end(&handling);
}

/* The fourth argument is the door's number. */
#if defined(__x86_64__)
#    define DOOR " endbr64\n movl $signal_door, %ecx\n jmp signal_arrived\n"
#elif defined(__aarch64__)
#    define DOOR " hint #34\n mov w3, #signal_door\n b signal_arrived\n"
#endif
_Static_assert(DOORS == 512 && DOOR_SIZE == 16, "the numbers below");
__asm__(".text\n .p2align 4\n .hidden signal_doors\n .globl signal_doors\n .type signal_doors, %function\n"
        "signal_doors:\n .cfi_startproc\n .set signal_door, 0\n"
        ".rept 512\n .p2align 4\n" DOOR " .set signal_door, signal_door + 1\n .endr\n .p2align 4\n"
        " .cfi_endproc\n .size signal_doors, .-signal_doors\n");

static bool is_function(uintptr_t handler) {
    return handler > (uintptr_t)SIG_HOLD && handler != (uintptr_t)SIG_ERR;
}

static bool is_door(uintptr_t address) {
    uintptr_t first = (uintptr_t)signal_doors;
    return address >= first && address < first + (uintptr_t)DOORS * DOOR_SIZE;
}

static bool door_is_for(_Atomic uintptr_t *place, uintptr_t handler) {
    uintptr_t seen = 0;
    return atomic_compare_exchange_strong_explicit(place, &seen, handler, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           seen == handler;
}

static sighandler_t door_to(sighandler_t program) {
    uintptr_t handler = (uintptr_t)program;
    if (!is_function(handler) || is_door(handler))
        return program;
    unsigned start = (unsigned)(handler * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (unsigned i = 0; i < DOORS; i++) {
        unsigned door = (start + i) % DOORS;
        if (door_is_for(&handlers[door], handler))
            return (sighandler_t)((uintptr_t)signal_doors + (uintptr_t)door * DOOR_SIZE);
    }
    return program;
}

/* What a door leads to; anything else is what it is. */
static sighandler_t behind(sighandler_t handler) {
    if (!is_door((uintptr_t)handler))
        return handler;
    size_t door = ((uintptr_t)handler - (uintptr_t)signal_doors) / DOOR_SIZE;
    return (sighandler_t)atomic_load_explicit(&handlers[door], memory_order_acquire);
}

typedef int act(int, const struct sigaction *restrict, struct sigaction *restrict);

/* The two may be the same memory. */
static int act_by(act *real, int number, const struct sigaction *action, struct sigaction *before) {
    struct sigaction ours;
    if (action != NULL) {
        ours = *action;
        ours.sa_handler = door_to(action->sa_handler);
    }
    int result = real(number, action != NULL ? &ours : NULL, before);
    if (result == 0 && before != NULL)
        before->sa_handler = behind(before->sa_handler);
    return result;
}

HOOK(int, sigaction,
     (int number, const struct sigaction *restrict action, struct sigaction *restrict before)) {
    return act_by(REAL(sigaction), number, action, before);
}

HOOK(int, __sigaction,
     (int number, const struct sigaction *restrict action, struct sigaction *restrict before)) {
    return act_by(REAL(__sigaction), number, action, before);
}

HOOK(sighandler_t, signal, (int number, sighandler_t handler)) {
    return behind(REAL(signal)(number, door_to(handler)));
}

HOOK(sighandler_t, bsd_signal, (int number, sighandler_t handler)) {
    return behind(REAL(bsd_signal)(number, door_to(handler)));
}

HOOK(sighandler_t, ssignal, (int number, sighandler_t handler)) {
    return behind(REAL(ssignal)(number, door_to(handler)));
}

HOOK(sighandler_t, sysv_signal, (int number, sighandler_t handler)) {
    return behind(REAL(sysv_signal)(number, door_to(handler)));
}

HOOK(sighandler_t, __sysv_signal, (int number, sighandler_t handler)) {
    return behind(REAL(__sysv_signal)(number, door_to(handler)));
}

HOOK(sighandler_t, sigset, (int number, sighandler_t handler)) {
    return behind(REAL(sigset)(number, door_to(handler)));
}
