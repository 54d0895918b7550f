/* C20 and C21: servers on real sockets that never call the API but to look. Strategy: the program knows which
 * client it serves from its own bookkeeping; the stack that it finds must say the same, at every read and
 * every write. */
#include "behaviour.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_ROOM = 64 };

static void stack_read(char stack[STACK_ROOM]) {
    CHECK(ctxshim_stack(stack, STACK_ROOM) < STACK_ROOM);
}

/* --- C20: three clients, one pooled connection behind --------------------------------------------------- */

enum { CLIENTS = 3, ROUNDS = 5, MESSAGE = 32 };

/* What the proxy knows of the request it has sent on; one at a time. */
static struct {
    int loop;
    struct watch listener, backend, clients[CLIENTS];
    int accepted, replies;
    const struct watch *asking;
    char stack[STACK_ROOM];
} proxy;

/* The reply belongs to the request, not to whoever used the connection before. */
static void backend_ready(struct watch *watch, uint32_t events) {
    char message[MESSAGE];
    (void)events;
    CHECK(proxy.asking != NULL);
    receive_all(watch->fd, message, sizeof message);
    CHECK_STACK(proxy.stack);
    send_all(proxy.asking->fd, message, sizeof message);
    CHECK_STACK(proxy.stack);
    proxy.asking = NULL;
    proxy.replies++;
}

static void client_ready(struct watch *watch, uint32_t events) {
    char message[MESSAGE];
    (void)events;
    ssize_t size = read(watch->fd, message, sizeof message);
    if (size <= 0) {
        loop_remove(proxy.loop, watch);
        close(watch->fd);
        proxy.accepted--;
        return;
    }
    CHECK(size == sizeof message && proxy.asking == NULL);
    stack_read(proxy.stack);
    CHECK(strstr(proxy.stack, " req#") != NULL);
    proxy.asking = watch;
    send_all(proxy.backend.fd, message, sizeof message);
    CHECK_STACK(proxy.stack);
}

static void proxy_accept(struct watch *watch, uint32_t events) {
    (void)events;
    struct watch *client = proxy.clients;
    while (client->fd > 0)
        client++;
    CHECK((client->fd = accept(watch->fd, NULL, NULL)) > 0);
    client->ready = client_ready;
    loop_add(proxy.loop, client, EPOLLIN);
    proxy.accepted++;
}

static void *echo_server(void *argument) {
    char message[MESSAGE];
    int fd = accept(*(int *)argument, NULL, NULL);
    ssize_t size;
    while ((size = read(fd, message, sizeof message)) > 0)
        send_all(fd, message, (size_t)size);
    close(fd);
    return NULL;
}

static void ask(int fd, int client, int round) {
    char question[MESSAGE] = "", answer[MESSAGE];
    snprintf(question, sizeof question, "%d asks %d", client, round);
    send_all(fd, question, sizeof question);
    receive_all(fd, answer, sizeof answer);
    CHECK(memcmp(question, answer, sizeof answer) == 0);
}

/* The clients take turns: a pool with one connection serves one request at a time. */
static void *ask_in_turn(void *listener) {
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_to(*(int *)listener);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CLIENTS; i++)
            ask(fds[i], i, round);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    return NULL;
}

static void *run_proxy(void *backend_listener) {
    proxy.backend = (struct watch){connect_to(*(int *)backend_listener), backend_ready, NULL};
    proxy.loop = loop_new();
    loop_add(proxy.loop, &proxy.listener, EPOLLIN);
    loop_add(proxy.loop, &proxy.backend, EPOLLIN);
    while (proxy.replies < CLIENTS * ROUNDS || proxy.accepted > 0)
        loop_turn(proxy.loop, 8);
    close(proxy.backend.fd);
    close(proxy.listener.fd);
    close(proxy.loop);
    return NULL;
}

void C20_replies_on_a_pooled_connection_belong_to_their_requests(void) {
    int backend = listener_new();
    proxy.listener = (struct watch){listener_new(), proxy_accept, NULL};
    pthread_t server = thread_start(echo_server, &backend), middle = thread_start(run_proxy, &backend);
    on_thread(ask_in_turn, &proxy.listener.fd);
    thread_join(middle);
    thread_join(server);
    close(backend);
    CHECK(proxy.replies == CLIENTS * ROUNDS);
}

/* --- C21: ten clients, a megabyte each --------------------------------------------------------------------
 */

enum { MANY = 10, CHUNK = 16 * 1024, CHUNKS = 64, BUFFER = 24 * 1000 };

/* A client's side in the server: echoes what it gets, a buffer at a time, and asks to write only when the
 * socket is full. Its buffer is smaller than a chunk and does not divide it. */
struct peer {
    struct watch watch;
    int loop;
    unsigned char *buffer;
    size_t size, sent;
    uint64_t received;
    int number;             /* which client; -1: not known yet */
    char root[STACK_ROOM];  /* the connection's part of its stack */
    char stack[STACK_ROOM]; /* of the request that is being answered */
};

