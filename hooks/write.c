/* Bytes that go out: F3, F7, F8, E4; to a log with their context in front (annotate.h), which is looked up
 * after they have been adopted. */
#include "../ctxstore/kernel.h"
#include "../shim/annotate.h"
#include "hook.h"
#include "vector.h"

/* --- the real calls, as an annotated one makes them ---------------------------------------------------- */

static ssize_t go_write(const struct annotate_call *call, const struct iovec *buffers, int count) {
    (void)count;
    return REAL(write)(call->fd, buffers->iov_base, buffers->iov_len);
}

static ssize_t go_writev(const struct annotate_call *call, const struct iovec *buffers, int count) {
    return REAL(writev)(call->fd, buffers, count);
}

static ssize_t go_send(const struct annotate_call *call, const struct iovec *buffers, int count) {
    (void)count;
    return REAL(send)(call->fd, buffers->iov_base, buffers->iov_len, call->flags);
}

static ssize_t go_sendto(const struct annotate_call *call, const struct iovec *buffers, int count) {
    (void)count;
    return REAL(sendto)(call->fd, buffers->iov_base, buffers->iov_len, call->flags,
                        *(const __CONST_SOCKADDR_ARG *)call->address, call->address_size);
}

static ssize_t go_sendmsg(const struct annotate_call *call, const struct iovec *buffers, int count) {
    struct msghdr message = call->message != NULL ? *call->message : (struct msghdr){0};
    message.msg_iov = (struct iovec *)(uintptr_t)buffers;
    message.msg_iovlen = (size_t)count;
    return REAL(sendmsg)(call->fd, &message, call->flags);
}

/* --- the hooks ----------------------------------------------------------------------------------------- */

APART ssize_t write_carrier(int fd, const void *buffer, size_t size, struct here here) {
    struct passage passage = rules_write_begin(fd, FROM_BUFFER(buffer, size), here);
    ssize_t result = annotate_wants(fd) ? annotate_write(&(struct annotate_call){.go = go_write, .fd = fd},
                                                         ONE_BUFFER(buffer, size))
                                        : REAL(write)(fd, buffer, size);
    rules_write_end(&passage, result, size, buffer);
    return result;
}

HOOK(ssize_t, write, (int fd, const void *buffer, size_t size)) {
    if (rules_nothing_known(fd, HERE) && !annotate_on && BOUND(write))
        return REAL(write)(fd, buffer, size);
    return write_carrier(fd, buffer, size, HERE);
}

APART ssize_t writev_carrier(int fd, const struct iovec *buffers, int count, struct here here) {
    struct passage passage =
        rules_write_begin(fd, (struct outgoing){.vector = count > 0 ? buffers : NULL}, here);
    ssize_t result = annotate_wants(fd)
                         ? annotate_write(&(struct annotate_call){.go = go_writev, .fd = fd, .vector = true},
                                          buffers, count)
                         : REAL(writev)(fd, buffers, count);
    if (passage.file != NULL)
        rules_write_end(&passage, result, vector_size(buffers, (size_t)count, result),
                        vector_first(buffers, (size_t)count, result));
    return result;
}

HOOK(ssize_t, writev, (int fd, const struct iovec *buffers, int count)) {
    if (rules_nothing_known(fd, HERE) && !annotate_on && BOUND(writev))
        return REAL(writev)(fd, buffers, count);
    return writev_carrier(fd, buffers, count, HERE);
}

APART ssize_t send_carrier(int fd, const void *buffer, size_t size, int flags, struct here here) {
    struct passage passage = rules_send_begin(fd, FROM_BUFFER(buffer, size), flags, here);
    ssize_t result = annotate_wants(fd)
                         ? annotate_write(&(struct annotate_call){.go = go_send, .fd = fd, .flags = flags},
                                          ONE_BUFFER(buffer, size))
                         : REAL(send)(fd, buffer, size, flags);
    rules_write_end(&passage, result, size, buffer);
    return result;
}

