/* sendmsg, recvmsg, their kin for several messages, and descriptors in messages. */
#include "ops.h"

#include <sys/uio.h>

enum { MESSAGES = 3, PASSED_AT_MOST = 3 };

static void came_in(const struct iovec *parts, size_t count, long got) {
    for (size_t i = 0; i < count && got > 0; i++) {
        size_t size = (size_t)got < parts[i].iov_len ? (size_t)got : parts[i].iov_len;
        told_bytes("came", parts[i].iov_base, size);
        got -= (long)size;
    }
}

/* Those that came are kept: they are new numbers for what the sender has open. */
static void keep_passed(struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            noted("a descriptor came", fd);
            slot_keep(fd, PASSED, origin_new(), 0);
        }
    }
}

void receive_message(void) {
    int fd = pick_fd(STREAMS | DATAGRAMS | UDP);
    char *one = pick_buffer(), *other = pick_buffer();
    char control[CMSG_SPACE(PASSED_AT_MOST * sizeof(int))] __attribute__((aligned(8)));
    struct iovec parts[2] = {{one, below(12)}, {other, below(2000)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = one != other ? 2 : 1};
    if (chance(70))
        message.msg_control = control, message.msg_controllen = sizeof control;
    int flags = (int)ONE_OF(0, 0, 0, MSG_PEEK, MSG_CMSG_CLOEXEC, MSG_DONTWAIT);
    if (fd_blocks(fd, POLLIN))
        return;
    long got = DO(recvmsg, fd, &message, flags);
    if (got < 0)
        return;
    noted("flags", message.msg_flags);
    came_in(parts, message.msg_iovlen, got);
    keep_passed(&message);
}

void send_message(void) {
    int fd = pick_fd(STREAMS | DATAGRAMS | UDP);
    size_t size = 1 + below(1000);
    struct iovec parts[2] = {{fill_buffer(size), size}, {pick_buffer(), below(20)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1 + below(2)};
    if (!may_write(fd))
        return;
    DO(sendmsg, fd, &message, MSG_NOSIGNAL);
    has_written(fd);
}

void pass_descriptors(void) {
    int fd = pick_fd(UNIX | DATAGRAMS);
    /* No sockets: the kernel looks for circles of these, in its own time. */
    int passed[PASSED_AT_MOST] = {pick_fd(PIPE_IN | PIPE_OUT | EVENTFD), pick_fd(EVENTFD | TIMERFD | DATA),
                                  pick_fd(PIPE_IN | PIPE_OUT)};
    size_t count = 1 + below(PASSED_AT_MOST);
    char control[CMSG_SPACE(sizeof passed)] __attribute__((aligned(8))) = {0};
    struct iovec part = {"descriptors", 1 + below(11)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = slot_of(passed[i]);
        if (slot != NULL && (slot->kind & (UNIX | TCP | DATAGRAMS | UDP | LISTENER | EPOLL | PASSED)))
            return;
        memcpy(CMSG_DATA(header) + i * sizeof(int), &passed[i], sizeof(int));
    }
    if (!may_write(fd))
        return;
    DO(sendmsg, fd, &message, MSG_NOSIGNAL);
}

void receive_messages(void) {
    int fd = pick_fd(DATAGRAMS | UDP | UNIX);
    struct mmsghdr messages[MESSAGES] = {0};
    struct iovec parts[MESSAGES];
    static _Thread_local char room[MESSAGES][200];
    for (unsigned i = 0; i < MESSAGES; i++) {
        parts[i] = (struct iovec){room[i], 1 + below(sizeof room[i])};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    long got = DO(recvmmsg, fd, messages, 1 + below(MESSAGES), MSG_DONTWAIT, NULL);
    for (long i = 0; i < got; i++)
        came_in(&parts[i], 1, noted("length", messages[i].msg_len));
}

void send_messages(void) {
    int fd = pick_fd(DATAGRAMS | UNIX);
    struct mmsghdr messages[MESSAGES] = {0};
    struct iovec parts[MESSAGES];
    for (unsigned i = 0; i < MESSAGES; i++) {
        parts[i] = (struct iovec){fill_buffer(100), 1 + below(100)};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    struct slot *slot = slot_of(fd);
    if (!fd_never_blocks(fd) || (slot != NULL && (slot->kind & (TCP | UDP))))
        return;
    long sent = DO(sendmmsg, fd, messages, 1 + below(MESSAGES), MSG_NOSIGNAL);
    for (long i = 0; i < sent; i++)
        noted("sent", messages[i].msg_len);
}
