/* A program that goes on whatever fails: libfault.c fails its calls. First one thread serves clients, and
 * says what each of its calls came back with; then threads hand work to each other until all of it has
 * arrived. Linked with the shim's own objects (-DLINKED) it says last, on stderr, whether contexts are left.
 */
#include "../../ctxstore/context.h"
#include "../../ctxstore/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((weak)) void fault_stop(void);
__attribute__((weak)) long fault_count(void);

static long shown(const char *what, long result) {
    printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
    return result;
}
#define SHOWN(call) shown(#call, (errno = 0, (long)(call)))

/* --- a server ------------------------------------------------------------------------------------------ */

enum { CLIENTS = 8, STEPS = 600 };

static int epoll, listener, wake, timer, pair[2], sockets[2];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size;

/* Clients go by the kernel alone: nothing of theirs fails. */
static int client_connect(void) {
    int fd = (int)kernel_call(SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, 0);
    kernel_call(SYS_connect, fd, (long)&address, address_size, 0, 0, 0);
    return fd;
}

static void client_ask(int fd) {
    char text[64];
    kernel_call(SYS_write, fd, (long)"a question", 10, 0, 0, 0);
    kernel_call(SYS_recvfrom, fd, (long)text, sizeof text, MSG_DONTWAIT, 0, 0);
}

/* Until it is there, or never. */
#define INSIST(fd, call)                                                                                     \
    for (int insist_times = 0; insist_times < 50 && ((fd) = (int)SHOWN(call)) < 0; insist_times++)           \
        ;

static void watch(int fd) {
    struct epoll_event event = {EPOLLIN, {.fd = fd}};
    int done = -1;
    INSIST(done, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static void serve_begin(void) {
    address_size = (socklen_t)(sizeof address.sun_family + 1 +
                               (size_t)snprintf(address.sun_path + 1, 60, "faults-%d", getpid()));
    INSIST(epoll, epoll_create1(EPOLL_CLOEXEC));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(listener, (struct sockaddr *)&address, address_size);
    listen(listener, 64);
    INSIST(wake, eventfd(0, EFD_NONBLOCK));
    INSIST(timer, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int done;
    INSIST(done, pipe2(pair, O_NONBLOCK));
    INSIST(done, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets));
    watch(listener);
    watch(wake);
    watch(timer);
    watch(pair[0]);
    watch(sockets[0]);
}

/* A request is answered by each way of writing, hands something on, and logs. */
static void answer(int fd, int step) {
    char text[32], more[32];
    struct iovec buffers[2] = {{text, 5}, {more, sizeof more}};
    struct msghdr message = {.msg_iov = buffers, .msg_iovlen = 2};
    long got = step % 3 == 0   ? SHOWN(read(fd, text, sizeof text))
               : step % 3 == 1 ? SHOWN(recv(fd, text, sizeof text, 0))
                               : SHOWN(recvmsg(fd, &message, 0));
    if (got == 0 || (got < 0 && errno == EBADF)) {
        SHOWN(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
        SHOWN(close(fd));
        return;
    }
    fprintf(stderr, "step %d\n", step);
    uint64_t one = 1;
    SHOWN(write(wake, &one, sizeof one));
    SHOWN(write(pair[1], "job", 3));
    SHOWN(writev(sockets[1], buffers, 2));
    struct itimerspec soon = {.it_value = {0, 1}};
    timerfd_settime(timer, 0, &soon, NULL);
    if (step % 2 == 0)
        SHOWN(send(fd, "an answer", 9, MSG_NOSIGNAL));
    else
        SHOWN(sendmsg(fd, &message, MSG_NOSIGNAL));
    int copy = (int)SHOWN(dup(fd));
    if (copy >= 0)
        SHOWN(close(copy));
    if (step % 50 == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(7);
        int status = 0;
        if (child > 0)
            waitpid(child, &status, 0);
        printf("fork %d %d\n", child < 0 ? errno : 0, status);
    }
}

static void handle(int fd, int step) {
    char text[64];
    if (fd == listener) {
        int accepted = (int)(step % 2 == 0 ? SHOWN(accept(listener, NULL, NULL))
                                           : SHOWN(accept4(listener, NULL, NULL, SOCK_NONBLOCK)));
        if (accepted >= 0)
            watch(accepted);
    } else if (fd == wake || fd == timer || fd == pair[0]) {
        SHOWN(read(fd, text, fd == pair[0] ? 5 : 8));
    } else if (fd == sockets[0]) {
        struct iovec buffers[2] = {{text, 3}, {text + 8, 30}};
        SHOWN(readv(fd, buffers, 2));
    } else {
        answer(fd, step);
    }
}

static void serve(void) {
    int clients[CLIENTS];
    serve_begin();
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_connect();
    for (int step = 0; step < STEPS; step++) {
        struct epoll_event events[4];
        client_ask(clients[step % CLIENTS]);
        if (step % 40 == 39) {
            kernel_call(SYS_close, clients[step / 40 % CLIENTS], 0, 0, 0, 0, 0);
            clients[step / 40 % CLIENTS] = client_connect();
        }
        int count = (int)SHOWN(epoll_wait(epoll, events, step % 4 + 1, 0));
        for (int i = 0; i < count; i++)
            handle(events[i].data.fd, step);
    }
    for (int i = 0; i < CLIENTS; i++)
        kernel_call(SYS_close, clients[i], 0, 0, 0, 0, 0);
}

/* --- threads ------------------------------------------------------------------------------------------- */

enum { WORKERS = 4, JOBS = 400 };

static sem_t jobs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int queued[JOBS], first, last;
static long sum;

static void *work(void *argument) {
    (void)argument;
    while (true) {
        while (sem_wait(&jobs) != 0)
            continue;
        pthread_mutex_lock(&lock);
        int job = first < last ? queued[first++] : -1;
        pthread_mutex_unlock(&lock);
        if (job < 0)
            return NULL;
        int fds[2];
        while (pipe2(fds, 0) != 0)
            continue;
        char byte = 'j';
        while (write(fds[1], &byte, 1) != 1)
            continue;
        while (read(fds[0], &byte, 1) != 1)
            continue;
        close(fds[0]);
        close(fds[1]);
        __atomic_fetch_add(&sum, 1, __ATOMIC_RELAXED);
    }
}

static void hand_over(void) {
    pthread_t workers[WORKERS];
    sem_init(&jobs, 0, 0);
    for (int i = 0; i < WORKERS; i++)
        while (pthread_create(&workers[i], NULL, work, NULL) != 0)
            continue;
    for (int i = 0; i < JOBS + WORKERS; i++) {
        pthread_mutex_lock(&lock);
        if (i < JOBS)
            queued[last++] = i;
        pthread_mutex_unlock(&lock);
        sem_post(&jobs);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    printf("jobs done: %ld\n", sum);
}

int main(void) {
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    serve();
    hand_over();
    if (fault_stop != NULL)
        fault_stop();
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    char nothing = 0;
    printf("end %zd\n", write(-1, &nothing, 1));
#ifdef LINKED
    fprintf(stderr, "live contexts = %zu, faults = %ld\n", context_live(),
            fault_count != NULL ? fault_count() : 0);
#endif
    return 0;
}
