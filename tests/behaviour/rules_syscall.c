/* E13, H28: syscall(3) is a door to everything, and is passed on as it is. */
#include "case.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

CASE(E13, a_request_that_is_served_through_it) {
    char buffer[64];
    int listener = listen_somewhere(), client = raw_connect(listener);
    int server = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
    REQUIRE(server >= 0);
    raw_write(client, "question");
    REQUIRE(syscall(SYS_recvfrom, server, buffer, sizeof buffer, 0, NULL, NULL) == 8);
    EXPECT_STACK("conn#1 req#1");
    REQUIRE(syscall(SYS_sendto, server, "answer", 6, MSG_NOSIGNAL, NULL, 0) == 6);
    raw_write(client, "question");
    struct iovec part = {buffer, sizeof buffer};
    REQUIRE(syscall(SYS_readv, server, &part, 1) == 8);
    EXPECT_STACK("conn#1 req#2");
    part.iov_len = 6;
    REQUIRE(syscall(SYS_writev, server, &part, 1) == 6);
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    raw_write(client, "answer");
    REQUIRE(syscall(SYS_recvmmsg, server, &message, 1, 0, NULL) == 1);
    EXPECT_STACK("conn#1 req#3");
    REQUIRE(syscall(SYS_sendmmsg, server, &message, 1, 0) == 1);
}

