/* H24: another preload, which stands in front of some of the same functions, and counts. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static _Atomic long reads, writes, closes;

static void *next(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

ssize_t read(int fd, void *buffer, size_t size) {
    ssize_t (*real)(int, void *, size_t);
    *(void **)&real = next("read");
    reads++;
    return real(fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size) {
    ssize_t (*real)(int, const void *, size_t);
    *(void **)&real = next("write");
    writes++;
    return real(fd, buffer, size);
}

int close(int fd) {
    int (*real)(int);
    *(void **)&real = next("close");
    closes++;
    return real(fd);
}

__attribute__((destructor)) static void report(void) {
    char text[128];
    int length = snprintf(text, sizeof text, "%ld reads, %ld writes, %ld closes\n", (long)reads, (long)writes,
                          (long)closes);
    (void)!write(1, text, (size_t)length);
}