static struct {
    struct peer peers[MANY];
    int accepted, open;
    uint64_t echoed;
} server;

static unsigned char byte_of(int client, uint64_t offset) {
    return (unsigned char)(client * 23 + offset / 7);
}

/* The stack is that of a request on this very connection, without any doubt. */
static void expect_own_request(struct peer *peer) {
    stack_read(peer->stack);
    size_t length = strlen(peer->root);
    CHECK(strncmp(peer->stack, peer->root, length) == 0);
    CHECK(strncmp(peer->stack + length, " req#", 5) == 0);
    CHECK(strchr(peer->stack, '?') == NULL);
}

/* What follows an answer in a batch of several may be the next one's: it is this request's, or in doubt, and
 * never another's. */
static void expect_no_other(const struct peer *peer) {
    char stack[STACK_ROOM];
    size_t length = strlen(peer->stack);
    stack_read(stack);
    CHECK(strncmp(stack, peer->stack, length) == 0);
    CHECK(stack[length] == '\0' || strcmp(stack + length, "?") == 0);
}

static void expect_own_bytes(struct peer *peer) {
    if (peer->number < 0)
        for (peer->number = 0; byte_of(peer->number, 0) != peer->buffer[0];)
            CHECK(++peer->number < MANY);
    for (size_t i = 0; i < peer->size; i++)
        CHECK(peer->buffer[i] == byte_of(peer->number, peer->received + i));
    peer->received += peer->size;
}

static void peer_write(struct peer *peer) {
    while (peer->sent < peer->size) {
        ssize_t part = send(peer->watch.fd, peer->buffer + peer->sent, peer->size - peer->sent, MSG_NOSIGNAL);
        CHECK(part > 0 || errno == EAGAIN);
        expect_no_other(peer);
        if (part < 0) {
            loop_change(peer->loop, &peer->watch, EPOLLOUT);
            return;
        }
        peer->sent += (size_t)part;
        server.echoed += (uint64_t)part;
    }
    loop_change(peer->loop, &peer->watch, EPOLLIN);
}

static void peer_ready(struct watch *watch, uint32_t events) {
    struct peer *peer = watch->argument;
    if (events & EPOLLIN) {
        ssize_t size = read(watch->fd, peer->buffer, BUFFER);
        CHECK(size >= 0);
        if (size == 0) {
            CHECK(peer->received == (uint64_t)CHUNK * CHUNKS);
            free(peer->buffer);
            close(watch->fd);
            server.open--;
            return;
        }
        peer->size = (size_t)size;
        peer->sent = 0;
        expect_own_request(peer);
        expect_own_bytes(peer);
    }
    peer_write(peer);
}

static void peer_accept(struct watch *watch, uint32_t events) {
    (void)events;
    struct peer *peer = &server.peers[server.accepted++];
    int loop = *(int *)watch->argument, size = 4096;
    *peer =
        (struct peer){.watch = {accept(watch->fd, NULL, NULL), peer_ready, peer}, .loop = loop, .number = -1};
    CHECK(peer->watch.fd >= 0 && (peer->buffer = malloc(BUFFER)) != NULL);
    CHECK(setsockopt(peer->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    snprintf(peer->root, sizeof peer->root, "conn#%d", server.accepted);
    make_nonblocking(peer->watch.fd);
    loop_add(loop, &peer->watch, EPOLLIN);
    server.open++;
}

static void *run_server(void *listener) {
    int loop = loop_new();
    struct watch watch = {*(int *)listener, peer_accept, &loop};
    loop_add(loop, &watch, EPOLLIN);
    while (server.accepted < MANY || server.open > 0)
        loop_turn(loop, 16);
    close(loop);
    return NULL;
}

static pthread_barrier_t together;

struct client {
    int number, listener;
};

/* Sends a chunk, then waits for it to come back: all ten at once. */
static void *run_client(void *argument) {
    const struct client *client = argument;
    static _Thread_local unsigned char out[CHUNK], in[CHUNK];
    int fd = connect_to(client->listener);
    pthread_barrier_wait(&together);
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        for (size_t i = 0; i < CHUNK; i++)
            out[i] = byte_of(client->number, chunk * CHUNK + i);
        send_all(fd, out, sizeof out);
        receive_all(fd, in, sizeof in);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    close(fd);
    return NULL;
}

void C21_interleaved_clients_are_never_mixed(void) {
    pthread_t threads[MANY], serving;
    struct client clients[MANY];
    int listener = listener_new();
    CHECK(pthread_barrier_init(&together, NULL, MANY) == 0);
    serving = thread_start(run_server, &listener);
    for (int i = 0; i < MANY; i++) {
        clients[i] = (struct client){i, listener};
        threads[i] = thread_start(run_client, &clients[i]);
    }
    for (int i = 0; i < MANY; i++)
        thread_join(threads[i]);
    thread_join(serving);
    close(listener);
    CHECK(server.echoed == (uint64_t)MANY * CHUNK * CHUNKS);
}
