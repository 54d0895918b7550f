/* An HTTP server that uses the shim's header, for the matrix: an event loop that reads requests and puts them
 * into a queue of its own, under a spin lock; worker threads take *several items per wake-up* of an eventfd,
 * and hand the answers back through a second such queue. No libc call of a queue says which item is whose:
 * the program says it, with one capture where an item is made and one attach where it is taken.
 *
 *     api-http PORT */
#include <arpa/inet.h>
#include <ctxshim.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 4096, WORKERS = 3, EVENTS = 64 };

struct item {
    struct item *next;
    ctxshim_context *context;
    int fd;
    char marker[64];
};

struct queue {
    atomic_flag lock;
    struct item *first, *last;
    int wake_up; /* an eventfd */
};

static struct queue requests, answers;

static void put(struct queue *queue, struct item *item) {
    const uint64_t one = 1;
    item->next = NULL;
    item->context = ctxshim_capture();
    while (atomic_flag_test_and_set(&queue->lock)) {
    }
    const bool was_empty = queue->first == NULL;
    *(was_empty ? &queue->first : &queue->last->next) = item;
    queue->last = item;
    atomic_flag_clear(&queue->lock);
    if (was_empty && write(queue->wake_up, &one, sizeof one) != sizeof one)
        abort();
}

static struct item *take_all(struct queue *queue) {
    while (atomic_flag_test_and_set(&queue->lock)) {
    }
    struct item *const items = queue->first;
    queue->first = queue->last = NULL;
    atomic_flag_clear(&queue->lock);
    return items;
}

/* Each item in the context in which it was put there. */
static void work_off(struct item *items, void (*work)(struct item *item)) {
    while (items != NULL) {
        struct item *const item = items;
        items = item->next;
        ctxshim_scope scope = ctxshim_attach(item->context);
        ctxshim_release(item->context);
        work(item);
        ctxshim_pop(&scope);
    }
}

/* In a worker. */
static void handle(struct item *item) {
    CTXSHIM_SCOPE("handle");
    fprintf(stderr, "%s is handled\n", item->marker);
    put(&answers, item);
}

static void *be_worker(void *unused) {
    uint64_t count;
    (void)unused;
    while (read(requests.wake_up, &count, sizeof count) == sizeof count)
        work_off(take_all(&requests), handle);
    return NULL;
}

/* In the loop. */
static void answer(struct item *item) {
    char body[128];
    char text[256];
    snprintf(body, sizeof body, "answer to %s\n", item->marker);
    const int length =
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    if (write(item->fd, text, (size_t)length) != length)
        fprintf(stderr, "an answer was cut short\n");
    free(item);
}

/* A request comes in one piece here. */
static void read_request(int fd) {
    char bytes[ROOM + 1];
    const ssize_t count = read(fd, bytes, ROOM);
    if (count <= 0) {
        close(fd);
        return;
    }
    bytes[count] = '\0';
    const char *const field = strstr(bytes, "X-Marker: ");
    struct item *const item = calloc(1, sizeof *item);
    if (item == NULL || field == NULL || sscanf(field, "X-Marker: %63s", item->marker) != 1) {
        free(item);
        close(fd);
        return;
    }
    item->fd = fd;
    CTXSHIM_SCOPE("parse");
    put(&requests, item);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        abort();
}

static int listen_at(int port) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0)
        abort();
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    const int listener = listen_at(atoi(argv[1]));
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    requests.wake_up = eventfd(0, EFD_CLOEXEC);
    answers.wake_up = eventfd(0, EFD_CLOEXEC);
    watch(epoll, listener);
    watch(epoll, answers.wake_up);
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, be_worker, NULL) != 0)
            return 1;
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        const int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            uint64_t number;
            if (events[i].data.fd == listener)
                watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            else if (events[i].data.fd != answers.wake_up)
                read_request(events[i].data.fd);
            else if (read(answers.wake_up, &number, sizeof number) == sizeof number)
                work_off(take_all(&answers), answer);
        }
    }
}
