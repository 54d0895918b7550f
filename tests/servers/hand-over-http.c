/* An HTTP server that hands its requests from an event loop to four worker threads, for the matrix: in each
 * of the ways that programs have for that. Nothing is known of it to the shim but its calls.
 *
 *     hand-over-http WAY PORT LOG
 *
 * WAY: list   one queue under a mutex and a condition variable
 *      own    each worker has one of its own
 *      stages two of them, one behind the other: the second one's workers answer
 *      all    a worker takes all that is in the queue at once
 *      pipe   a pipe to each worker, with several pointers in one read
 *      spin   a list that no libc call guards; idle workers look again and again */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 4096, WORKERS = 4, EVENTS = 64, AT_ONCE = 16 };

struct item {
    struct item *next;
    int fd;
    char marker[64];
};

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct item *first, *last;
};

static struct queue queues[WORKERS];
static int pipes[WORKERS][2];
static atomic_flag spin_lock = ATOMIC_FLAG_INIT;
static struct item *spun;
static int journal;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void log_line(const struct item *item) {
    char line[128];
    const int length = snprintf(line, sizeof line, "%s is answered\n", item->marker);
    if (write(journal, line, (size_t)length) != length)
        fail("log");
}

static void answer(struct item *item) {
    char body[128];
    char text[256];
    snprintf(body, sizeof body, "answer to %s\n", item->marker);
    const int length =
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    log_line(item);
    if (write(item->fd, text, (size_t)length) != length)
        fprintf(stderr, "an answer was cut short\n");
    free(item);
}

/* --- queues under a mutex and a condition variable ------------------------------------------------ */

static void put(struct queue *queue, struct item *item) {
    pthread_mutex_lock(&queue->mutex);
    *(queue->first == NULL ? &queue->first : &queue->last->next) = item;
    queue->last = item;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

static struct item *take(struct queue *queue, bool all) {
    pthread_mutex_lock(&queue->mutex);
    while (queue->first == NULL)
        pthread_cond_wait(&queue->filled, &queue->mutex);
    struct item *const item = queue->first;
    queue->first = all ? NULL : item->next;
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

static void *take_one(void *queue) {
    for (;;)
        answer(take(queue, false));
    return queue;
}

static void *take_all(void *queue) {
    for (;;) {
        struct item *item = take(queue, true);
        while (item != NULL) {
            struct item *const next = item->next;
            answer(item);
            item = next;
        }
    }
    return queue;
}

static void *pass_on(void *queue) {
    for (;;) {
        struct item *const item = take(queue, false);
        item->next = NULL;
        log_line(item);
        put(&queues[1], item);
    }
    return queue;
}

/* --- pipes, and a list that is looked at ----------------------------------------------------------- */

static void *read_pipe(void *queue) {
    const int from = pipes[(struct queue *)queue - queues][0];
    struct item *items[AT_ONCE];
    ssize_t size;
    while ((size = read(from, items, sizeof items)) > 0)
        for (size_t i = 0; i < (size_t)size / sizeof *items; i++)
            answer(items[i]);
    return NULL;
}

static void write_pipe(struct item *item) {
    static unsigned turn;
    if (write(pipes[turn++ % WORKERS][1], &item, sizeof(struct item *)) != sizeof(struct item *))
        fail("pipe");
}

static void lock_spinning(void) {
    while (atomic_flag_test_and_set(&spin_lock)) {
    }
}

static void *look_again(void *unused) {
    for (;;) {
        lock_spinning();
        struct item *const item = spun;
        spun = item != NULL ? item->next : NULL;
        atomic_flag_clear(&spin_lock);
        if (item == NULL)
            usleep(200);
        else
            answer(item);
    }
    return unused;
}

static void leave(struct item *item) {
    lock_spinning();
    item->next = spun;
    spun = item;
    atomic_flag_clear(&spin_lock);
}

static void put_into_one(struct item *item) {
    put(&queues[0], item);
}

static void put_by_turns(struct item *item) {
    static unsigned turn;
    put(&queues[turn++ % WORKERS], item);
}

/* --- the event loop ------------------------------------------------------------------------------- */

static const struct way {
    const char *name;
    void (*hand_over)(struct item *item);
    void *(*work)(void *queue);
    int queues; /* among how many the workers are divided */
} ways[] = {{"list", put_into_one, take_one, 1},      {"own", put_by_turns, take_one, WORKERS},
            {"stages", put_into_one, pass_on, 2},     {"all", put_into_one, take_all, 1},
            {"pipe", write_pipe, read_pipe, WORKERS}, {"spin", leave, look_again, 1}};

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("watch");
}

/* A request comes in one piece here. */
static void read_request(const struct way *way, int fd) {
    char bytes[ROOM + 1];
    const ssize_t count = read(fd, bytes, ROOM);
    bytes[count > 0 ? count : 0] = '\0';
    const char *const field = strstr(bytes, "X-Marker: ");
    struct item *const item = calloc(1, sizeof *item);
    if (item == NULL || field == NULL || sscanf(field, "X-Marker: %63s", item->marker) != 1) {
        free(item);
        close(fd);
        return;
    }
    item->fd = fd;
    way->hand_over(item);
}

static void begin_workers(const struct way *way) {
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;
        pthread_mutex_init(&queues[i].mutex, NULL);
        pthread_cond_init(&queues[i].filled, NULL);
        if (pipe2(pipes[i], O_CLOEXEC) != 0)
            fail("pipe");
        const int queue = i % way->queues;
        void *(*const work)(void *) = way->work == pass_on && queue == 1 ? take_one : way->work;
        if (pthread_create(&thread, NULL, work, &queues[queue]) != 0)
            fail("thread");
    }
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

int main(int argc, char **argv) {
    const struct way *way = ways;
    const struct way *const end = ways + sizeof ways / sizeof ways[0];
    while (argc == 4 && way < end && strcmp(way->name, argv[1]) != 0)
        way++;
    if (argc != 4 || way == end || (journal = open(argv[3], O_WRONLY | O_APPEND | O_CREAT, 0644)) < 0) {
        fprintf(stderr, "usage: hand-over-http list|own|stages|all|pipe|spin PORT LOG\n");
        return 2;
    }
    const int listener = listen_at(atoi(argv[2]));
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    begin_workers(way);
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        const int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            else
                read_request(way, events[i].data.fd);
        }
    }
}
