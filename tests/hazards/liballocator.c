/* H1, H2: an allocator that calls hooked functions under its own lock, from the first allocation on. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *fresh, *end;

/* Sixteen bytes before each block hold its size. Nothing is ever given back. */
static void *take(size_t size, size_t alignment) {
    char byte;
    int error = errno;
    pthread_mutex_lock(&lock);
    int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    (void)!read(file, &byte, 1);
    close(file);
    uintptr_t at = ((uintptr_t)fresh + 16 + alignment - 1) & ~(alignment - 1);
    if (fresh == NULL || at + size > (uintptr_t)end) {
        size_t room = (size + alignment + 32 + (1 << 20)) & ~(size_t)4095;
        fresh = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        end = fresh + room;
        at = ((uintptr_t)fresh + 16 + alignment - 1) & ~(alignment - 1);
    }
    fresh = (char *)at + size;
    pthread_mutex_unlock(&lock);
    *(size_t *)(at - 16) = size;
    errno = error;
    return (void *)at;
}

void *malloc(size_t size) {
    return take(size, 16);
}
void *calloc(size_t count, size_t size) {
    return take(count * size, 16);
}
void *memalign(size_t alignment, size_t size) {
    return take(size, alignment < 16 ? 16 : alignment);
}
void *aligned_alloc(size_t alignment, size_t size) {
    return take(size, alignment < 16 ? 16 : alignment);
}
int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = take(size, alignment < 16 ? 16 : alignment);
    return 0;
}
void *realloc(void *block, size_t size) {
    void *larger = take(size, 16);
    if (block != NULL) {
        size_t old = *(size_t *)((char *)block - 16);
        memcpy(larger, block, old < size ? old : size);
    }
    return larger;
}
/* A free that calls a hooked function, too. */
void free(void *block) {
    int error = errno;
    if (block != NULL)
        close(-1);
    errno = error;
}
