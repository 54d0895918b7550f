/* `leaks_signal`: a signal that asks a running process for a report.
 *
 * The handler may interrupt anything. Outside the guard it makes the report itself; inside, it leaves word,
 * and the next hand-over makes it (leaks.c). The signal does nothing else: calls that it interrupts are begun
 * again, and it is taken only when nobody else has it: what the program sets later stands. */
#include "leaks.h"

#include "../ctxstore/kernel.h"
#include "options.h"
#include "thread.h"

#include <errno.h>
#include <signal.h>

_Atomic bool leaks_asked;

void leaks_answer(void) {
    if (!atomic_exchange(&leaks_asked, false))
        return;
    leaks_survey();
    leaks_print();
}

static void asked(int number) {
    int error = errno;
    (void)number;
    atomic_store(&leaks_asked, true);
    uintptr_t guard = local.guard;
    if (guard_is_free(guard) ||
        guard == GUARD_HANDLER) { /* our own hook has put the latter there, for a handler */
        local.guard = (uintptr_t)__builtin_frame_address(0);
        atomic_signal_fence(memory_order_seq_cst);
        leaks_answer();
        atomic_signal_fence(memory_order_seq_cst);
        local.guard = guard;
    }
    errno = error;
}

void leaks_signal_start(void) {
    extern int __sigaction(int, const struct sigaction *, struct sigaction *);
    struct sigaction action = {.sa_handler = asked, .sa_flags = SA_RESTART}, before;
    sigfillset(&action.sa_mask);
    if (options.leaks_signal == 0 || __sigaction(options.leaks_signal, NULL, &before) != 0 ||
        before.sa_handler != SIG_DFL)
        return;
    __sigaction(options.leaks_signal, &action, NULL);
}
