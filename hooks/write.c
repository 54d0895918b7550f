/* Bytes that go out: F3, F7, F8, E4. */
#include "hook.h"

#include <limits.h>

/* How much a vector asks to move. The array is the kernel's to check first, so it is only looked at
 * when the call has succeeded. */
static size_t vector_size(const struct iovec *buffers, size_t count, long result) {
    size_t size = 0;
    for (size_t i = 0; result > 0 && i < count && i < IOV_MAX; i++)
        size += buffers[i].iov_len;
    return size;
}

/* An eventfd's eight bytes, when the first buffer has them all. */
static const void *vector_first(const struct iovec *buffers, long result) {
    return result == (long)sizeof(uint64_t) && buffers[0].iov_len == sizeof(uint64_t) ? buffers[0].iov_base
                                                                                      : NULL;
}

HOOK(ssize_t, write, (int fd, const void *buffer, size_t size))
{
    struct passage passage = rules_write_begin(fd, HERE);
    ssize_t result = REAL(write)(fd, buffer, size);
    rules_write_end(&passage, result, size, buffer);
    return result;
}

HOOK(ssize_t, writev, (int fd, const struct iovec *buffers, int count))
{
    struct passage passage = rules_write_begin(fd, HERE);
    ssize_t result = REAL(writev)(fd, buffers, count);
    if (passage.file != NULL)
        rules_write_end(&passage, result, vector_size(buffers, (size_t)count, result),
                        vector_first(buffers, result));
    return result;
}

HOOK(ssize_t, send, (int fd, const void *buffer, size_t size, int flags))
{
    struct passage passage = rules_write_begin(fd, HERE);
    ssize_t result = REAL(send)(fd, buffer, size, flags);
    rules_write_end(&passage, result, size, NULL);
    return result;
}

HOOK(ssize_t, sendto,
     (int fd, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG address,
      socklen_t address_size))
{
    struct passage passage = rules_write_begin(fd, HERE);
    ssize_t result = REAL(sendto)(fd, buffer, size, flags, address, address_size);
    rules_write_end(&passage, result, size, NULL);
    return result;
}

HOOK(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))
{
    struct passage passage = rules_write_begin(fd, HERE);
    ssize_t result = REAL(sendmsg)(fd, message, flags);
    if (passage.file != NULL)
        rules_write_end(&passage, result,
                        result > 0 ? vector_size(message->msg_iov, message->msg_iovlen, result) : 0, NULL);
    return result;
}

HOOK(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags))
{
    struct passage passage = rules_write_begin(fd, HERE);
    int result = REAL(sendmmsg)(fd, messages, count, flags);
    rules_write_end(&passage, result, count, NULL);
    return result;
}

HOOK(ssize_t, sendfile, (int to, int from, off_t *offset, size_t size))
{
    struct passage passage = rules_write_begin(to, HERE);
    ssize_t result = REAL(sendfile)(to, from, offset, size);
    rules_write_end(&passage, result, size, NULL);
    return result;
}

HOOK(ssize_t, sendfile64, (int to, int from, off64_t *offset, size_t size))
{
    struct passage passage = rules_write_begin(to, HERE);
    ssize_t result = REAL(sendfile64)(to, from, offset, size);
    rules_write_end(&passage, result, size, NULL);
    return result;
}
