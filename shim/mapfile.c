/* Files that are mapped: see mapfile.h. */
#include "mapfile.h"

#include "../ctxstore/kernel.h"
#include "options.h"
#include "process.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif

long mapfile_make(const char *path, size_t size) {
    if (!kernel_file_allowed(size))
        return -EFBIG;
    long fd = kernel_call(SYS_openat, AT_FDCWD, (long)path,
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600, 0, 0);
    if (fd < 0 || kernel_call(SYS_ftruncate, fd, (long)size, 0, 0, 0, 0) == 0)
        return fd;
    kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return -EIO;
}

enum { NAME_ROOM = 4096 + OPTION_TEXT_ROOM + 40, IMAGES_MOST = 100 };

static void own_name(char *name, const char *path, unsigned image) {
    struct text text = text_in(name, NAME_ROOM);
    text_put(&text, path);
    text_put(&text, ".");
    text_put_number(&text, (uint64_t)process_pid());
    if (image > 1) {
        text_put(&text, ".");
        text_put_number(&text, image);
    }
    text_end(&text);
}

long mapfile_make_own(const char *path, size_t size) {
    char name[NAME_ROOM];
    long fd = -EEXIST;
    for (unsigned image = 1; fd == -EEXIST && image <= IMAGES_MOST; image++) {
        own_name(name, path, image);
        fd = mapfile_make(name, size);
    }
    return fd;
}

/* Kernels before 5.14 cannot: -EINVAL. */
static long populate(void *memory, size_t size) {
    return kernel_call(SYS_madvise, (long)memory, (long)size, MADV_POPULATE_WRITE, 0, 0, 0);
}

void *mapfile_map(long fd, size_t size, size_t first) {
    long memory = kernel_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory < 0 && memory > -4096)
        return NULL;
    long populated = populate((void *)memory, first);
    if (populated == -EINVAL)
        populated = kernel_call(SYS_fallocate, fd, 0, 0, (long)size, 0, 0);
    if (populated == 0)
        return (void *)memory;
    kernel_unmap((void *)memory, size);
    return NULL;
}

void mapfile_leave(void *memory, size_t size) {
    kernel_call(SYS_mmap, (long)memory, (long)size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

/* Where the kernel cannot, mapfile_map has taken it all. */
bool mapfile_take(void *part, size_t size) {
    long populated = populate(part, size);
    return populated == 0 || populated == -EINVAL;
}
