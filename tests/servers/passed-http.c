/* An HTTP server whose workers have not accepted the connections that they serve, for the matrix. Nothing is
 * known of it to the shim but its calls.
 *
 *     passed-http loop PORT LOG      processes around epoll receive each connection in a message
 *     passed-http threads PORT LOG   processes with threads that serve one connection after the other do
 *     passed-http service FD LOG     the connection is this descriptor, as a supervisor has left it */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROOM = 4096, WORKERS = 4, THREADS = 32, EVENTS = 64 };

static int journal;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* --- one request ---------------------------------------------------------------------------------- */

static void answer(int fd, const char *marker) {
    char text[256];
    char body[128];
    int length = snprintf(text, sizeof text, "%s is answered\n", marker);
    if (write(journal, text, (size_t)length) != length)
        fail("log");
    snprintf(body, sizeof body, "answer to %s\n", marker);
    length =
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    if (write(fd, text, (size_t)length) != length)
        fprintf(stderr, "an answer was cut short\n");
}

/* A request comes in one piece here. False: there was none. */
static bool serve(int fd) {
    char bytes[ROOM + 1];
    char marker[64];
    const ssize_t count = read(fd, bytes, ROOM);
    bytes[count > 0 ? count : 0] = '\0';
    const char *const field = strstr(bytes, "X-Marker: ");
    if (field == NULL || sscanf(field, "X-Marker: %63s", marker) != 1)
        return false;
    answer(fd, marker);
    return true;
}

/* --- connections in messages ---------------------------------------------------------------------- */

struct parcel {
    char byte;
    struct iovec vector;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static struct msghdr *parcel(struct parcel *parcel) {
    parcel->byte = 'x';
    parcel->vector = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->vector,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof parcel->control};
    return &parcel->message;
}

static void pass(int channel, int fd) {
    struct parcel out;
    struct msghdr *const message = parcel(&out);
    struct cmsghdr *const control = CMSG_FIRSTHDR(message);
    *control =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
    if (sendmsg(channel, message, 0) != 1)
        fail("sendmsg");
    close(fd);
}

static int take(int channel) {
    struct parcel in;
    struct msghdr *const message = parcel(&in);
    int fd;
    if (recvmsg(channel, message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(message) == NULL)
        exit(0); /* the acceptor has gone */
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof fd);
    return fd;
}

/* --- workers -------------------------------------------------------------------------------------- */

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("watch");
}

static void work_in_loop(int channel) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, channel);
    for (;;) {
        struct epoll_event events[EVENTS];
        const int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == channel)
                watch(epoll, take(channel));
            else if (!serve(events[i].data.fd))
                close(events[i].data.fd);
        }
    }
}

static void *serve_one_by_one(void *channel) {
    for (;;) {
        const int fd = take(*(const int *)channel);
        while (serve(fd)) {
        }
        close(fd);
    }
    return channel;
}

static void work_in_threads(int channel) {
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_one_by_one, &channel) != 0)
            fail("thread");
    }
    for (;;)
        pause();
}

static int start_worker(void (*work)(int channel), int listener) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        fail("socketpair");
    const pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0) {
        close(pair[1]);
        return pair[0];
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close(listener);
    close(pair[0]);
    work(pair[1]);
    exit(0);
}

static int listen_at(int port) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0)
        fail("listen");
    return listener;
}

static void accept_for(void (*work)(int channel), int port) {
    int channels[WORKERS];
    const int listener = listen_at(port);
    for (int i = 0; i < WORKERS; i++)
        channels[i] = start_worker(work, listener);
    for (unsigned turn = 0;; turn++) {
        const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            fail("accept");
        pass(channels[turn % WORKERS], fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 4 || (journal = open(argv[3], O_WRONLY | O_APPEND | O_CREAT, 0644)) < 0) {
        fprintf(stderr, "usage: passed-http loop|threads PORT LOG, or passed-http service FD LOG\n");
        return 2;
    }
    const int number = atoi(argv[2]);
    if (strcmp(argv[1], "service") != 0)
        accept_for(strcmp(argv[1], "loop") == 0 ? work_in_loop : work_in_threads, number);
    while (serve(number)) {
    }
    return 0;
}
