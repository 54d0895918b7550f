/* What cases about sockets from elsewhere share. The other process is this one, by system calls that the shim
 * does not see. */
#ifndef TESTS_BEHAVIOUR_STRANGERS_H
#define TESTS_BEHAVIOUR_STRANGERS_H

#include "case.h"

/* A message with one descriptor in it. */
struct parcel {
    char byte;
    struct iovec vector;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static inline struct msghdr *parcel(struct parcel *parcel, int fd) {
    *parcel = (struct parcel){.byte = 'x'};
    parcel->vector = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->vector,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof parcel->control};
    *(struct cmsghdr *)parcel->control = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA((struct cmsghdr *)parcel->control), &fd, sizeof fd);
    return &parcel->message;
}

/* Sends it through `channel`, and closes it here. */
static inline void pass(int channel, int fd) {
    struct parcel out;
    REQUIRE(kernel_call(SYS_sendmsg, channel, (long)parcel(&out, fd), 0, 0, 0, 0) == 1);
    raw_close(fd);
}

static inline int take(int channel) {
    struct parcel in;
    int fd;
    REQUIRE(recvmsg(channel, parcel(&in, -1), 0) == 1);
    memcpy(&fd, CMSG_DATA((struct cmsghdr *)in.control), sizeof fd);
    REQUIRE(fd >= 0);
    return fd;
}

static inline void raw_pair(int pair[2], int type) {
    REQUIRE(kernel_call(SYS_socketpair, AF_UNIX, type, 0, (long)pair, 0, 0) == 0);
}

/* From elsewhere: `fd`, which is closed here. */
static inline int passed(int fd) {
    int channel[2];
    raw_pair(channel, SOCK_STREAM);
    pass(channel[0], fd);
    fd = take(channel[1]);
    raw_close(channel[0]);
    raw_close(channel[1]);
    return fd;
}

/* The server's end of a connection that somebody else has accepted. */
static inline int accepted_elsewhere(int listener, int *client) {
    *client = raw_connect(listener);
    long fd = kernel_call(SYS_accept4, listener, 0, 0, 0, 0, 0);
    REQUIRE(fd >= 0);
    return (int)fd;
}

/* A socket of the network's on the loopback, unseen by the shim, and its address. */
static inline int raw_inet(int type, struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    long fd = kernel_call(SYS_socket, AF_INET, type, 0, 0, 0, 0);
    REQUIRE(fd >= 0 && kernel_call(SYS_bind, fd, (long)address, size, 0, 0, 0) == 0);
    REQUIRE(getsockname((int)fd, (struct sockaddr *)address, &size) == 0);
    return (int)fd;
}

static inline void raw_connect_to(int fd, const struct sockaddr_in *address) {
    REQUIRE(kernel_call(SYS_connect, fd, (long)address, sizeof *address, 0, 0, 0) == 0);
}

#endif
