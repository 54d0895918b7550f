/* H12, H18, H20, H23, H29, H30: results, errno and bytes of every kind of call; environments that are changed
 * or gone. */
#include "storm.h"

#include <err.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <wchar.h>

/* --- H12 ------------------------------------------------------------------------------------------ */

static int early_errno, early_result;

/* Before main, the program's own constructors look at errno, too. */
__attribute__((constructor)) static void before_main(void) {
    errno = 12345;
    early_result = close(eventfd(0, 0));
    early_errno = errno;
}

HOST_CASE(H12, before_main) {
    printf("%d %d\n", early_result, early_errno);
}

/* Not constants, or the compiler would know better. */
static char *volatile bad_pointer = (char *)8;
static volatile int no_fd = -1, no_such = 1 << 20, too_many = 2000;
static void *volatile no_pointer;

static void show_descriptors(int file) {
    char *bad = bad_pointer;
    SHOW(open("/dev/null/x", O_RDONLY));
    SHOW(open("/dev", O_RDWR));
    SHOW(open64("/nonexistent", O_RDONLY));
    SHOW(openat(no_fd, "x", O_RDONLY));
    SHOW(openat64(AT_FDCWD, "", O_RDONLY));
    SHOW(creat("/nonexistent/x", 0600));
    SHOW(creat64("/dev", 0600));
    SHOW(open(bad, O_RDONLY));
    SHOW(pipe2((int[2]){0}, -1));
    SHOW(pipe((int *)bad));
    SHOW(memfd_create("x", ~0U));
    SHOW(dup(no_fd));
    SHOW(dup2(no_fd, 50));
    SHOW(dup2(file, file) == file);
    SHOW(dup2(file, no_fd));
    SHOW(dup2(file, no_such));
    SHOW(dup3(file, file, 0));
    SHOW(dup3(file, 60, -1));
    SHOW(dup3(file, 60, O_CLOEXEC));
    SHOW(fcntl(60, F_GETFD));
    SHOW(fcntl(60, F_SETFD, 0));
    SHOW(fcntl(60, F_DUPFD, 70));
    SHOW(fcntl(60, F_DUPFD, no_such));
    SHOW(fcntl(60, F_DUPFD, -1));
    SHOW(fcntl(60, 9999, 0));
    SHOW(fcntl(60, F_GETLK, bad));
    SHOW(close(60));
    SHOW(close(60));
    SHOW(close(no_fd));
    SHOW(close_range(80, 70, 0));
    SHOW(close_range(70, 80, -1));
    SHOW(close_range(70, 80, 0));
    SHOW(lseek(0, 0, 99));
    SHOW(lseek64(no_fd, 0, SEEK_SET));
    SHOW(ftruncate(no_fd, 0));
    SHOW(fallocate(no_fd, 0, 0, 1));
    SHOW(posix_fallocate(no_fd, 0, 1));
    SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, file, 0));
    SHOW(mmap(NULL, 4096, PROT_READ, MAP_SHARED, no_fd, 0));
    SHOW(mkstemp((char[]){"no pattern"}));
    SHOW(mkostemp((char[]){"/nonexistent/XXXXXX"}, 0));
    SHOW(shm_open("/no/such", O_RDWR, 0));
    SHOW(signalfd(no_fd, no_pointer, 0));
    SHOW(inotify_init1(-1));
    SHOW(posix_openpt(-1));
}

static void show_streams(void) {
    FILE *unwritable = fopen("/dev/null", "r"), *full = fopen("/dev/full", "w");
    SHOW(fopen("/nonexistent", "r") != NULL);
    SHOW(fopen64("/dev/null", "bad") != NULL);
    SHOW(fdopen(no_fd, "r") != NULL);
    SHOW(fdopen(0, "bad") != NULL);
    SHOW(freopen("/nonexistent", "r", fopen("/dev/null", "r")) != NULL);
    SHOW(popen("true", "z") != NULL);
    SHOW(fprintf(unwritable, "x"));
    SHOW(fputs("x", unwritable));
    SHOW(fputc('x', unwritable));
    SHOW(fwrite("x", 1, 1, unwritable));
    SHOW(putw(5, unwritable));
    SHOW(fputws(L"x", fopen("/dev/null", "r")));
    SHOW(fputwc(L'x', fopen("/dev/null", "r")));
    SHOW(fwprintf(fopen("/dev/null", "r"), L"x"));
    setvbuf(full, NULL, _IONBF, 0);
    SHOW(fprintf(full, "some text\n"));
    SHOW(fputs("x\n", full));
    SHOW(fputc('\n', full));
    SHOW(fwrite("x\n", 1, 2, full));
    SHOW(fprintf(full, "%lc", (wint_t)0x7fffffff));
    SHOW(dprintf(no_fd, "x"));
    SHOW(dprintf(1, "to stdout\n"));
    SHOW(fseek(full, 0, 99));
    SHOW(fseeko(full, -1, SEEK_SET));
    SHOW(fclose(full));
    SHOW(fclose(unwritable));
    SHOW(fwrite("x", 0, 5, stdout));
    SHOW(fwrite("x", 5, 0, stdout));
    SHOW(printf("%s", ""));
    SHOW(printf("%d %s %5.2f\n", 5, "x", 1.5));
    SHOW(fputs("", stdout));
    SHOW(puts("a line"));
    SHOW(putchar('\n'));
    SHOW(fputs_unlocked("unlocked\n", stdout));
}

