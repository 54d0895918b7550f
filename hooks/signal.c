/* Signal handlers: F12. What the kernel is given instead of a handler is a door to it (door.h), which tells
 * the rules before and after.
 *
 * As each handler has a door of its own, what the kernel knows of a signal is all there is to know. A handler
 * that is replaced while its signal is being delivered, or in a vfork child, needs no bookkeeping; flags and
 * masks are the kernel's; a door that somebody reads or puts back by a system call of his own leads where it
 * always led.
 *
 * Whoever asks for a handler is told his own, never a door. All of it may be called in handlers. */
#include "door.h"

typedef void handler_function(int number, siginfo_t *info, void *interrupted);

DOORS(signal_doors, signal_arrived);

/* A handler without SA_SIGINFO finds its argument where it expects it. */
__attribute__((used, visibility("hidden"))) void signal_arrived(int number, siginfo_t *info,
                                                                void *interrupted, unsigned door);
void signal_arrived(int number, siginfo_t *info, void *interrupted, unsigned door) {
    struct handling handling;
    handler_function *handler = (handler_function *)door_leads_to(&signal_doors, door);
    rules_signal_begin(&handling);
    handler(number, info, interrupted);
    rules_signal_end(&handling);
}

static sighandler_t door_to(sighandler_t handler) {
    bool is_function = (uintptr_t)handler > (uintptr_t)SIG_HOLD && handler != SIG_ERR;
    return is_function ? (sighandler_t)door_for(&signal_doors, (uintptr_t)handler) : handler;
}

static sighandler_t behind(sighandler_t handler) {
    return (sighandler_t)door_behind(&signal_doors, (uintptr_t)handler);
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
