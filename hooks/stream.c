/* stdio's part in the life of descriptors: H6. Their reads and writes never pass a hook (H30). */
#include "hook.h"

#include <errno.h>

static FILE *created(FILE *stream) {
    int error = errno;
    if (stream != NULL)
        rules_fd_created(fileno(stream));
    errno = error;
    return stream;
}

HOOK(FILE *, fopen, (const char *restrict path, const char *restrict mode))
{ return created(REAL(fopen)(path, mode)); }

HOOK(FILE *, fopen64, (const char *restrict path, const char *restrict mode))
{ return created(REAL(fopen64)(path, mode)); }

/* The descriptor is what it was. */
HOOK(FILE *, fdopen, (int fd, const char *mode))
{ return REAL(fdopen)(fd, mode); }

/* fileno of a stream that has no descriptor fails and says so in errno, which is the program's. */
static int descriptor_of(FILE *stream) {
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    return fd;
}

/* The stream's old descriptor is closed, and its number usually given to the new file. */
static FILE *reopened(FILE *stream, int old, struct open_file *file) {
    int error = errno;
    rules_fd_closed(old, file, false);
    errno = error;
    return created(stream);
}

HOOK(FILE *, freopen, (const char *restrict path, const char *restrict mode, FILE *restrict stream))
{
    int old = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(old);
    return reopened(REAL(freopen)(path, mode, stream), old, file);
}

HOOK(FILE *, freopen64, (const char *restrict path, const char *restrict mode, FILE *restrict stream))
{
    int old = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(old);
    return reopened(REAL(freopen64)(path, mode, stream), old, file);
}

HOOK(int, fclose, (FILE * stream))
{
    int fd = descriptor_of(stream);
    struct open_file *file = rules_fd_closing(fd);
    int result = REAL(fclose)(stream);
    rules_fd_closed(fd, file, false);
    return result;
}
