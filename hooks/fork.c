/* fork: F13. vfork is not wrapped: a C function around it would return twice into one frame (H4). Forks
 * made inside libc are noticed by the child's first hook (shim/process.h). */
#include "hook.h"

HOOK(pid_t, fork, (void)) {
    pid_t child = REAL(fork)();
    if (child == 0)
        process_check();
    else if (child > 0)
        process_did_fork();
    return child;
}

HOOK(pid_t, _Fork, (void)) {
    pid_t child = REAL(_Fork)();
    if (child == 0)
        process_check();
    else if (child > 0)
        process_did_fork();
    return child;
}