CASE(E13, an_eventfd_and_an_epoll_that_were_made_through_it) {
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t one = 1;
    int fd = (int)syscall(SYS_eventfd2, 0, EFD_NONBLOCK), epoll = (int)syscall(SYS_epoll_create1, 0);
    REQUIRE(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(syscall(SYS_write, fd, &one, sizeof one) == sizeof one);
    ctxshim_pop(&a);
    REQUIRE(syscall(SYS_epoll_wait, epoll, &event, 1, 1000) == 1);
    REQUIRE(syscall(SYS_read, fd, &one, sizeof one) == sizeof one);
    EXPECT_STACK("A");
    EXPECT(syscall(SYS_epoll_pwait, epoll, &event, 1, 1, NULL, 8) == 0);
    EXPECT_STACK("");
}

CASE(E13, a_timer) {
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    uint64_t count;
    int fd = (int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(syscall(SYS_timerfd_settime, fd, 0, &soon, NULL) == 0);
    ctxshim_pop(&a);
    REQUIRE(syscall(SYS_read, fd, &count, sizeof count) == sizeof count);
    EXPECT_STACK("A");
}

/* What is closed there leaves nothing to the next owner of its number (H6). */
CASE(H28, a_number_that_is_closed_there) {
    uint64_t one = 1;
    for (int way = 0; way < 3; way++) {
        int fd = eventfd(0, EFD_NONBLOCK);
        ctxshim_scope a = ctxshim_push("A");
        poke(fd);
        ctxshim_pop(&a);
        if (way == 0)
            REQUIRE(syscall(SYS_close, fd) == 0);
        else if (way == 1)
            REQUIRE(syscall(SYS_close_range, fd, fd, 0) == 0);
        else
            REQUIRE(syscall(SYS_dup3, 2, fd, O_CLOEXEC) == fd &&
                    kernel_call(SYS_close, fd, 0, 0, 0, 0, 0) == 0);
        REQUIRE(kernel_call(SYS_eventfd2, 1, 0, 0, 0, 0, 0) == fd);
        REQUIRE(read(fd, &one, sizeof one) == sizeof one);
        EXPECT_STACK("");
        raw_close(fd);
    }
}

CASE(H28, a_copy_that_is_made_there) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    int copy = (int)syscall(SYS_dup, server), other = (int)syscall(SYS_fcntl, server, F_DUPFD_CLOEXEC, 50);
    REQUIRE(copy >= 0 && other >= 50);
    raw_write(client, "question");
    hear(copy);
    EXPECT_STACK("conn#1 req#1");
    say_to(other, "answer");
    raw_write(client, "question");
    hear(server);
    EXPECT_STACK("conn#1 req#2");
}

HOST_CASE(H28, all_six_arguments_arrive) {
    char *page = (char *)syscall(SYS_mmap, NULL, 4096UL, (long)PROT_READ | PROT_WRITE,
                                 (long)MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    REQUIRE(page != MAP_FAILED);
    page[4095] = 1;
    FILE *file = tmpfile();
    REQUIRE(file != NULL && ftruncate(fileno(file), 3 * 4096) == 0);
    REQUIRE(pwrite(fileno(file), "second", 6, 4096) == 6);
    char *second = (char *)syscall(SYS_mmap, NULL, 4096UL, (long)PROT_READ, (long)MAP_PRIVATE,
                                   (long)fileno(file), 4096L);
    REQUIRE(second != MAP_FAILED && memcmp(second, "second", 6) == 0);
    int ends[2];
    struct sockaddr_un name;
    socklen_t size = sizeof name;
    char buffer[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[0], "text", 4) == 4);
    EXPECT(syscall(SYS_recvfrom, ends[1], buffer, sizeof buffer, 0L, &name, &size) == 4);
    EXPECT(size == 0);
}

HOST_CASE(H12, syscall_sets_errno_as_ever) {
    errno = 4711;
    EXPECT(syscall(SYS_getpid) == getpid() && errno == 4711);
    EXPECT(syscall(SYS_close, -1) == -1 && errno == EBADF);
    EXPECT(syscall(SYS_read, -1, NULL, 0) == -1 && errno == EBADF);
    EXPECT(syscall(100000) == -1 && errno == ENOSYS);
    EXPECT(syscall(-1) == -1 && errno == ENOSYS);
    EXPECT(syscall(SYS_write, eventfd(0, 0), (void *)16, 8L) == -1 && errno == EFAULT);
    EXPECT(syscall(SYS_clone3, NULL, 0L) == -1 && errno == EINVAL);
    errno = 4711;
    int fd = (int)syscall(SYS_eventfd2, 0, 0);
    EXPECT(fd >= 0 && syscall(SYS_close, fd) == 0 && errno == 4711);
}

HOST_CASE(H28, processes_that_begin_there) {
    int status;
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0)
        _exit(syscall(SYS_getpid) == getpid() ? 5 : 6);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);
    child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
    if (child == 0)
        _exit(7);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    uint64_t how[8] = {0, 0, 0, 0, SIGCHLD};
    child = (pid_t)syscall(SYS_clone3, how, sizeof how);
    if (child == 0)
        _exit(8);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 8);
    int fd = eventfd(1, 0);
    child = (pid_t)syscall(SYS_vfork);
    if (child == 0) { /* nothing here may push */
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
        kernel_call(SYS_exit_group, 9, 0, 0, 0, 0, 0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
    EXPECT(read(fd, (uint64_t[1]){0}, 8) == 8);
}

/* A vfork child closes numbers of its own (H4), also through this door. */
__attribute__((noinline)) static void close_in_child(int fd) {
    pid_t child = vfork();
    if (child == 0) {
        syscall(SYS_close, fd);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

CASE(H4, a_vfork_child_that_closes_through_syscall) {
    int fd = eventfd(0, EFD_NONBLOCK);
    ctxshim_scope a = ctxshim_push("A");
    poke(fd);
    ctxshim_pop(&a);
    close_in_child(fd);
    expect_reader(fd, "A");
}

/* F1: a worker may wait on a futex of its own. */
static _Atomic uint32_t turn;

static void *waits_on_futex(void *unused) {
    struct timespec moment = {0, 1000000};
    EXPECT_STACK("A");
    for (int i = 0; i < 3; i++)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 0, &moment, NULL, 0);
    EXPECT_STACK("");
    return unused;
}

CASE(E13, who_waits_on_a_futex_again_is_a_worker) {
    pthread_t thread;
    ctxshim_scope a = ctxshim_push("A");
    REQUIRE(pthread_create(&thread, NULL, waits_on_futex, NULL) == 0);
    ctxshim_pop(&a);
    pthread_join(thread, NULL);
}
