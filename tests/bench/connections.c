/* A server of one epoll loop with many connections, all of them answered once and then idle but for a few at
 * a time. Prints what it has for each connection of its own (bytes of resident memory, without the file's
 * pages), and the processor time that one request costs it (nanoseconds).
 *
 *     connections COUNT REQUESTS
 *
 * The client is a child of it, with a processor of its own where there are two. A few requests are under way
 * at a time, as many whatever COUNT is, so that a wait reports as many events. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16384, AT_ONCE = 8, EVENTS = 64 };

static void complain(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

/* On one processor that is all there is to do. */
static void stay_on(int which) {
    cpu_set_t allowed;
    cpu_set_t one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed) && which-- == 0) {
            CPU_SET(i, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
        }
}

static void room_for(rlim_t descriptors) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        complain("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < descriptors || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        (void)fprintf(stderr, "connections: not so many descriptors are allowed\n");
        exit(2);
    }
}

/* ---- the client */

static int asked[MOST + 1];

static void ask(int first, int count) {
    char byte = 'q';
    for (int i = first; i < first + count; i++)
        if (write(asked[i], &byte, 1) != 1)
            complain("client: write");
    for (int i = first; i < first + count; i++)
        if (read(asked[i], &byte, 1) != 1)
            complain("client: read");
}

/* Each has one answer, then the requests go round. A byte on `go` begins either; the first comes after one
 * answer. */
static void client(const struct sockaddr_in *address, int count, long requests, int go) {
    char byte;
    stay_on(1);
    for (int i = -1; i < count; i++) { /* one before those that count: what is needed once is there then */
        int at = i < 0 ? count : i;
        asked[at] = socket(AF_INET, SOCK_STREAM, 0);
        if (asked[at] < 0 || connect(asked[at], (const struct sockaddr *)address, sizeof *address) != 0)
            complain("client: connect");
        ask(at, 1);
        if (i < 0 && read(go, &byte, 1) != 1)
            complain("client: go");
    }
    if (read(go, &byte, 1) != 1)
        complain("client: go");
    int at_once = count < AT_ONCE ? count : AT_ONCE;
    int at = 0;
    for (long done = 0; done < requests; done += at_once, at += at_once) {
        if (at + at_once > count)
            at = 0;
        ask(at, at_once);
    }
    _exit(EXIT_SUCCESS);
}

/* ---- the server */

static int epoll;
static struct epoll_event events[EVENTS];

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        complain("epoll_ctl");
}

static int answer(int fd) {
    char byte;
    ssize_t got = read(fd, &byte, 1);
    if (got == 1 && write(fd, &byte, 1) != 1)
        complain("write");
    if (got <= 0)
        (void)close(fd);
    return got == 1;
}

static void serve(int listener, long requests) {
    for (long done = 0; done < requests;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            complain("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                done += answer(events[i].data.fd);
                continue;
            }
            int fd = accept(listener, NULL, NULL);
            if (fd < 0)
                complain("accept");
            watch(fd);
        }
    }
}

/* Asked a second time, it takes no memory of its own. */
static long resident(void) {
    static char text[4096];
    FILE *status = fopen("/proc/self/status", "r");
    long kib = -1;
    if (status == NULL)
        complain("/proc/self/status");
    while (fgets(text, sizeof text, status) != NULL)
        if (strncmp(text, "RssAnon:", 8) == 0)
            kib = strtol(text + 8, NULL, 10);
    (void)fclose(status);
    return kib * 1024;
}

static double processor_time(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    int count = argc == 3 ? atoi(argv[1]) : 0;
    long requests = argc == 3 ? atol(argv[2]) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int go[2];
    if (count < 1 || count > MOST || requests < AT_ONCE) {
        (void)fprintf(stderr, "connections COUNT REQUESTS: 1 to %d, and at least %d\n", MOST, AT_ONCE);
        return 2;
    }
    room_for((rlim_t)count + 64);
    requests -= requests % (count < AT_ONCE ? count : AT_ONCE);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 4096) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        pipe(go) != 0)
        complain("listen");
    pid_t child = fork();
    if (child == 0)
        client(&address, count, requests, go[0]);
    stay_on(0);
    epoll = epoll_create1(0);
    watch(listener);
    serve(listener, 1);
    (void)resident();
    long before = resident();
    if (write(go[1], "g", 1) != 1)
        complain("go");
    serve(listener, count);
    long grown = resident() - before;
    double began = processor_time();
    if (write(go[1], "g", 1) != 1)
        complain("go");
    serve(listener, requests);
    double spent = processor_time() - began;
    printf("%d %.1f %.1f\n", count, (double)grown / count, spent / (double)requests);
    int status = 0;
    return waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
