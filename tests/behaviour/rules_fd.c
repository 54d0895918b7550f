/* The life of descriptors (H5, H6, H25): a number that is used again never inherits. */
#include "case.h"

#include <stdlib.h>
#include <sys/resource.h>

static int client_fd;

/* A connection with an open question: a read of its number begins a request wherever its memory is kept. */
static int connection(void) {
    static int listener;
    if (listener == 0)
        listener = listen_somewhere();
    client_fd = raw_connect(listener);
    int server = accept(listener, NULL, NULL);
    REQUIRE(server >= 0);
    return server;
}

/* Reads from the number, which must say nothing about contexts. */
static void expect_plain(int number, int fd) {
    REQUIRE(fd == number);
    kernel_call(SYS_write, fd, (long)"x", 1, 0, 0, 0);
    lseek(fd, 0, SEEK_SET);
    expect_reader(fd, "");
    close(fd);
}

static int file_again(void) {
    return memfd_create("again", 0);
}

CASE(H6, close) {
    int fd = connection();
    close(fd);
    expect_plain(fd, file_again());
}

CASE(H6, fclose) {
    int fd = connection();
    FILE *stream = fdopen(fd, "r");
    fclose(stream);
    expect_plain(fd, file_again());
}

CASE(H6, close_range) {
    int fd = connection();
    EXPECT(close_range((unsigned)fd, (unsigned)fd, 0) == 0);
    expect_plain(fd, file_again());
}

CASE(H6, closefrom) {
    int fd = connection();
    closefrom(fd);
    expect_plain(fd, file_again());
}

CASE(H6, dup2_over_it) {
    int fd = connection(), file = file_again();
    EXPECT(dup2(file, fd) == fd);
    expect_plain(fd, fd);
}

CASE(H6, a_raw_close_and_socket) {
    int fd = connection(), pair[2];
    raw_close(fd);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pair[0] == fd);
    kernel_call(SYS_write, pair[1], (long)"x", 1, 0, 0, 0);
    EXPECT(hear(pair[0]) == 1);
    EXPECT_STACK("");
}

/* A new descriptor with something to read, made in one of the ways that there are. */
static int open_somehow(int way) {
    static const char path[] = "/proc/self/cmdline";
    char temporary[] = P_tmpdir "/ctxshim-behaviour-XXXXXX";
    int fds[2] = {-1, -1};
    switch (way) {
    case 0:
        return open(path, O_RDONLY);
    case 1:
        return openat(AT_FDCWD, path, O_RDONLY);
    case 2:
        return open64(path, O_RDONLY);
    case 3:
        return openat64(AT_FDCWD, path, O_RDONLY);
    case 4:
        return fileno(fopen(path, "r"));
    case 5:
    case 6:
        REQUIRE(way == 5 ? pipe(fds) == 0 : pipe2(fds, 0) == 0);
        kernel_call(SYS_write, fds[1], (long)"x", 1, 0, 0, 0);
        return fds[0];
    case 7:
        return eventfd(1, 0);
    case 8:
        return fileno(popen("echo x", "r"));
    case 9:
        fds[0] = mkstemp(temporary);
        unlink(temporary);
        break;
    default:
        fds[0] = fileno(tmpfile());
    }
    kernel_call(SYS_pwrite64, fds[0], (long)"x", 1, 0, 0, 0);
    return fds[0];
}

static void raw_close_and(int way) {
    int fd = connection();
    raw_close(fd);
    REQUIRE(open_somehow(way) == fd);
    expect_reader(fd, "");
}

CASE(H6, a_raw_close_and_any_call_that_opens) {
    for (int way = 0; way <= 7; way++)
        raw_close_and(way);
}

/* What libc opens inside a call of its own. */
CASE(H6, a_raw_close_and_popen) {
    raw_close_and(8);
}

CASE(H6, a_raw_close_and_mkstemp) {
    raw_close_and(9);
}

CASE(H6, a_raw_close_and_tmpfile) {
    raw_close_and(10);
}

/* Flags that the kernel refuses close nothing. */
CASE(H6, a_close_range_that_fails_changes_nothing) {
    int fd = connection();
    EXPECT(close_range((unsigned)fd, (unsigned)fd, 0x4000) == -1 && errno == EINVAL);
    EXPECT(close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC) == 0);
    EXPECT(close_range((unsigned)fd + 1, (unsigned)fd, 0) == -1 && errno == EINVAL);
    raw_write(client_fd, "question");
    EXPECT(hear(fd) == 8);
    EXPECT_STACK("conn#1 req#1");
}

HOST_CASE(H5, closing_everything) {
    int fd = eventfd(0, 0);
    poke(fd);
    closefrom(3);
    EXPECT(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
    fd = eventfd(5, 0);
    uint64_t value = 0;
    EXPECT(fd == 3 && eventfd_read(fd, &value) == 0 && value == 5);
    EXPECT(close_range(0, ~0U, 0) == 0);
    EXPECT(eventfd(0, 0) == 0);
}

CASE(H25, numbers_up_to_the_limit) {
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int highest = limit.rlim_max > 1 << 20 ? (1 << 20) - 1 : (int)limit.rlim_max - 1;
    limit.rlim_cur = (rlim_t)highest + 1;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    REQUIRE(highest > 4096);
    int fd = eventfd(0, 0);
    static const int numbers[] = {4095, 4096, 4097, 8191, 8192};
    for (size_t i = 0; i < 6; i++) {
        int number = i < 5 ? numbers[i] : highest;
        REQUIRE(dup2(fd, number) == number);
        ctxshim_scope a = ctxshim_push("A");
        poke(number);
        ctxshim_pop(&a);
        expect_reader(number, "A");
    }
    EXPECT(close_range(4096, (unsigned)highest, 0) == 0);
    EXPECT(fcntl(highest, F_GETFD) == -1);
    REQUIRE(dup2(0, highest) == highest && dup2(0, 5000) == 5000);
}

/* One thread reads and writes on descriptors that another closes and opens anew. */
static int racing_listener;
static _Atomic int racing_fd = -1;
static _Atomic bool racing;

static void *use_racing(void *unused) {
    char buffer[16];
    while (atomic_load(&racing)) {
        int fd = atomic_load(&racing_fd);
        recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        send(fd, "answer", 6, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return unused;
}

static long live_roots;

CASE(H6, close_while_others_read) {
    pthread_t threads[3];
    racing_listener = listen_somewhere();
    atomic_store(&racing, true);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, use_racing, NULL) == 0);
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 2;
    do {
        int client = raw_connect(racing_listener), server = accept(racing_listener, NULL, NULL);
        atomic_store(&racing_fd, server);
        kernel_call(SYS_write, client, (long)"question", 8, 0, 0, 0);
        for (int spin = 0; spin < 200; spin++)
            atomic_load(&racing);
        close(server);
        int other = epoll_create1(0), count = eventfd(0, EFD_NONBLOCK);
        atomic_store(&racing_fd, count);
        eventfd_write(count, 1);
        close(count);
        close(other);
        raw_close(client);
        live_roots++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    atomic_store(&racing, false);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    EXPECT(live_roots > 100);
}