static void show_sockets(void) {
    char *bad = bad_pointer, byte;
    int two[2], listener = listen_somewhere(), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = 0};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two) == 0);
    SHOW(socket(99, SOCK_STREAM, 0));
    SHOW(socket(AF_UNIX, 99, 0));
    SHOW(socketpair(AF_INET, SOCK_STREAM, 0, two));
    SHOW(listen(no_fd, 1));
    SHOW(listen(two[0], 1));
    SHOW(accept(no_fd, NULL, NULL));
    SHOW(accept(two[0], NULL, NULL));
    SHOW(accept4(listener, NULL, NULL, -1));
    SHOW(connect(two[0], (struct sockaddr *)&nobody, sizeof nobody));
    SHOW(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&nobody, 1));
    SHOW(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)bad, 16));
    SHOW(recv(two[0], &byte, 1, 0));
    SHOW(recv(two[0], &byte, 0, 0));
    SHOW(recv(no_fd, &byte, 1, 0));
    SHOW(recvfrom(two[0], &byte, 1, 0, (struct sockaddr *)bad, NULL));
    SHOW(recvmsg(two[0], NULL, 0));
    SHOW(recvmmsg(two[0], NULL, 0, 0, NULL));
    SHOW(send(two[0], "x", 1, MSG_NOSIGNAL));
    SHOW(sendto(two[0], "x", 1, 0, (struct sockaddr *)&nobody, sizeof nobody));
    SHOW(sendmsg(two[0], NULL, 0));
    SHOW(sendmmsg(two[0], NULL, 0, 0));
    SHOW(sendfile(two[0], two[0], NULL, 10));
    SHOW(sendfile(two[0], no_fd, NULL, 10));
    SHOW(recv(two[1], &byte, 1, 0));
    SHOW(shutdown(two[1], SHUT_RD));
    SHOW(send(two[0], "x", 1, MSG_NOSIGNAL));
    SHOW(write(two[0], "x", 1));
    SHOW(read(timer, &byte, 1));
    SHOW(read(timer, (char[8]){0}, 8));
    SHOW(timerfd_create(99, 0));
    SHOW(timerfd_settime(timer, 0, NULL, NULL));
    SHOW(timerfd_settime(no_fd, 0, (struct itimerspec *)bad, NULL));
    SHOW(eventfd(0, 99));
    SHOW(eventfd_write(no_fd, 1));
    SHOW(eventfd_write(eventfd(0, EFD_NONBLOCK), UINT64_MAX));
    SHOW(eventfd_read(listener, (eventfd_t *)bad));
    SHOW(poll(no_pointer, 1, 0));
    SHOW(poll(NULL, 0, 0));
    SHOW(ppoll(NULL, 0, &(struct timespec){0, -1}, NULL));
    SHOW(select(-1, NULL, NULL, NULL, NULL));
    SHOW(pselect(0, NULL, NULL, NULL, &(struct timespec){0, 0}, NULL));
    SHOW(epoll_create(0));
    SHOW(epoll_create1(-1));
    SHOW(epoll_wait(listener, (struct epoll_event *)bad, 1, 0));
    SHOW(epoll_pwait2(no_fd, (struct epoll_event *)bad, 1, NULL, NULL));
}

HOST_CASE(H12, every_result_and_errno) {
    signal(SIGPIPE, SIG_IGN);
    show_descriptors(open("/dev/null", O_RDWR));
    show_streams();
    show_sockets();
}

/* --- H20 ------------------------------------------------------------------------------------------ */

static unsigned random_state = 1;
static unsigned pick(unsigned below) {
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 16) % below;
}

enum { STREAM_BYTES = 4 << 20 };
struct transfer {
    int fd;
    bool socket;
    unsigned long sum;
    long total;
    int flags;
};

static void add_up(struct transfer *transfer, const unsigned char *bytes, long count) {
    for (long i = 0; i < count; i++)
        transfer->sum = transfer->sum * 31 + bytes[i];
    transfer->total += count > 0 ? count : 0;
}

