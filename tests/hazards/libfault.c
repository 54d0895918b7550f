/* Calls that fail as they may: a preload that stands behind the shim, so that what it does is what the shim
 * takes for the real call. FAULTS is a seed: which calls fail, and how, is told by it, the function and how
 * many times that was called, so a program that makes the same calls meets the same faults. Without it all
 * goes well; and so does all after fault_stop. What a descriptor up to 2 is for is left alone. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

void fault_stop(void);
long fault_count(void);

static uint32_t seed;
static atomic_bool on;
static atomic_long faults;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULTS");
    seed = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
    atomic_store(&on, text != NULL);
}

void fault_stop(void) {
    atomic_store(&on, false);
}

long fault_count(void) {
    return atomic_load(&faults);
}

/* A function's fault, of those in `errors` (the last is 0), SHORT among them; 0: none this time. */
enum { SHORT = -1, ONE_IN = 6 };
static int fault(atomic_uint *calls, const char *name, const int *errors) {
    uint32_t hash = seed * 2654435761U + atomic_fetch_add(calls, 1) * 2246822519U;
    unsigned count = 0;
    if (!atomic_load(&on))
        return 0;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint32_t)*name) * 16777619U;
    hash ^= hash >> 15;
    hash *= 2246822519U;
    hash ^= hash >> 13;
    while (errors[count] != 0)
        count++;
    if (hash % ONE_IN != 0)
        return 0;
    atomic_fetch_add(&faults, 1);
    return errors[hash / ONE_IN % count];
}

/* The head of each: the real function, and this call's fault. */
#define BEGIN(name, spared, ...)                                                                             \
    static __typeof__(name) *real;                                                                           \
    static atomic_uint calls;                                                                                \
    static const int errors[] = {__VA_ARGS__, 0};                                                            \
    if (real == NULL)                                                                                        \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                           \
    int error = (spared) ? 0 : fault(&calls, #name, errors)
#define FAIL                                                                                                 \
    if (error > 0) {                                                                                         \
        errno = error;                                                                                       \
        return -1;                                                                                           \
    }
#define SHORTEN(size) (error == SHORT && (size) > 1 ? (size) / 2 : (size))

#define READS EINTR, EAGAIN, EBADF, SHORT, SHORT, EIO
#define WRITES EINTR, EAGAIN, EBADF, SHORT, SHORT, ENOSPC, EPIPE
#define OPENS EMFILE, ENFILE, ENOMEM

ssize_t read(int fd, void *buffer, size_t size) {
    BEGIN(read, fd <= 2, READS);
    FAIL return real(fd, buffer, SHORTEN(size));
}

ssize_t write(int fd, const void *buffer, size_t size) {
    BEGIN(write, fd <= 2, WRITES);
    FAIL return real(fd, buffer, SHORTEN(size));
}

ssize_t readv(int fd, const struct iovec *buffers, int count) {
    BEGIN(readv, fd <= 2, READS);
    FAIL return real(fd, buffers, SHORTEN(count));
}

ssize_t writev(int fd, const struct iovec *buffers, int count) {
    BEGIN(writev, fd <= 2, WRITES);
    FAIL return real(fd, buffers, SHORTEN(count));
}

ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    BEGIN(recv, false, READS);
    FAIL return real(fd, buffer, SHORTEN(size), flags);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags) {
    BEGIN(send, false, WRITES);
    FAIL return real(fd, buffer, SHORTEN(size), flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    BEGIN(recvmsg, false, EINTR, EAGAIN, EBADF, ENOMEM);
    FAIL return real(fd, message, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    BEGIN(sendmsg, false, EINTR, EAGAIN, EBADF, ENOMEM, EPIPE);
    FAIL return real(fd, message, flags);
}

int accept(int fd, __SOCKADDR_ARG address, socklen_t *size) {
    BEGIN(accept, false, EINTR, EAGAIN, EMFILE, ECONNABORTED, ENFILE);
    FAIL return real(fd, address, size);
}

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *size, int flags) {
    BEGIN(accept4, false, EINTR, EAGAIN, EMFILE, ECONNABORTED, ENFILE);
    FAIL return real(fd, address, size, flags);
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size) {
    BEGIN(connect, false, EINTR, ECONNREFUSED, EAGAIN, ENETUNREACH);
    FAIL return real(fd, address, size);
}

int socketpair(int domain, int type, int protocol, int pair[2]) {
    BEGIN(socketpair, false, OPENS);
    FAIL return real(domain, type, protocol, pair);
}

int pipe2(int pair[2], int flags) {
    BEGIN(pipe2, false, OPENS);
    FAIL return real(pair, flags);
}

int eventfd(unsigned count, int flags) {
    BEGIN(eventfd, false, OPENS);
    FAIL return real(count, flags);
}

int timerfd_create(clockid_t clock, int flags) {
    BEGIN(timerfd_create, false, OPENS);
    FAIL return real(clock, flags);
}

int epoll_create1(int flags) {
    BEGIN(epoll_create1, false, OPENS);
    FAIL return real(flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    BEGIN(epoll_ctl, false, ENOSPC, ENOMEM, EBADF, ENOENT);
    FAIL return real(epoll, operation, fd, event);
}

/* Short here: nothing has happened in time. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    BEGIN(epoll_wait, false, EINTR, EBADF, SHORT);
    FAIL return error == SHORT ? 0 : real(epoll, events, most, timeout);
}

int dup(int fd) {
    BEGIN(dup, false, EMFILE, EBADF);
    FAIL return real(fd);
}

int dup2(int fd, int other) {
    BEGIN(dup2, false, EINTR, EBADF);
    FAIL return real(fd, other);
}

/* As on Linux, the number is free whatever close says of what was still to be written. */
int close(int fd) {
    BEGIN(close, fd <= 2, EINTR, EIO, ENOSPC);
    int result = real(fd);
    FAIL return result;
}

pid_t fork(void) {
    BEGIN(fork, false, EAGAIN, ENOMEM);
    FAIL return real();
}

int sem_wait(sem_t *semaphore) {
    BEGIN(sem_wait, false, EINTR);
    FAIL return real(semaphore);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *argument) {
    BEGIN(pthread_create, false, EAGAIN, EPERM);
    return error > 0 ? error : real(thread, attributes, body, argument);
}
