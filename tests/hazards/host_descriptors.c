/* H5, H6, H25, H28: every descriptor closed, numbers used again, numbers up to the last, and system calls by
 * number. */
#include "storm.h"

#include <dirent.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* --- H5 ------------------------------------------------------------------------------------------- */

/* Which of these numbers are open, as the kernel says. */
static void show_open(const char *when) {
    printf("%s:", when);
    for (int fd = 0; fd < 64; fd++)
        if (kernel_call(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0) >= 0)
            printf(" %d", fd);
    printf("\n");
}

static void close_each(void) {
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
}
static void close_by_range(void) {
    close_range(3, ~0U, 0);
}
static void close_from(void) {
    closefrom(3);
}
static void close_by_directory(void) {
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(directory))
            close(atoi(entry->d_name));
    closedir(directory);
}
static void close_raw(void) {
    kernel_call(SYS_close_range, 3, ~0U, 0, 0, 0, 0);
}
static void close_by_syscall(void) {
    for (int fd = 3; fd < 1024; fd++)
        syscall(SYS_close, fd);
}

HOST_CASE(H5, a_program_that_closes_every_descriptor) {
    static void (*const ways[])(void) = {close_each,         close_by_range, close_from,
                                         close_by_directory, close_raw,      close_by_syscall};
    show_open("at the start");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int listener = listen_somewhere(), client = raw_connect(listener),
            server = accept(listener, NULL, NULL);
        int epoll = epoll_create1(0), event = eventfd(1, 0);
        watch(epoll, EPOLL_CTL_ADD, event, EPOLLIN);
        raw_write(client, "x");
        hear(server);
        ways[i]();
        show_open("closed");
        EXPECT(storm_once() == 0);
        SHOW(open("/dev/null", O_RDONLY));
        SHOW(eventfd(0, EFD_NONBLOCK));
        SHOW(read(4, (char[8]){0}, 8));
        SHOW(epoll_create1(0));
        SHOW(pipe((int[2]){0}));
        ways[i]();
    }
}

HOST_CASE(H5, a_daemon_without_standard_streams) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        fclose(stdin);
        fclose(stderr);
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        bool first = open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2;
        fprintf(stderr, "to nobody\n");
        _exit(first && storm_once() == 0 ? 0 : 1);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(daemon(0, 1) == 0); /* from here on the parent's status is 0; what follows is only written */
    EXPECT(storm_once() == 0);
}

/* --- H6 ------------------------------------------------------------------------------------------- */

/* In a request, a number is closed where no hook sees it, and used again: nothing of it is left. */
static void expect_fresh(int number, int made) {
    EXPECT(made == number);
    ctxshim_scope empty = ctxshim_attach(NULL);
    EXPECT(hear(made) >= 0);
    EXPECT_STACK("");
    ctxshim_pop(&empty);
}

static int event_in_a_context(void) {
    int fd = eventfd(0, 0);
    ctxshim_scope old = ctxshim_push("old");
    poke(fd);
    ctxshim_pop(&old);
    return fd;
}

static int a_file(void) {
    return open("/etc/passwd", O_RDONLY);
}

static int an_event(void) {
    return eventfd(1, 0);
}

static int a_stream(void) {
    return fileno(fopen("/etc/passwd", "r"));
}

static int a_pipe(void) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    kernel_call(SYS_write, ends[1], (long)"x", 1, 0, 0, 0);
    return ends[0];
}

static int a_copy(void) {
    return dup(200);
}

CASE(H6, a_number_closed_unseen_brings_nothing) {
    static int (*const makers[])(void) = {a_file, an_event, a_stream, a_pipe, a_copy, a_copy};
    REQUIRE(dup2(a_file(), 200) == 200);
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        int fd = event_in_a_context();
        raw_close(fd);
        expect_fresh(fd, makers[i]());
    }
    int fd = event_in_a_context();
    FILE *stream = fdopen(fd, "r");
    fclose(stream);
    expect_fresh(fd, an_event());
}

/* Numbers that are given away again at once, by many threads. */
static _Atomic bool reusing;
static _Atomic long wrong_values;

static void *reuse(void *argument) {
    uint64_t mine = (uintptr_t)argument, value;
    while (atomic_load(&reusing)) {
        int fd = eventfd(0, EFD_NONBLOCK), epoll = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = mine}, got;
        bool right = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 && eventfd_write(fd, mine) == 0;
        right = right && epoll_wait(epoll, &got, 1, 1000) == 1 && got.data.u64 == mine;
        right = right && eventfd_read(fd, &value) == 0 && value == mine;
        atomic_fetch_add(&wrong_values, !right);
        close(fd);
        close(epoll);
    }
    return NULL;
}

HOST_CASE(H6, eight_threads_use_the_same_numbers) {
    pthread_t threads[8];
    atomic_store(&reusing, true);
    for (uintptr_t i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, reuse, (void *)(i + 1)) == 0);
    sleep(storm_scale(2, 30));
    atomic_store(&reusing, false);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    EXPECT(atomic_load(&wrong_values) == 0);
}

/* --- H25 ------------------------------------------------------------------------------------------ */

static long resident_pages(void) {
    long size = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    REQUIRE(statm != NULL && fscanf(statm, "%ld %ld", &size, &resident) == 2);
    fclose(statm);
    return resident;
}

/* The highest limit that this process may ask for. */
static rlim_t raise_limit(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return limit.rlim_cur;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur;
}