/* Reads in every way, short, in parts, with looks ahead that consume nothing. */
static void *drain(void *argument) {
    static unsigned char room[1 << 16];
    struct transfer *transfer = argument;
    unsigned seed = 7;
    for (long got = 1; got != 0;) {
        unsigned char ahead[16];
        seed = seed * 1103515245 + 12345;
        size_t size = 1 + (seed >> 16) % 4000, half = size / 2;
        struct iovec parts[3] = {{room, half}, {NULL, 0}, {room + half, size - half}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
        long looked = 0;
        if (transfer->socket && seed % 5 == 0)
            looked = recv(transfer->fd, ahead, sizeof ahead, MSG_PEEK);
        if (seed % 3 == 0)
            got = readv(transfer->fd, parts, 3);
        else if (transfer->socket && seed % 3 == 1)
            got = seed % 2 ? recvmsg(transfer->fd, &message, 0) : recv(transfer->fd, room, size, MSG_WAITALL);
        else
            got = read(transfer->fd, room, size);
        if (got == -1 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd ready = {transfer->fd, POLLIN, 0};
            poll(&ready, 1, 1000);
            continue;
        }
        REQUIRE(got >= 0);
        for (long i = 0; i < looked && i < got; i++)
            EXPECT(ahead[i] == room[i]);
        add_up(transfer, room, got);
    }
    return NULL;
}

static void pour(int fd, bool socket, struct transfer *sent) {
    static unsigned char bytes[1 << 16];
    for (int i = 0; i < (int)sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    for (long left = STREAM_BYTES; left > 0;) {
        size_t from = pick(1000), size = pick(20000), half = size / 3;
        if ((long)size > left)
            size = (size_t)left;
        half = half < size ? half : 0;
        struct iovec parts[3] = {{bytes + from, half}, {NULL, 0}, {bytes + from + half, size - half}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
        long put = pick(3) == 0 ? writev(fd, parts, 3)
                   : socket && pick(2)
                       ? (pick(2) ? sendmsg(fd, &message, 0) : send(fd, bytes + from, size, MSG_DONTWAIT))
                       : write(fd, bytes + from, size);
        if (put == -1) {
            struct pollfd ready = {fd, POLLOUT, 0};
            REQUIRE(errno == EAGAIN || errno == EINTR);
            poll(&ready, 1, 1000);
            continue;
        }
        add_up(sent, bytes + from, put);
        left -= put;
    }
}

static void transfer_through(int in, int out, bool socket, bool blocking) {
    struct transfer sent = {0}, got = {.fd = out, .socket = socket};
    pthread_t reader;
    random_state = 1;
    fcntl(in, F_SETFL, blocking ? 0 : O_NONBLOCK);
    fcntl(out, F_SETFL, blocking ? 0 : O_NONBLOCK);
    REQUIRE(pthread_create(&reader, NULL, drain, &got) == 0);
    pour(in, socket, &sent);
    close(in);
    pthread_join(reader, NULL);
    EXPECT(sent.sum == got.sum && sent.total == got.total);
    printf("%ld bytes\n", got.total);
    close(out);
}

HOST_CASE(H20, bytes_in_every_way) {
    signal(SIGUSR1, SIG_IGN);
    for (int blocking = 0; blocking < 2; blocking++) {
        int two[2], ends[2], listener = listen_somewhere();
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, two) == 0 && pipe(ends) == 0);
        transfer_through(two[0], two[1], true, blocking);
        transfer_through(ends[1], ends[0], false, blocking);
        int client = raw_connect(listener), server = accept(listener, NULL, NULL);
        transfer_through(client, server, true, blocking);
        client = raw_connect(listener), server = accept(listener, NULL, NULL);
        transfer_through(server, client, true, blocking);
    }
}

HOST_CASE(H20, datagrams_of_every_size) {
    int two[2];
    char small[4], big[64];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, two) == 0);
    SHOW(send(two[0], "0123456789", 10, 0));
    SHOW(recv(two[1], small, sizeof small, MSG_PEEK | MSG_TRUNC));
    SHOW(recv(two[1], small, sizeof small, MSG_PEEK));
    SHOW(recv(two[1], small, sizeof small, MSG_TRUNC));
    SHOW(recv(two[1], small, sizeof small, 0));
    SHOW(send(two[0], "", 0, 0));
    SHOW(write(two[0], "", 0));
    SHOW(recv(two[1], big, sizeof big, 0));
    SHOW(read(two[1], big, sizeof big));
    SHOW(read(two[1], big, 0));
    SHOW(send(two[0], "0123456789", 10, 0));
    SHOW(read(two[1], small, 0));
    SHOW(read(two[1], small, 2));
    SHOW(read(two[1], big, sizeof big));
    struct iovec parts[2] = {{small, 4}, {big, 64}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    SHOW(writev(two[0], (struct iovec[]){{(char[]){'a'}, 1}, {NULL, 0}, {(char[]){'b'}, 1}}, 3));
    SHOW(readv(two[1], parts, 2));
    SHOW(send(two[0], "0123456789", 10, 0));
    SHOW(recvmsg(two[1], &message, 0));
    printf("flags %x\n", (unsigned)message.msg_flags);
    SHOW(readv(two[1], parts, 0));
    SHOW(readv(two[1], parts, no_fd));
    SHOW(writev(two[0], parts, too_many));
    SHOW(recv(two[1], big, sizeof big, MSG_OOB));
    SHOW(send(two[0], big, (size_t)no_such * 16, 0));
}

