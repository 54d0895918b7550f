/* The load client: a bounded number of requests over keep-alive connections to a server on this machine, each
 * with a marker of its own beyond the first 64 bytes, and each answer checked.
 *
 *     load --protocol=http|memcached --port P [--clients 50] [--requests 100] [--run HEX] ...
 *     load --free-port               prints a port that nothing listens on
 *     load --await --port P          returns as soon as the port answers
 *
 * One thread per client. A marker is CTXM-<run>-<number>-E; the numbers are unique over all clients. It talks
 * to 127.0.0.1 only. Exit: 0 when every answer was right, 1 at the first that was not or at the time limit, 2
 * for a bad command line. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };
enum { BUFFER = 16384, MARKER = 25, CLIENTS_MAX = 1000 };

static struct {
    char *protocol;
    int port;
    int clients;
    int requests;
    char *run;
    char *path;
    int think_us;
    int timeout;
    gboolean free_port;
    gboolean await;
} options = {.clients = 50, .requests = 100, .timeout = 30};

/* Both are 64 bytes, so that what follows lies beyond the first 64 of a request. */
#define PADDING "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
#define KEY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define VALUE "a value"

static unsigned run;
static atomic_uint done;
static atomic_bool failed;
static pthread_barrier_t all_connected;

/* One client's connection and what has arrived on it and was not taken yet. */
struct connection {
    int fd;
    size_t held;
    char bytes[BUFFER];
};

/* A protocol: writes the request for a marker, and checks the answer. Each returns false with a message. */
struct protocol {
    const char *name;
    bool (*prepare)(struct connection *connection); /* once, before the clients start; NULL: nothing to do */
    int (*request)(char *buffer, size_t size, const char *marker);
    bool (*answer)(struct connection *connection, const char *marker);
};

static bool complain(const char *what, const char *detail) {
    atomic_store(&failed, true);
    fprintf(stderr, "load: %s: %.*s\n", what, 300, detail);
    return false;
}

/* ---- Connections ---- */

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A connected socket, or -1 with errno. */
static int connect_to(int port) {
    const struct sockaddr_in address = loopback(port);
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool send_all(const struct connection *connection, const char *bytes, size_t size) {
    while (size > 0) {
        const ssize_t sent = send(connection->fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return complain("send", strerror(errno));
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Waits for more bytes. They stay a string. */
static bool receive_more(struct connection *connection) {
    if (connection->held + 1 >= sizeof connection->bytes)
        return complain("the answer is too long", connection->bytes);
    ssize_t got;
    do {
        got = recv(connection->fd, connection->bytes + connection->held,
                   sizeof connection->bytes - connection->held - 1, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return complain("recv", strerror(errno));
    if (got == 0)
        return complain("the server closed the connection", connection->bytes);
    connection->held += (size_t)got;
    connection->bytes[connection->held] = '\0';
    return true;
}

/* The end of the first line or head that ends in `end`: the offset behind it, 0 on failure. */
static size_t receive_until(struct connection *connection, const char *end) {
    const char *found;
    while ((found = strstr(connection->bytes, end)) == NULL) {
        if (!receive_more(connection))
            return 0;
    }
    return (size_t)(found - connection->bytes) + strlen(end);
}

/* Nothing may follow an answer: the next request has not been sent yet. */
static bool take_answer(struct connection *connection, size_t length) {
    if (connection->held != length)
        return complain("bytes behind the answer", connection->bytes);
    connection->held = 0;
    connection->bytes[0] = '\0';
    return true;
}

/* ---- HTTP ---- */

static int http_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size,
                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Padding: " PADDING "\r\nX-Marker: %s\r\n\r\n",
                    options.path, marker);
}

static bool http_answer(struct connection *connection, const char *marker) {
    const size_t head = receive_until(connection, "\r\n\r\n");
    if (head == 0)
        return false;
    if (strncmp(connection->bytes, "HTTP/1.1 200 ", 13) != 0)
        return complain("not an answer with status 200", connection->bytes);
    const char *const field = strcasestr(connection->bytes, "\r\nContent-Length:");
    if (field == NULL || field >= connection->bytes + head)
        return complain("an answer without Content-Length", connection->bytes);
    const size_t length = head + strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
    while (connection->held < length) {
        if (!receive_more(connection))
            return false;
    }
    const char *const echo = strstr(connection->bytes + head, "CTXM-");
    if (echo == NULL || strncmp(echo, marker, strlen(marker)) != 0 || strstr(echo + 1, "CTXM-") != NULL)
        return complain("an answer to another request", connection->bytes);
    return take_answer(connection, length);
}

/* ---- memcached ---- */

static bool expect(struct connection *connection, const char *wanted) {
    while (connection->held < strlen(wanted)) {
        if (!receive_more(connection))
            return false;
    }
    if (strcmp(connection->bytes, wanted) != 0)
        return complain("not the answer expected", connection->bytes);
    return take_answer(connection, strlen(wanted));
}

static bool memcached_prepare(struct connection *connection) {
    char request[256];
    const int length =
        snprintf(request, sizeof request, "set " KEY " 0 0 %zu\r\n" VALUE "\r\n", sizeof VALUE - 1);
    return send_all(connection, request, (size_t)length) && expect(connection, "STORED\r\n");
}

/* A meta get: the opaque (O) comes back in the answer. */
static int memcached_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size, "mg " KEY " v O%s\r\n", marker);
}

static bool memcached_answer(struct connection *connection, const char *marker) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "VA %zu O%s\r\n" VALUE "\r\n", sizeof VALUE - 1, marker);
    return expect(connection, wanted);
}

