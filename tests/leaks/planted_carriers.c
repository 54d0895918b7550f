/* Pooled connections, queues and registrations: see planted.h. */
#include "planted.h"

#include "../../ctxstore/kernel.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

/* --- pooled connections ----------------------------------------------------------------------------------
 */

static int backend_connect(void) {
    const struct sockaddr *to = (struct sockaddr *)&server_address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, to, sizeof server_address); /* HERE pool_connected */
    need(result == 0, "connect");
    return fd;
}

void pool_connected(bool leak) {
    struct served served = serve();
    int backend = backend_connect();
    finish(&served);
    if (!leak)
        close(backend);
}

void pool_asked(bool leak) {
    struct served served = serve();
    int backend = backend_connect();
    need(write(backend, "ask", 3) == 3, "ask"); /* HERE pool_asked */
    finish(&served);
    if (!leak)
        close(backend);
}

void pool_answered(bool leak) {
    char byte[8];
    struct served served = serve();
    int backend = backend_connect();
    int far = (int)kernel_call(SYS_accept, listener, 0, 0, 0, 0, 0);
    need(write(backend, "ask", 3) == 3, "ask"); /* HERE pool_answered */
    kernel_call(SYS_write, far, (long)"reply", 5, 0, 0, 0);
    need(read(backend, byte, sizeof byte) == 5, "reply");
    finish(&served);
    if (!leak)
        close(backend);
}

void pool_of_several(bool leak) {
    enum { POOL = 3 };
    int backend[POOL];
    for (int i = 0; i < POOL; i++) {
        struct served served = serve();
        backend[i] = socket(AF_INET, SOCK_STREAM, 0);
        connect(backend[i], (struct sockaddr *)&server_address, sizeof server_address);
        ssize_t asked = write(backend[i], "ask", 3); /* HERE pool_of_several */
        kernel_call(SYS_close, (int)kernel_call(SYS_accept, listener, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0);
        need(asked == 3, "ask");
        finish(&served);
    }
    for (int i = 0; i < POOL && !leak; i++)
        close(backend[i]);
}

void pool_by_ipv6(bool leak) {
    struct sockaddr_in6 far_address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *to = (struct sockaddr *)&far_address;
    socklen_t size = sizeof far_address;
    int far = (int)kernel_call(SYS_socket, AF_INET6, SOCK_STREAM, 0, 0, 0, 0);
    kernel_call(SYS_bind, far, (long)to, size, 0, 0, 0);
    kernel_call(SYS_listen, far, 8, 0, 0, 0, 0);
    kernel_call(SYS_getsockname, far, (long)to, (long)&size, 0, 0, 0);
    struct served served = serve();
    int backend = socket(AF_INET6, SOCK_STREAM, 0);
    int result = connect(backend, to, size); /* HERE pool_by_ipv6 */
    need(result == 0, "connect");
    finish(&served);
    if (!leak)
        close(backend);
}

/* --- queues ----------------------------------------------------------------------------------------------
 */

void eventfd_queued(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, 0);
    struct served served = serve();
    eventfd_write(wake, 1); /* HERE eventfd_queued */
    finish(&served);
    if (!leak)
        eventfd_read(wake, &value);
}

void eventfd_semaphore(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, EFD_SEMAPHORE);
    struct served served = serve();
    eventfd_write(wake, 2); /* HERE eventfd_semaphore */
    finish(&served);
    eventfd_read(wake, &value);
    if (!leak)
        eventfd_read(wake, &value);
}

static void *wake_from_thread(void *wake) {
    uint64_t one = 1;
    need(write(*(int *)wake, &one, sizeof one) == sizeof one, "wake"); /* HERE eventfd_of_thread */
    return NULL;
}

void eventfd_of_thread(bool leak) {
    pthread_t thread;
    int wake = eventfd(0, 0);
    struct served served = serve();
    pthread_create(&thread, NULL, wake_from_thread, &wake);
    pthread_join(thread, NULL);
    finish(&served);
    if (!leak)
        close(wake);
}

