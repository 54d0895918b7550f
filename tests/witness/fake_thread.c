/* A fake in place of the shim: the context is the thread, the mistake that a context which follows the work
 * is there to mend. The witness must refuse it. */
#define _GNU_SOURCE 1
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

size_t ctxshim_stack(char *buffer, size_t size);

__attribute__((visibility("default"))) size_t ctxshim_stack(char *buffer, size_t size) {
    return (size_t)snprintf(buffer, size, "thread#%d", (int)gettid());
}