static const struct protocol protocols[] = {
    {"http", NULL, http_request, http_answer},
    {"memcached", memcached_prepare, memcached_request, memcached_answer}};

/* ---- The clients ---- */

struct client {
    pthread_t thread;
    int number;
    unsigned seed;
    const struct protocol *protocol;
    struct connection connection;
};

static bool ask_once(struct client *client, unsigned number) {
    char marker[MARKER];
    char request[BUFFER];
    snprintf(marker, sizeof marker, "CTXM-%08x-%08x-E", run, number);
    const int length = client->protocol->request(request, sizeof request, marker);
    if (length < 0 || (size_t)length >= sizeof request)
        return complain("the request is too long", options.path);
    return send_all(&client->connection, request, (size_t)length) &&
           client->protocol->answer(&client->connection, marker);
}

static void *be_client(void *data) {
    struct client *const client = data;
    client->connection.fd = connect_to(options.port);
    if (client->connection.fd < 0)
        complain("connect", strerror(errno));
    pthread_barrier_wait(&all_connected);
    for (int i = 0; i < options.requests && !atomic_load(&failed); i++) {
        if (options.think_us > 0)
            usleep((unsigned)rand_r(&client->seed) % (unsigned)options.think_us);
        if (!ask_once(client, (unsigned)(client->number * options.requests + i)))
            break;
        atomic_fetch_add(&done, 1);
    }
    if (client->connection.fd >= 0)
        close(client->connection.fd);
    return NULL;
}

static bool prepare(const struct protocol *protocol) {
    if (protocol->prepare == NULL)
        return true;
    struct connection *const connection = g_new0(struct connection, 1);
    connection->fd = connect_to(options.port);
    const bool good =
        connection->fd >= 0 ? protocol->prepare(connection) : complain("connect", strerror(errno));
    if (connection->fd >= 0)
        close(connection->fd);
    g_free(connection);
    return good;
}

/* A server that does not answer must not hold anyone up. */
static void *end_at_time_limit(void *unused) {
    (void)unused;
    sleep((unsigned)options.timeout);
    fprintf(stderr, "load: %u of %u requests after %d seconds\n", atomic_load(&done),
            (unsigned)(options.clients * options.requests), options.timeout);
    _exit(EXIT_REFUSED);
}

static int run_clients(const struct protocol *protocol) {
    struct client *const client = g_new0(struct client, options.clients);
    pthread_barrier_init(&all_connected, NULL, (unsigned)options.clients);
    for (int i = 0; i < options.clients; i++) {
        client[i].number = i;
        client[i].seed = run + (unsigned)i;
        client[i].protocol = protocol;
        if (pthread_create(&client[i].thread, NULL, be_client, &client[i]) != 0) {
            fprintf(stderr, "load: cannot start %d threads\n", options.clients);
            exit(EXIT_REFUSED);
        }
    }
    for (int i = 0; i < options.clients; i++)
        pthread_join(client[i].thread, NULL);
    g_free(client);
    printf("load: %u of %u requests done, run %08x\n", atomic_load(&done),
           (unsigned)(options.clients * options.requests), run);
    return atomic_load(&failed) ? EXIT_REFUSED : EXIT_SUCCESS;
}

