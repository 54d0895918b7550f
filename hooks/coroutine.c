/* Coroutines by ucontext: F11.
 *
 * A saved context may be gone back to as often as its own function is alive, so nothing of ours may lie in
 * between: getcontext is not hooked, and swapcontext and setcontext are a call that says where the program
 * goes on, and then a jump. The program's own return address is what the real function saves.
 *
 * makecontext is given a function of ours around the program's, so that a coroutine's end is seen. Arguments
 * are whole registers here, as libc passes them on. More than PASSED_ON of them leave no room for ours: then
 * the program's function is called by libc itself, and the end is seen with the next switch. */
#include "hook.h"

#if defined(__x86_64__)
#    include <stdarg.h>

enum { PASSED_ON = 6, ARGUMENTS_AT_MOST = 32 };

typedef void routine(long, long, long, long, long, long);

static uintptr_t stack_pointer_of(const ucontext_t *context) {
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

static void run(void (*function)(void), const ucontext_t *link, long a, long b, long c, long d, long e,
                long f) {
    rules_coroutine_begin(HERE);
    ((routine *)function)(a, b, c, d, e, f);
    rules_coroutine_over(HERE);
    if (link != NULL)
        rules_coroutine_switch(stack_pointer_of(link), 0, HERE);
}

typedef void make(ucontext_t *, void (*)(void), int, ...);

/* libc is given as many arguments as there can be, and looks at `count` of them. */
static void make_plain(make *real, ucontext_t *context, void (*function)(void), int count, const long *v) {
    real(context, function, count, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11],
         v[12], v[13], v[14], v[15], v[16], v[17], v[18], v[19], v[20], v[21], v[22], v[23], v[24], v[25],
         v[26], v[27], v[28], v[29], v[30], v[31]);
}

static void make_wrapped(make *real, ucontext_t *context, void (*function)(void), const long *v) {
    real(context, (void (*)(void))run, 2 + PASSED_ON, function, context->uc_link, v[0], v[1], v[2], v[3],
         v[4], v[5]);
}

HOOK(void, makecontext, (ucontext_t * context, void (*function)(void), int count, ...)) {
    long values[ARGUMENTS_AT_MOST] = {0};
    va_list arguments;
    va_start(arguments, count);
    for (int i = 0; i < count && i < ARGUMENTS_AT_MOST; i++)
        values[i] = va_arg(arguments, long);
    va_end(arguments);
    if (process_started() && count >= 0 && count <= PASSED_ON)
        make_wrapped(REAL(makecontext), context, function, values);
    else
        make_plain(REAL(makecontext), context, function, count, values);
    rules_coroutine_made((uintptr_t)context->uc_stack.ss_sp, context->uc_stack.ss_size,
                         stack_pointer_of(context), HERE);
}

/* What the two below call, with the context that goes on and where their own return address lies, which is
 * what the real function saves and leaves alone. They go on at what this returns. */
__attribute__((used, visibility("hidden"))) __typeof__(swapcontext) *coroutine_swapping(const ucontext_t *to,
                                                                                        void **left_at);
__attribute__((used, visibility("hidden"))) __typeof__(setcontext) *coroutine_setting(const ucontext_t *to,
                                                                                      void **left_at);

/* As HERE is in a hook of C: its stack frame begins below the return address. */
static struct here here_of(void **left_at) {
    return (struct here){(uintptr_t)(left_at - 1), *left_at};
}

__typeof__(swapcontext) *coroutine_swapping(const ucontext_t *to, void **left_at) {
    rules_coroutine_switch(stack_pointer_of(to), (uintptr_t)left_at, here_of(left_at));
    return REAL(swapcontext);
}

__typeof__(setcontext) *coroutine_setting(const ucontext_t *to, void **left_at) {
    rules_coroutine_switch(stack_pointer_of(to), (uintptr_t)left_at, here_of(left_at));
    return REAL(setcontext);
}

#    define JUMP_HOOK(name, before, context)                                                                 \
        extern const enum hook_row hook_body_##name;                                                         \
        const enum hook_row hook_body_##name = hook_row_##name;                                              \
        __asm__(".text\n .p2align 4\n .globl " #name "\n .type " #name ", %function\n" #name ":\n"           \
                " .cfi_startproc\n endbr64\n pushq %rdi\n .cfi_adjust_cfa_offset 8\n"                        \
                " pushq %rsi\n .cfi_adjust_cfa_offset 8\n subq $8, %rsp\n .cfi_adjust_cfa_offset 8\n"        \
                " movq " context ", %rdi\n leaq 24(%rsp), %rsi\n call " before "\n"                          \
                " addq $8, %rsp\n .cfi_adjust_cfa_offset -8\n popq %rsi\n .cfi_adjust_cfa_offset -8\n"       \
                " popq %rdi\n .cfi_adjust_cfa_offset -8\n jmp *%rax\n"                                       \
                " .cfi_endproc\n .size " #name ", .-" #name "\n")

JUMP_HOOK(swapcontext, "coroutine_swapping", "%rsi");
JUMP_HOOK(setcontext, "coroutine_setting", "%rdi");
#endif