/* --- H23, H29 ------------------------------------------------------------------------------------- */

static _Atomic bool changing;
static void *change_environment(void *unused) {
    for (unsigned i = 0; atomic_load(&changing); i++) {
        char name[32];
        snprintf(name, sizeof name, "CHANGED_%u", i % 500);
        setenv(name, "value", 1);
        setenv("CTXSHIM_OPTIONS", "verbose=1:help=1", 1);
        if (i % 500 == 499)
            clearenv();
    }
    return unused;
}

HOST_CASE(H23, the_environment_changes_under_a_storm) {
    struct storms storms;
    pthread_t changer;
    atomic_store(&changing, true);
    REQUIRE(pthread_create(&changer, NULL, change_environment, NULL) == 0);
    storms_begin(&storms, 4);
    sleep(storm_scale(1, 10));
    EXPECT(storms_end(&storms) == 0);
    atomic_store(&changing, false);
    pthread_join(changer, NULL);
}

extern char **environ;

HOST_CASE(H29, workers_whose_environment_is_gone) {
    for (int way = 0; way < 4; way++) {
        int status = -1;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            char *other[] = {"OTHER=1", NULL};
            alarm(30);
            if (way == 0)
                clearenv();
            else if (way == 1)
                environ = NULL;
            else if (way == 2)
                environ = other;
            else
                memset(environ[0], 'x', strlen(environ[0])); /* as setproctitle does */
            struct storms storms;
            storms_begin(&storms, 2);
            int bad = storm_once();
            bad += storms_end(&storms) != 0;
            _exit(bad + (way == 1 && environ != NULL));
        }
        EXPECT(waitpid(child, &status, 0) == child);
        printf("way %d: %d\n", way, status);
    }
}

/* Options are read once: a request that is served after the environment went is annotated all the same. */
CASE_WITH("annotate=stderr", H29, a_request_after_the_environment_went) {
    int ends[2], listener = listen_somewhere(), client = raw_connect(listener);
    char text[64] = "";
    clearenv();
    int server = accept(listener, NULL, NULL);
    raw_write(client, "x");
    hear(server);
    REQUIRE(pipe(ends) == 0);
    int kept = dup(2);
    dup2(ends[1], 2);
    fprintf(stderr, "a line\n");
    dup2(kept, 2);
    EXPECT(raw_read(ends[0], text, sizeof text - 1) > 0);
    EXPECT(strcmp(text, "[conn#1 req#1] a line\n") == 0);
}

/* --- H30 ------------------------------------------------------------------------------------------ */

/* Lines that libc writes from inside: as they are, and with their results and errno. */
HOST_CASE(H30, libc_writes_from_inside) {
    openlog("hazard", LOG_PERROR, LOG_USER);
    syslog(LOG_INFO, "by syslog %d", 5);
    errno = ENOENT;
    perror("perror");
    warn("by warn %d", 1);
    warnx("by warnx %d", 2);
    psignal(SIGUSR1, "psignal");
    fwprintf(fopen("/dev/stderr", "a"), L"wide %d\n", 5);
    putc('c', stderr);
    putc('\n', stderr);
    setvbuf(stdout, NULL, _IOLBF, 1024);
    printf("a line in two ");
    printf("parts\n");
    printf("no end");
    fflush(stdout);
    fflush(NULL);
    printf("\n");
    for (int i = 0; i < 3; i++) {
        fflush(stdout);
        pid_t child = fork();
        int status = -1;
        if (child == 0) {
            if (i == 0)
                err(3, "by err");
            else if (i == 1)
                errx(4, "by errx");
            printf("left in the buffer");
            exit(5);
        }
        EXPECT(waitpid(child, &status, 0) == child);
        printf("%d\n", status);
    }
}
