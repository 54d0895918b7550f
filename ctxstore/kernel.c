/* Raw system calls: see kernel.h for why they do not go through libc. */
#include "kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { PAGE = 4096 };

void *kernel_map(size_t size) {
    long address =
        kernel_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? NULL : (void *)address;
}

void kernel_unmap(void *memory, size_t size) {
    kernel_call(SYS_munmap, (long)memory, (long)size, 0, 0, 0, 0);
}

int kernel_pid(void) {
    return (int)kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

int kernel_tid(void) {
    return (int)kernel_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* The kernel copies a signal mask from this address before it finds that `how` is no way to apply one:
 * EFAULT or EINVAL, and nothing changed. Unlike process_vm_readv no sandbox forbids the call. */
static bool page_is_readable(uintptr_t address) {
    enum { NO_SUCH_HOW = ~0, MASK_SIZE = 8 };
    return kernel_call(SYS_rt_sigprocmask, NO_SUCH_HOW, (long)address, 0, MASK_SIZE, 0, 0) == -EINVAL;
}

bool kernel_peek(void *to, const void *from, size_t size) {
    uintptr_t first = (uintptr_t)from, end = first + size;
    if (end < first)
        return false;
    for (uintptr_t page = first / PAGE * PAGE; page < end; page += PAGE)
        if (!page_is_readable(page))
            return false;
    memcpy(to, from, size);
    return true;
}

bool kernel_file_allowed(size_t size) {
    struct rlimit limit = {0};
    return kernel_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) == 0 && limit.rlim_cur >= size;
}
