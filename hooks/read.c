/* Bytes that come in: F3, F4, F5, F7, F8, E12, F15. The fortified names do what the plain ones do (H18). */
#include "hook.h"

APART ssize_t read_carrier(int fd, void *buffer, size_t size, struct here here) {
    struct passage passage = rules_read_begin(fd, here);
    ssize_t result = REAL(read)(fd, buffer, size);
    rules_read_end(&passage, result, ONE_BUFFER(buffer, size));
    return result;
}

HOOK(ssize_t, read, (int fd, void *buffer, size_t size)) {
    if (rules_nothing_known(fd, HERE) && BOUND(read))
        return REAL(read)(fd, buffer, size);
    return read_carrier(fd, buffer, size, HERE);
}

HOOK(ssize_t, __read_chk, (int fd, void *buffer, size_t size, size_t room)) {
    struct passage passage = rules_read_begin(fd, HERE);
    ssize_t result = REAL(__read_chk)(fd, buffer, size, room);
    rules_read_end(&passage, result, ONE_BUFFER(buffer, size));
    return result;
}

APART ssize_t readv_carrier(int fd, const struct iovec *buffers, int count, struct here here) {
    struct passage passage = rules_read_begin(fd, here);
    ssize_t result = REAL(readv)(fd, buffers, count);
    rules_read_end(&passage, result, buffers, count);
    return result;
}

HOOK(ssize_t, readv, (int fd, const struct iovec *buffers, int count)) {
    if (rules_nothing_known(fd, HERE) && BOUND(readv))
        return REAL(readv)(fd, buffers, count);
    return readv_carrier(fd, buffers, count, HERE);
}

APART ssize_t recv_carrier(int fd, void *buffer, size_t size, int flags, struct here here) {
    struct passage passage = rules_receive_begin(fd, flags, here);
    ssize_t result = REAL(recv)(fd, buffer, size, flags);
    rules_read_end(&passage, result, ONE_BUFFER(buffer, size));
    return result;
}

HOOK(ssize_t, recv, (int fd, void *buffer, size_t size, int flags)) {
    if (rules_nothing_known(fd, HERE) && BOUND(recv))
        return REAL(recv)(fd, buffer, size, flags);
    return recv_carrier(fd, buffer, size, flags, HERE);
}

HOOK(ssize_t, __recv_chk, (int fd, void *buffer, size_t size, size_t room, int flags)) {
    struct passage passage = rules_receive_begin(fd, flags, HERE);
    ssize_t result = REAL(__recv_chk)(fd, buffer, size, room, flags);
    rules_read_end(&passage, result, ONE_BUFFER(buffer, size));
    return result;
}

APART ssize_t recvfrom_carrier(int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address,
                               socklen_t *address_size, struct here here) {
    struct passage passage = rules_receive_begin(fd, flags, here);
    ssize_t result = REAL(recvfrom)(fd, buffer, size, flags, address, address_size);
    rules_receive_end(&passage, result, ONE_BUFFER(buffer, size), ANY_ADDRESS(address), address_size);
    return result;
}

HOOK(ssize_t, recvfrom,
     (int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address, socklen_t *address_size)) {
    if (rules_nothing_known(fd, HERE) && BOUND(recvfrom))
        return REAL(recvfrom)(fd, buffer, size, flags, address, address_size);
    return recvfrom_carrier(fd, buffer, size, flags, address, address_size, HERE);
}

HOOK(ssize_t, __recvfrom_chk,
     (int fd, void *buffer, size_t size, size_t room, int flags, __SOCKADDR_ARG address,
      socklen_t *address_size)) {
    struct passage passage = rules_receive_begin(fd, flags, HERE);
    ssize_t result = REAL(__recvfrom_chk)(fd, buffer, size, room, flags, address, address_size);
    rules_receive_end(&passage, result, ONE_BUFFER(buffer, size), ANY_ADDRESS(address), address_size);
    return result;
}

APART ssize_t recvmsg_carrier(int fd, struct msghdr *message, int flags, struct here here) {
    struct passage passage = rules_receive_begin(fd, flags, here);
    ssize_t result = REAL(recvmsg)(fd, message, flags);
    rules_message_received(&passage, result, message);
    return result;
}

/* Descriptors come through whatever socket. */
HOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags)) {
    if (!rules_nothing_known(fd, HERE) || !BOUND(recvmsg))
        return recvmsg_carrier(fd, message, flags, HERE);
    ssize_t result = REAL(recvmsg)(fd, message, flags);
    if (result >= 0 && message->msg_controllen > 0)
        rules_message_received(&(struct passage){0}, result, message);
    return result;
}

HOOK(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)) {
    struct passage passage = rules_receive_begin(fd, flags, HERE);
    int result = REAL(recvmmsg)(fd, messages, count, flags, timeout);
    rules_messages_received(&passage, result, messages);
    return result;
}