HOST_CASE(H25, numbers_up_to_the_last_one) {
    rlim_t limit = raise_limit();
    int last = (int)limit - 1;
    uint64_t value = 0;
    struct epoll_event event = {.events = EPOLLIN}, got;
    long before = resident_pages();
    int fd = eventfd(0, EFD_NONBLOCK), high = fcntl(fd, F_DUPFD, last), epoll = epoll_create1(0);
    SHOW(last - high);
    SHOW(dup2(fd, last) - last);
    SHOW(dup2(fd, last + 1));
    SHOW(dup2(fd, INT32_MAX));
    SHOW(close(INT32_MAX));
    SHOW(read(INT32_MAX, &value, sizeof value));
    SHOW(write(INT32_MIN, &value, sizeof value));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, last, &event));
    SHOW(eventfd_write(last, 5));
    SHOW(epoll_wait(epoll, &got, 1, 1000));
    SHOW(eventfd_read(fd, &value));
    for (int number = 5000; number < last; number += last / 64)
        EXPECT(dup2(fd, number) == number && close(number) == 0);
    SHOW(close_range(100, ~0U, 0));
    SHOW(eventfd_write(last, 5));
    SHOW(close(epoll));
    EXPECT(resident_pages() - before < 1024); /* 4 MiB: in proportion to what was used */
}

HOST_CASE(H25, no_number_left) {
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 32;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int event = eventfd(0, 0), listener = listen_somewhere(), client = raw_connect(listener);
    while (dup(0) >= 0)
        ;
    EXPECT(errno == EMFILE);
    SHOW(open("/dev/null", O_RDONLY));
    SHOW(eventfd(0, 0));
    SHOW(epoll_create1(0));
    SHOW(timerfd_create(CLOCK_MONOTONIC, 0));
    SHOW(pipe((int[2]){0}));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0}));
    SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(accept(listener, NULL, NULL));
    SHOW(fopen("/dev/null", "r") != NULL);
    SHOW(popen("true", "r") != NULL);
    SHOW(memfd_create("x", 0));
    SHOW(eventfd_write(event, 1));
    SHOW(close(client));
    SHOW(accept(listener, NULL, NULL) == client);
}

HOST_CASE(H25, thousands_of_connections) {
    enum { MANY = 8000 };
    static int servers[MANY], clients[MANY];
    int listener = listen_somewhere(), epoll = epoll_create1(0), right = 0;
    REQUIRE(raise_limit() > 2 * MANY + 100);
    for (int i = 0; i < MANY; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        watch(epoll, EPOLL_CTL_ADD, servers[i], EPOLLIN);
        raw_write(clients[i], "x");
    }
    for (int count; right < MANY;) {
        struct epoll_event events[64];
        count = epoll_wait(epoll, events, 64, 1000);
        REQUIRE(count > 0);
        for (int i = 0; i < count; i++)
            right += hear(events[i].data.fd) == 1 && write(events[i].data.fd, "y", 1) == 1;
    }
    printf("%d answered\n", right);
    for (int i = 0; i < MANY; i++)
        EXPECT(close(servers[i]) == 0);
}

/* --- H28 ------------------------------------------------------------------------------------------ */

HOST_CASE(H28, system_calls_by_number) {
    int event = (int)syscall(SYS_eventfd2, 3, EFD_NONBLOCK), two[2], word = 1, epoll = epoll_create1(0);
    uint64_t value = 0;
    char bytes[8] = "";
    struct iovec part = {bytes, sizeof bytes};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};
    struct timespec soon = {0, 1000000};
    struct epoll_event got;
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, two) == 0);
    SHOW(event);
    SHOW(syscall(SYS_read, event, &value, 8));
    SHOW(syscall(SYS_read, event, &value, 8));
    SHOW(syscall(SYS_read, event, (void *)8, 8));
    SHOW(syscall(SYS_sendmmsg, two[0], messages, 2, 0));
    SHOW(syscall(SYS_recvmmsg, two[1], messages, 2, 0, NULL));
    SHOW(syscall(SYS_recvmmsg, two[1], messages, 2, MSG_DONTWAIT, NULL));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &soon, NULL, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1));
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL, NULL,
                 0)); /* no bit: EINVAL, by the sixth */
    SHOW(syscall(SYS_epoll_pwait, epoll, &got, 1, 0, NULL, 8));
    SHOW(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) > 0);
    SHOW(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, event, 4096L));
    SHOW(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 1L)); /* EINVAL, by the sixth */
    SHOW(syscall(SYS_close, event));
    SHOW(syscall(SYS_close, event));
    SHOW(syscall(SYS_dup3, two[0], event, 0) == event);
    SHOW(syscall(SYS_getpid) == getpid());
    SHOW(syscall(SYS_gettid) == getpid());
    SHOW(syscall(SYS_write, -1, "x", 1));
    SHOW(syscall(99999));
    SHOW(syscall(-1L));
    SHOW(syscall(SYS_openat, AT_FDCWD, "/nonexistent", O_RDONLY));
    SHOW(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY) >= 0);
    SHOW(syscall(SYS_close_range, event, event, 0));
    SHOW(fcntl(event, F_GETFD));
    fflush(stdout);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        syscall(SYS_exit_group, storm_once() == 0 ? 7 : 1);
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    printf("child %d\n", WEXITSTATUS(status));
}

CASE(H28, a_number_closed_by_syscall_brings_nothing) {
    int fd = event_in_a_context();
    syscall(SYS_close, fd);
    expect_fresh(fd, a_file());
}