/* ---- Ports ---- */

/* Below the range from which the kernel takes ports for outgoing connections, so that none of those can take
 * it between here and the server's bind(). */
static int print_free_port(void) {
    for (int tries = 0; tries < 1000; tries++) {
        const int port = 10240 + g_random_int_range(0, 20000);
        const struct sockaddr_in address = loopback(port);
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool is_free = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
        if (fd >= 0)
            close(fd);
        if (is_free) {
            printf("%d\n", port);
            return EXIT_SUCCESS;
        }
    }
    fprintf(stderr, "load: no free port\n");
    return EXIT_REFUSED;
}

static int await_port(void) {
    const struct timespec pause = {.tv_nsec = 20000000};
    for (;;) {
        const int fd = connect_to(options.port);
        if (fd >= 0) {
            close(fd);
            return EXIT_SUCCESS;
        }
        nanosleep(&pause, NULL); /* the time limit's thread ends this */
    }
}

/* ---- The command line ---- */

static bool parse_options(int *argc, char ***argv) {
    const GOptionEntry entries[] = {
        {"protocol", 0, 0, G_OPTION_ARG_STRING, &options.protocol, "http or memcached", "NAME"},
        {"port", 0, 0, G_OPTION_ARG_INT, &options.port, "Where the server listens on 127.0.0.1", "P"},
        {"clients", 0, 0, G_OPTION_ARG_INT, &options.clients, "Connections at the same time (50)", "N"},
        {"requests", 0, 0, G_OPTION_ARG_INT, &options.requests, "Requests on each connection (100)", "N"},
        {"run", 0, 0, G_OPTION_ARG_STRING, &options.run, "The run's number in the markers (by the clock)",
         "HEX"},
        {"path", 0, 0, G_OPTION_ARG_STRING, &options.path, "What to ask an HTTP server for (/)", "PATH"},
        {"think-us", 0, 0, G_OPTION_ARG_INT, &options.think_us, "Pause up to so long before each request",
         "US"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &options.timeout, "Give up after so long in all (30)", "SECONDS"},
        {"free-port", 0, 0, G_OPTION_ARG_NONE, &options.free_port, "Print a free port and exit", NULL},
        {"await", 0, 0, G_OPTION_ARG_NONE, &options.await, "Wait until the port answers and exit", NULL},
        G_OPTION_ENTRY_NULL};
    GOptionContext *const context =
        g_option_context_new("- ask a server on this machine, each time with a marker");
    GError *error = NULL;
    g_option_context_set_strict_posix(context, TRUE);
    g_option_context_add_main_entries(context, entries, NULL);
    const bool good = g_option_context_parse(context, argc, argv, &error);
    g_option_context_free(context);
    if (!good) {
        fprintf(stderr, "load: %s\n", error->message);
        g_error_free(error);
        return false;
    }
    run = options.run != NULL ? (unsigned)strtoul(options.run, NULL, 16) : g_random_int();
    if (options.path == NULL)
        options.path = g_strdup("/");
    return *argc == 1;
}

static bool in_range(void) {
    return options.port > 0 && options.port < 65536 && options.clients > 0 &&
           options.clients <= CLIENTS_MAX && options.requests > 0 && options.requests <= 1000000 &&
           options.think_us >= 0 && options.timeout > 0;
}

static const struct protocol *find_protocol(void) {
    for (size_t i = 0; i < G_N_ELEMENTS(protocols); i++) {
        if (options.protocol != NULL && strcmp(options.protocol, protocols[i].name) == 0)
            return &protocols[i];
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (!parse_options(&argc, &argv))
        return EXIT_USAGE;
    if (options.free_port)
        return print_free_port();
    const struct protocol *const protocol = find_protocol();
    if (!in_range() || (protocol == NULL && !options.await)) {
        fprintf(stderr, "load: a protocol, a port, and numbers above 0; see load --help\n");
        return EXIT_USAGE;
    }
    pthread_t limit;
    if (pthread_create(&limit, NULL, end_at_time_limit, NULL) != 0)
        return EXIT_REFUSED;
    if (options.await)
        return await_port();
    if (!prepare(protocol))
        return EXIT_REFUSED;
    return run_clients(protocol);
}
