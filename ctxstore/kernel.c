/* Raw system calls: see kernel.h for why they do not go through libc. */
#include "kernel.h"

#include <sys/mman.h>
#include <sys/uio.h>

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

long kernel_peek(void *to, const void *from, size_t size) {
    struct iovec local = {.iov_base = to, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};
    return kernel_call(SYS_process_vm_readv, kernel_pid(), (long)&local, 1, (long)&remote, 1, 0);
}
