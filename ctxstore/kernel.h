/* The few system calls that the shim makes for itself, without libc in between.
 *
 * Why not libc: its names are the ones that we interpose (a call would land in our own hook), its
 * wrappers are cancellation points, and they write errno. What is made here does none of these, so
 * bookkeeping between a program's call and its return leaves no trace (H12, H14). */
#ifndef CTXSTORE_KERNEL_H
#define CTXSTORE_KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Set once the process has shut itself in (H21): what its filter does not allow may be its death, so from
 * then on nothing is asked of the kernel, and every call fails. Weak: whoever includes this has it, a test as
 * well. */
__attribute__((weak, visibility("hidden"))) bool kernel_shut;

/* One raw system call. Returns what the kernel does: a result, or -errno. */
static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f) {
    if (__builtin_expect(kernel_shut, 0))
        return -EPERM;
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
#else
#    error "this architecture's system call instruction is not known here"
#endif
}

/* Fresh zeroed memory of `size` bytes (a multiple of the page), or NULL. Never from malloc (H1, H2). */
void *kernel_map(size_t size);
void kernel_unmap(void *memory, size_t size);

/* May this process make a file of that size? One that its limit forbids would be a signal. */
bool kernel_file_allowed(size_t size);

/* Process and thread ids as the kernel has them now, not as somebody cached them; negative: it is not asked.
 */
int kernel_pid(void);
int kernel_tid(void);

/* Copies `size` bytes from an address that the program gave us, unless they cannot be read (H22): then
 * false, where a plain load would kill the process. */
bool kernel_peek(void *to, const void *from, size_t size);

#endif
