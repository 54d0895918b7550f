/* One kind of work, many times over, and what one of it costs: nanoseconds of processor time, its children's
 * too. The same program plain and preloaded tells what the shim adds.
 *
 *     costs threads COUNT     an eventfd of its own each: a write and a read, on so many threads at once
 *     costs fds COUNT         the same on one thread, by the last of so many descriptors; prints bytes for
 * each, too costs create            a thread that does nothing, created and joined costs fork              a
 * child that exits at once, and waiting for it costs exec              the same, but that it executes
 * /bin/true first
 *
 * Prints nanoseconds, and for fds bytes of memory behind them. Exit code 2: the system does not allow so
 * many. */
#include "bench.h"

#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 256, EVENTS = 400000, CHUNKS = 15, NOT_ALLOWED = 2 };

/* Of this process and its children that have ended. */
static double processor_time(void) {
    struct timespec now;
    struct rusage children;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    return (double)(now.tv_sec + children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e9 +
           (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e3 + (double)now.tv_nsec;
}

static void write_and_read(int fd, long times) {
    uint64_t value = 1;
    for (long i = 0; i < times; i++)
        if (write(fd, &value, sizeof value) != (ssize_t)sizeof value ||
            read(fd, &value, sizeof value) != (ssize_t)sizeof value || value != 1)
            complain("an eventfd");
}

/* ---- threads */

static pthread_barrier_t ready;
static long share;

static double thread_time(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *work(void *spent) {
    int fd = eventfd(0, 0);
    write_and_read(fd, 100);
    (void)pthread_barrier_wait(&ready);
    double began = thread_time();
    write_and_read(fd, share);
    *(double *)spent = thread_time() - began;
    (void)close(fd);
    return NULL;
}

static double on_threads(int count) {
    pthread_t threads[THREADS];
    double spent[THREADS];
    double all = 0;
    share = EVENTS / count;
    (void)pthread_barrier_init(&ready, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &spent[i]) != 0)
            complain("no thread");
    for (int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        all += spent[i];
    }
    return all / (double)(share * count);
}

/* ---- descriptors */

static double resident_bytes(void) {
    static char line[256];
    double kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        complain("/proc/self/status");
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtod(line + 8, NULL);
    (void)fclose(status);
    return kib * 1024;
}

static void by_descriptors(int count) {
    struct rlimit limit = {(rlim_t)count + 16, (rlim_t)count + 16};
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max >= limit.rlim_max)
        limit.rlim_max = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        exit(NOT_ALLOWED);
    int fd = eventfd(0, 0);
    write_and_read(fd, 100);
    (void)resident_bytes();
    double before = resident_bytes();
    for (int i = 1; i < count; i++)
        if ((fd = dup(fd)) < 0)
            exit(NOT_ALLOWED);
    double grown = resident_bytes() - before;
    double began = processor_time();
    write_and_read(fd, EVENTS);
    printf("%.1f %.1f\n", (processor_time() - began) / EVENTS, grown / count);
}

/* ---- threads and processes that do nothing */

static void *return_it(void *arg) {
    return arg;
}

static void create(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, return_it, NULL) != 0)
        complain("no thread");
    (void)pthread_join(thread, NULL);
}

static void child_ends(pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0)
        complain("a child");
}

static void fork_one(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    child_ends(child);
}

static void exec_one(void) {
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    child_ends(child);
}

static void start_one(void) {
    static char *const arguments[] = {"true", NULL};
    pid_t child;
    if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) != 0)
        complain("posix_spawn");
    child_ends(child);
}

static double each_of(void (*one)(void), int chunk) {
    double values[CHUNKS];
    for (int i = 0; i < chunk / 4 + 1; i++)
        one();
    for (int i = 0; i < CHUNKS; i++) {
        double began = processor_time();
        for (int j = 0; j < chunk; j++)
            one();
        values[i] = (processor_time() - began) / chunk;
    }
    return median(values, CHUNKS);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(what, "threads") == 0 && count > 0 && count <= THREADS)
        printf("%.1f\n", on_threads(count));
    else if (strcmp(what, "fds") == 0 && count > 0)
        by_descriptors(count);
    else if (strcmp(what, "create") == 0)
        printf("%.1f\n", each_of(create, 200));
    else if (strcmp(what, "fork") == 0)
        printf("%.1f\n", each_of(fork_one, 30));
    else if (strcmp(what, "exec") == 0)
        printf("%.1f\n", each_of(exec_one, 20));
    else if (strcmp(what, "start") == 0)
        printf("%.1f\n", each_of(start_one, 20));
    else
        complain("costs threads COUNT | fds COUNT | create | fork | exec | start");
    return 0;
}
