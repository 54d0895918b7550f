/* What a program does to a file that it treats as data, and never to a log: annotations of it end. */
#include "gate.h"

#include <errno.h>

/* --- seeks -------------------------------------------------------------------------------------------- */

GATED_HOOK(off_t, lseek, (int fd, off_t offset, int whence)) {
    off_t result = REAL(lseek)(fd, offset, whence);
    if (result >= 0)
        annotate_sought(fd, offset, whence);
    return result;
}

GATED_HOOK(off64_t, lseek64, (int fd, off64_t offset, int whence)) {
    off64_t result = REAL(lseek64)(fd, offset, whence);
    if (result >= 0)
        annotate_sought(fd, offset, whence);
    return result;
}

static int stream_sought(int result, FILE *stream, off_t offset, int whence) {
    int error = errno;
    if (result == 0)
        annotate_sought(fileno(stream), offset, whence);
    errno = error;
    return result;
}

GATED_HOOK(int, fseek, (FILE * stream, long offset, int whence)) {
    return stream_sought(REAL(fseek)(stream, offset, whence), stream, offset, whence);
}

GATED_HOOK(int, fseeko, (FILE * stream, off_t offset, int whence)) {
    return stream_sought(REAL(fseeko)(stream, offset, whence), stream, offset, whence);
}

GATED_HOOK(int, fseeko64, (FILE * stream, off64_t offset, int whence)) {
    return stream_sought(REAL(fseeko64)(stream, offset, whence), stream, offset, whence);
}

GATED_HOOK(int, fsetpos, (FILE * stream, const fpos_t *position)) {
    return stream_sought(REAL(fsetpos)(stream, position), stream, 0, SEEK_SET);
}

GATED_HOOK(int, fsetpos64, (FILE * stream, const fpos64_t *position)) {
    return stream_sought(REAL(fsetpos64)(stream, position), stream, 0, SEEK_SET);
}

/* Says nothing of whether it could: a file that can be rewound can be. */
GATED_HOOK(void, rewind, (FILE * stream)) {
    REAL(rewind)(stream);
    int error = errno;
    bool moved = ftell(stream) == 0;
    stream_sought(0, stream, 0, moved ? SEEK_SET : SEEK_CUR);
    errno = error;
}

/* --- writes at a place -------------------------------------------------------------------------------- */

GATED_HOOK(ssize_t, pwrite, (int fd, const void *buffer, size_t size, off_t offset)) {
    annotate_ends(fd);
    return REAL(pwrite)(fd, buffer, size, offset);
}

GATED_HOOK(ssize_t, pwrite64, (int fd, const void *buffer, size_t size, off64_t offset)) {
    annotate_ends(fd);
    return REAL(pwrite64)(fd, buffer, size, offset);
}

GATED_HOOK(ssize_t, pwritev, (int fd, const struct iovec *buffers, int count, off_t offset)) {
    annotate_ends(fd);
    return REAL(pwritev)(fd, buffers, count, offset);
}

GATED_HOOK(ssize_t, pwritev64, (int fd, const struct iovec *buffers, int count, off64_t offset)) {
    annotate_ends(fd);
    return REAL(pwritev64)(fd, buffers, count, offset);
}

GATED_HOOK(ssize_t, pwritev2, (int fd, const struct iovec *buffers, int count, off_t offset, int flags)) {
    annotate_ends(fd);
    return REAL(pwritev2)(fd, buffers, count, offset, flags);
}

GATED_HOOK(ssize_t, pwritev64v2,
           (int fd, const struct iovec *buffers, int count, off64_t offset, int flags)) {
    annotate_ends(fd);
    return REAL(pwritev64v2)(fd, buffers, count, offset, flags);
}

/* --- its size and its pages --------------------------------------------------------------------------- */

GATED_HOOK(int, ftruncate, (int fd, off_t size)) {
    annotate_ends(fd);
    return REAL(ftruncate)(fd, size);
}

GATED_HOOK(int, ftruncate64, (int fd, off64_t size)) {
    annotate_ends(fd);
    return REAL(ftruncate64)(fd, size);
}

GATED_HOOK(int, fallocate, (int fd, int mode, off_t offset, off_t size)) {
    annotate_ends(fd);
    return REAL(fallocate)(fd, mode, offset, size);
}

GATED_HOOK(int, fallocate64, (int fd, int mode, off64_t offset, off64_t size)) {
    annotate_ends(fd);
    return REAL(fallocate64)(fd, mode, offset, size);
}

GATED_HOOK(int, posix_fallocate, (int fd, off_t offset, off_t size)) {
    annotate_ends(fd);
    return REAL(posix_fallocate)(fd, offset, size);
}

GATED_HOOK(int, posix_fallocate64, (int fd, off64_t offset, off64_t size)) {
    annotate_ends(fd);
    return REAL(posix_fallocate64)(fd, offset, size);
}

static void mapped(int fd, int flags) {
    if ((flags & MAP_ANONYMOUS) == 0)
        annotate_ends(fd);
}

GATED_HOOK(void *, mmap, (void *address, size_t size, int protection, int flags, int fd, off_t offset)) {
    mapped(fd, flags);
    return REAL(mmap)(address, size, protection, flags, fd, offset);
}

GATED_HOOK(void *, mmap64, (void *address, size_t size, int protection, int flags, int fd, off64_t offset)) {
    mapped(fd, flags);
    return REAL(mmap64)(address, size, protection, flags, fd, offset);
}