void pipe_unread(bool leak) {
    char byte[8];
    int ends[2];
    need(pipe(ends) == 0, "pipe");
    struct served served = serve();
    need(write(ends[1], "job", 3) == 3, "job"); /* HERE pipe_unread */
    finish(&served);
    if (!leak)
        need(read(ends[0], byte, sizeof byte) == 3, "job");
}

void socketpair_unread(bool leak) {
    char byte[8];
    int ends[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    struct served served = serve();
    need(send(ends[1], "job", 3, 0) == 3, "job"); /* HERE socketpair_unread */
    finish(&served);
    if (!leak)
        need(recv(ends[0], byte, sizeof byte, 0) == 3, "job");
}

/* What wakes an edge-triggered loop, and is never read, makes room for the next. */
void eventfd_never_read(bool leak) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epoll = epoll_create1(0), wake = eventfd(0, 0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event);
    struct served served = serve();
    eventfd_write(wake, 1); /* HERE eventfd_never_read */
    finish(&served);
    if (!leak)
        need(epoll_wait(epoll, &event, 1, -1) == 1, "epoll");
}

void datagram_asked(bool leak) {
    char byte[8];
    struct sockaddr_in far_address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t size = sizeof far_address;
    int far = (int)kernel_call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
    kernel_call(SYS_bind, far, (long)&far_address, sizeof far_address, 0, 0, 0);
    kernel_call(SYS_getsockname, far, (long)&far_address, (long)&size, 0, 0, 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct served served = serve();
    const struct sockaddr *to = (struct sockaddr *)&far_address;
    ssize_t asked = sendto(fd, "ask", 3, 0, to, size); /* HERE datagram_asked */
    need(asked == 3, "ask");
    finish(&served);
    if (leak)
        return;
    need(kernel_call(SYS_recvfrom, far, (long)byte, sizeof byte, 0, (long)&from, (long)&size) == 3, "asked");
    kernel_call(SYS_sendto, far, (long)"reply", 5, 0, (long)&from, size);
    need(recv(fd, byte, sizeof byte, 0) == 5, "reply");
}

/* --- queues between threads ------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static int items, done;
static bool closed;

static NOINLINE void item_put(void) {
    pthread_mutex_lock(&mutex);
    items++;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&mutex); /* HERE queue_item */
}

static NOINLINE bool item_take(void) {
    pthread_mutex_lock(&mutex);
    while (items == 0)
        pthread_cond_wait(&not_empty, &mutex);
    items--;
    pthread_mutex_unlock(&mutex);
    return true;
}

static void *consume(void *nothing) {
    while (item_take()) {
        __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST))
            kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
    return nothing;
}

static void wait_done(int count) {
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < count)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    poll(NULL, 0, 2); /* and asleep again */
}

/* The shim knows a queue after some hand-offs; then the consumer is busy with something else for ever. The
 * last client goes away unanswered: had it an answer, then the item would not be what we take it for. */
void queue_item(bool leak) {
    enum { LEARNT = 64 };
    pthread_t thread;
    pthread_create(&thread, NULL, consume, NULL);
    poll(NULL, 0, 5);
    for (int i = 0; i < LEARNT; i++) {
        struct served served = serve();
        item_put();
        wait_done(i + 1);
        finish(&served);
    }
    __atomic_store_n(&closed, leak, __ATOMIC_SEQ_CST);
    item_put();
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < LEARNT + 1)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    struct served served = serve();
    item_put();
    if (!leak)
        wait_done(LEARNT + 2);
    close(served.connection);
}

/* --- registrations ---------------------------------------------------------------------------------------
 */

void epoll_registered(bool leak) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), watch = inotify_init1(0);
    struct served served = serve();
    epoll_ctl(epoll, EPOLL_CTL_ADD, watch, &event); /* HERE epoll_registered */
    finish(&served);
    if (!leak)
        epoll_ctl(epoll, EPOLL_CTL_DEL, watch, NULL);
}

void epoll_modified(bool leak) {
    struct epoll_event event = {.events = 0};
    int epoll = epoll_create1(0), watch = inotify_init1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, watch, &event);
    struct served served = serve();
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_MOD, watch, &event); /* HERE epoll_modified */
    finish(&served);
    if (!leak)
        close(watch);
}