HOOK(ssize_t, send, (int fd, const void *buffer, size_t size, int flags)) {
    if (rules_nothing_known(fd, HERE) && !annotate_on && BOUND(send))
        return REAL(send)(fd, buffer, size, flags);
    return send_carrier(fd, buffer, size, flags, HERE);
}

APART ssize_t sendto_carrier(int fd, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG address,
                             socklen_t address_size, struct here here) {
    struct passage passage = rules_send_begin(fd, FROM_BUFFER(buffer, size), flags, here);
    ssize_t result = annotate_wants(fd)
                         ? annotate_write(&(struct annotate_call){.go = go_sendto,
                                                                  .fd = fd,
                                                                  .flags = flags,
                                                                  .address = &address,
                                                                  .address_size = address_size},
                                          ONE_BUFFER(buffer, size))
                         : REAL(sendto)(fd, buffer, size, flags, address, address_size);
    /* NOLINTNEXTLINE(readability-suspicious-call-argument): each size is beside what it is of. */
    rules_send_end(&passage, result, size, buffer, ANY_ADDRESS(address), address_size);
    return result;
}

HOOK(ssize_t, sendto,
     (int fd, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG address,
      socklen_t address_size)) {
    if (rules_nothing_known(fd, HERE) && !annotate_on && BOUND(sendto))
        return REAL(sendto)(fd, buffer, size, flags, address, address_size);
    return sendto_carrier(fd, buffer, size, flags, address, address_size, HERE);
}

/* A message that cannot be read is the kernel's to refuse. */
static ssize_t annotated_message(int fd, const struct msghdr *message, int flags) {
    struct msghdr copy;
    struct annotate_call call = {
        .go = go_sendmsg, .fd = fd, .flags = flags, .vector = true, .message = &copy};
    if (!kernel_peek(&copy, message, sizeof copy) || copy.msg_iovlen > IOV_MAX)
        return REAL(sendmsg)(fd, message, flags);
    return annotate_write(&call, copy.msg_iov, (int)copy.msg_iovlen);
}

/* A message to journald has one field more, which its sender is not told of. */
static ssize_t send_message(int fd, const struct msghdr *message, int flags) {
    struct journal_message journal;
    if (annotate_wants(fd))
        return annotated_message(fd, message, flags);
    if (__builtin_expect(!annotate_journal, 1) || !annotate_journal_message(message, &journal))
        return REAL(sendmsg)(fd, message, flags);
    int error = errno;
    ssize_t result = REAL(sendmsg)(fd, &journal.message, flags);
    if (result >= 0)
        return result - (ssize_t)journal.added;
    if (errno != EMSGSIZE && errno != ENOBUFS)
        return result;
    errno = error;
    return REAL(sendmsg)(fd, message, flags);
}

APART ssize_t sendmsg_carrier(int fd, const struct msghdr *message, int flags, struct here here) {
    struct passage passage = rules_send_begin(fd, (struct outgoing){.message = message}, flags, here);
    rules_rights_begin(&passage, message);
    ssize_t result = send_message(fd, message, flags);
    size_t asked = result > 0 ? vector_size(message->msg_iov, message->msg_iovlen, result) : 0;
    rules_message_sent(&passage, result, asked,
                       result > 0 ? vector_first(message->msg_iov, message->msg_iovlen, result) : NULL,
                       message);
    return result;
}

/* Descriptors go out through whatever socket. */
HOOK(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags)) {
    if (!rules_nothing_known(fd, HERE) || annotate_on || !BOUND(sendmsg))
        return sendmsg_carrier(fd, message, flags, HERE);
    ssize_t result = REAL(sendmsg)(fd, message, flags);
    if (result >= 0 && message->msg_controllen > 0)
        rules_message_sent(&(struct passage){0}, result, 0, NULL, message);
    return result;
}

HOOK(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags)) {
    struct passage passage = rules_send_begin(fd, NO_BUFFER, flags, HERE);
    int result = REAL(sendmmsg)(fd, messages, count, flags);
    rules_messages_sent(&passage, result, count, messages);
    return result;
}
