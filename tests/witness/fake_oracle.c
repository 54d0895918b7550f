/* A fake in place of the shim that the witness must accept: the context is the last marker that the thread
 * has read. That is cheating, and right for a server that reads just before it logs and writes. It shows that
 * the witness does not refuse everything. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

size_t ctxshim_stack(char *buffer, size_t size);

static _Thread_local char context[32];

EXPORTED size_t ctxshim_stack(char *buffer, size_t size) {
    return (size_t)snprintf(buffer, size, "%s", context);
}

static void remember(const char *bytes, ssize_t moved) {
    const char *const marker = moved > 0 ? memmem(bytes, (size_t)moved, "CTXM-", 5) : NULL;
    if (marker != NULL && bytes + moved - marker >= 24)
        snprintf(context, sizeof context, "oracle-%.17s", marker + 5);
}

EXPORTED ssize_t read(int fd, void *buffer, size_t size) {
    ssize_t (*next)(int, void *, size_t);
    *(void **)&next = dlsym(RTLD_NEXT, "read");
    const ssize_t moved = next(fd, buffer, size);
    remember(buffer, moved);
    return moved;
}

EXPORTED ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    ssize_t (*next)(int, void *, size_t, int);
    *(void **)&next = dlsym(RTLD_NEXT, "recv");
    const ssize_t moved = next(fd, buffer, size, flags);
    remember(buffer, moved);
    return moved;
}
