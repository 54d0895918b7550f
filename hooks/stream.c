/* stdio's part in the life of descriptors: H6. What streams read and write never passes the hooks of read
 * and write (H30). */
#include "../shim/annotate.h"
#include "hook.h"

#include <errno.h>

/* `path` may be NULL. */
static FILE *created(FILE *stream, const char *path) {
    int error = errno;
    if (stream != NULL) {
        rules_fd_created(fileno(stream));
        annotate_opened(fileno(stream), path);
    }
    errno = error;
    return stream;
}

HOOK(FILE *, fopen, (const char *restrict path, const char *restrict mode)) {
    return created(REAL(fopen)(path, mode), path);
}

HOOK(FILE *, fopen64, (const char *restrict path, const char *restrict mode)) {
    return created(REAL(fopen64)(path, mode), path);
}

HOOK(FILE *, tmpfile, (void)) {
    return created(REAL(tmpfile)(), NULL);
}

HOOK(FILE *, tmpfile64, (void)) {
    return created(REAL(tmpfile64)(), NULL);
}

HOOK(FILE *, popen, (const char *command, const char *mode)) {
    return created(REAL(popen)(command, mode), NULL);
}

/* The descriptor is what it was. */
HOOK(FILE *, fdopen, (int fd, const char *mode)) {
    return REAL(fdopen)(fd, mode);
}

/* fileno of a stream that has no descriptor fails and says so in errno, which is the program's. */
static int descriptor_of(FILE *stream) {
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    return fd;
}

/* The stream's old descriptor is closed, and its number usually given to the new file. */
static FILE *reopened(FILE *stream, int old, struct open_file *file, const char *path) {
    int error = errno;
    rules_fd_closed(old, file, false);
    errno = error;
    return created(stream, path);
}

HOOK(FILE *, freopen, (const char *restrict path, const char *restrict mode, FILE *restrict stream)) {
    int old = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(old);
    return reopened(REAL(freopen)(path, mode, stream), old, file, path);
}

HOOK(FILE *, freopen64, (const char *restrict path, const char *restrict mode, FILE *restrict stream)) {
    int old = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(old);
    return reopened(REAL(freopen64)(path, mode, stream), old, file, path);
}

HOOK(int, fclose, (FILE * stream)) {
    int fd = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(fd);
    int result = REAL(fclose)(stream);
    rules_fd_closed(fd, file, false);
    return result;
}
