/* fork: F13. Forks made inside libc are noticed by the child's first hook (shim/process.h).
 *
 * vfork cannot be wrapped: a C function around it would return twice into one frame (H4). So its hook is two
 * instructions, which note in the guard that this memory may soon be somebody else's, and a jump. */
#include "hook.h"

#include <stdarg.h>

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

/* The child has a stack of its own, so this one may be a function. Sharing our memory without being one of
 * our threads, it is to us what a vfork child is. The last three arguments are there only when a flag asks
 * for them: they are passed on as they came. */
HOOK(int, clone, (int (*run)(void *), void *stack, int flags, void *argument, ...)) {
    va_list arguments;
    va_start(arguments, argument);
    pid_t *parent_id = va_arg(arguments, pid_t *);
    void *storage = va_arg(arguments, void *);
    pid_t *child_id = va_arg(arguments, pid_t *);
    va_end(arguments);
    if ((flags & (CLONE_VM | CLONE_THREAD)) == CLONE_VM && guard_is_free(local.guard))
        local.guard = GUARD_BORROWED;
    int child = REAL(clone)(run, stack, flags, argument, parent_id, storage, child_id);
    if (child > 0 && (flags & CLONE_VM) == 0)
        process_did_fork();
    return child;
}

#if defined(__x86_64__)
_Static_assert(GUARD_BORROWED == 1 && offsetof(struct local, guard) == 0, "the numbers below");
extern const enum hook_row hook_body_vfork;
const enum hook_row hook_body_vfork = hook_row_vfork;
/* Until the constructor has bound it (H1), the system call itself: its return address must not lie on the
 * stack that the child is about to use. */
extern char vfork_unbound[] __attribute__((visibility("hidden")));
void *hook_real_vfork = vfork_unbound;
__asm__(".text\n .p2align 4\n .hidden vfork_unbound\n .globl vfork_unbound\n .type vfork_unbound, %function\n"
        "vfork_unbound:\n popq %rdi\n movl $58, %eax\n syscall\n pushq %rdi\n cmpq $-4095, %rax\n"
        " jb 1f\n movl $-1, %eax\n 1: ret\n .size vfork_unbound, .-vfork_unbound\n");
__asm__(".text\n .p2align 4\n .globl vfork\n .type vfork, %function\nvfork:\n .cfi_startproc\n endbr64\n"
        " movq local@GOTTPOFF(%rip), %rax\n movq $1, %fs:(%rax)\n"
        " jmp *hook_real_vfork(%rip)\n .cfi_endproc\n .size vfork, .-vfork\n");
#endif
