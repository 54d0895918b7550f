/* H21: programs that shut themselves in. What the filter allows them is all that anybody in the process may
 * do: a system call of ours would be the end of it. */
#include "storm.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int status_of(pid_t child) {
    int status = -1;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

/* Nothing but read, write and the end. */
static void in_strict_mode(int server, int event, int pipe_in, int pipe_out) {
    char text[16];
    uint64_t value;
    bool right = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0;
    for (int i = 0; i < 3; i++) {
        right = right && write(event, &(uint64_t){1}, 8) == 8 && read(event, &value, 8) == 8;
        right = right && write(pipe_in, "x", 1) == 1 && read(pipe_out, text, 1) == 1;
    }
    right = right && read(server, text, sizeof text) == 8 && write(server, "answer", 6) == 6;
    right = right && read(server, (char *)text, 0) == 0;
    syscall(SYS_exit, right ? 0 : 1);
}

HOST_CASE(H21, strict_mode) {
    for (int warm = 0; warm < 2; warm++) {
        int listener = listen_somewhere(), client = raw_connect(listener), ends[2];
        REQUIRE(pipe(ends) == 0);
        if (warm)
            EXPECT(storm_once() == 0);
        raw_write(client, "question");
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            in_strict_mode(accept(listener, NULL, NULL), eventfd(0, 0), ends[1], ends[0]);
        printf("%d\n", status_of(child));
    }
}

#define ALLOW(number)                                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* A small server's: no memory, no process ids, no signal masks. Everything else is fatal. */
static void set_filter(bool by_syscall) {
    struct sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                  ALLOW(SYS_read),
                                  ALLOW(SYS_write),
                                  ALLOW(SYS_close),
                                  ALLOW(SYS_epoll_wait),
                                  ALLOW(SYS_epoll_ctl),
                                  ALLOW(SYS_accept),
                                  ALLOW(SYS_accept4),
                                  ALLOW(SYS_recvfrom),
                                  ALLOW(SYS_sendto),
                                  ALLOW(SYS_recvmsg),
                                  ALLOW(SYS_sendmsg),
                                  ALLOW(SYS_eventfd2),
                                  ALLOW(SYS_exit_group),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (by_syscall)
        REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    else
        REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* New connections, new descriptors and new contexts, more of them than any memory that was there before. */
static int serve_in_filter(int listener, int epoll) {
    int answered = 0;
    while (answered < 300) {
        struct epoll_event event;
        char text[16];
        if (epoll_wait(epoll, &event, 1, -1) != 1)
            return 1;
        if (event.data.fd == listener) {
            int server = accept4(listener, NULL, NULL, 0);
            struct epoll_event more = {.events = EPOLLIN, .data.fd = server};
            if (server < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, server, &more) != 0)
                return 2;
            continue;
        }
        struct iovec part = {text, sizeof text};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t got = answered % 2 ? recvmsg(event.data.fd, &message, 0) : recv(event.data.fd, text, 16, 0);
        if (got != 8 || send(event.data.fd, "answer", 6, 0) != 6)
            return 3;
        int fd = eventfd(1, 0);
        uint64_t value;
        if (read(fd, &value, 8) != 8 || close(fd) != 0)
            return 4;
        answered++;
    }
    return 0;
}

static void filter_and_serve(bool by_syscall) {
    int listener = listen_somewhere(), epoll = epoll_create1(0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
        set_filter(by_syscall);
        _exit(serve_in_filter(listener, epoll));
    }
    char text[16];
    int clients[50];
    for (int i = 0; i < 50; i++)
        clients[i] = raw_connect(listener);
    for (int i = 0; i < 300; i++) {
        raw_write(clients[i % 50], "question");
        if (raw_read(clients[i % 50], text, sizeof text) != 6)
            break;
    }
    printf("%d\n", status_of(child));
}

HOST_CASE(H21, a_filter_that_kills) {
    filter_and_serve(false);
}

HOST_CASE(H21, a_filter_that_kills_set_by_number) {
    filter_and_serve(true);
}
