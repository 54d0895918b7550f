/* The load client: a bounded number of requests over keep-alive connections to a server on this machine, each
 * with a marker of its own beyond the first 64 bytes, and each answer checked.
 *
 *     load --protocol=NAME --port P [--clients 50] [--requests 100] [--run HEX] ...
 *     load --make-files DIRECTORY --run HEX    makes what the protocol "file" asks for: a file for each
 * marker load --free-port                         prints a port that nothing listens on load --await --port P
 * returns as soon as the port answers
 *
 * One thread per client. A marker is CTXM-<run>-<number>-E; the numbers are unique over all clients, unless
 * --seconds lets them ask again and again: that is for measuring, not for judging. It talks to 127.0.0.1
 * only. Exit: 0 when every answer was right, 1 at the first that was not or at the time limit, 2 for a bad
 * command line. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };
enum { CLIENTS_MAX = 1000, FILE_SIZE = 4096 };

static struct {
    char *protocol;
    int port;
    int clients;
    int requests;
    double seconds;
    char *run;
    char *path;
    char *make_files;
    int think_us;
    int timeout;
    gboolean free_port;
    gboolean await;
} options = {.clients = 50, .requests = 100, .timeout = 30};

static unsigned run;
static atomic_uint done;
static atomic_bool failed;
static pthread_barrier_t all_connected;

bool complain(const char *what, const char *detail) {
    atomic_store(&failed, true);
    fprintf(stderr, "load: %s: %.*s\n", what, 300, detail);
    return false;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- The clients ---- */

struct client {
    pthread_t thread;
    int number;
    unsigned seed;
    const struct protocol *protocol;
    struct connection connection;
};

static void make_marker(char marker[MARKER], unsigned number) {
    snprintf(marker, MARKER, "CTXM-%08x-%08x-E", run, number);
}

static bool ask_once(struct client *client, unsigned number) {
    char marker[MARKER];
    char request[BUFFER];
    make_marker(marker, number);
    const int length = client->protocol->request(request, sizeof request, marker);
    if (length < 0 || (size_t)length >= sizeof request)
        return complain("the request is too long", load_path);
    return send_all(&client->connection, request, (size_t)length) &&
           client->protocol->answer(&client->connection, marker);
}

static bool open_connection(struct connection *connection, const struct protocol *protocol) {
    connection->fd = connect_to(options.port, protocol->datagrams);
    if (connection->fd < 0)
        return complain("connect", strerror(errno));
    return protocol->greet == NULL || protocol->greet(connection);
}

/* How long answers took, in buckets each two thousandths wider than the last: enough for a percentile. */
enum { BUCKETS = 8192 };
static const double wider = 1.002;
static atomic_uint took_so_long[BUCKETS];

static double bucket_end(int bucket) {
    return pow(wider, bucket + 1);
}

static void note_time(double microseconds) {
    const int bucket = microseconds > 1 ? (int)(log(microseconds) / log(wider)) : 0;
    atomic_fetch_add_explicit(&took_so_long[bucket < BUCKETS ? bucket : BUCKETS - 1], 1,
                              memory_order_relaxed);
}

/* Microseconds within which that share of the answers came. */
static double share_within(double share, unsigned count) {
    unsigned seen = 0;
    int bucket = 0;
    while (bucket < BUCKETS - 1 && (seen += atomic_load(&took_so_long[bucket])) < share * count)
        bucket++;
    return bucket_end(bucket);
}

static void *be_client(void *data) {
    struct client *const client = data;
    open_connection(&client->connection, client->protocol);
    pthread_barrier_wait(&all_connected);
    const double end = now() + options.seconds;
    for (int i = 0; !atomic_load(&failed) && (options.seconds > 0 ? now() < end : i < options.requests);
         i++) {
        if (options.think_us > 0)
            usleep((unsigned)rand_r(&client->seed) % (unsigned)options.think_us);
        const double asked = now();
        if (!ask_once(client, (unsigned)(client->number * options.requests + i % options.requests)))
            break;
        note_time((now() - asked) * 1e6);
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
    const bool good = open_connection(connection, protocol) && protocol->prepare(connection);
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
    pthread_barrier_init(&all_connected, NULL, (unsigned)options.clients + 1);
    for (int i = 0; i < options.clients; i++) {
        client[i].number = i;
        client[i].seed = run + (unsigned)i;
        client[i].protocol = protocol;
        if (pthread_create(&client[i].thread, NULL, be_client, &client[i]) != 0) {
            fprintf(stderr, "load: cannot start %d threads\n", options.clients);
            exit(EXIT_REFUSED);
        }
    }
    pthread_barrier_wait(&all_connected);
    const double began = now();
    for (int i = 0; i < options.clients; i++)
        pthread_join(client[i].thread, NULL);
    const double took = now() - began;
    g_free(client);
    const unsigned count = atomic_load(&done);
    printf("load: %u of %u requests done, run %08x, %.0f/s\n", count,
           options.seconds > 0 ? count : (unsigned)(options.clients * options.requests), run, count / took);
    printf("half within %.0f us, 99 of 100 within %.0f us\n", share_within(0.5, count),
           share_within(0.99, count));
    return atomic_load(&failed) ? EXIT_REFUSED : EXIT_SUCCESS;
}

/* ---- Files ---- */

/* A marker, and lines of text behind it. */
static int make_files(void) {
    static char text[FILE_SIZE + 1];
    memset(text, 'x', FILE_SIZE);
    for (int i = 63; i < FILE_SIZE; i += 64)
        text[i] = '\n';
    char *const directory = g_build_filename(options.make_files, PADDING, NULL);
    bool good = g_mkdir_with_parents(directory, 0755) == 0;
    for (int i = 0; good && i < options.clients * options.requests; i++) {
        char marker[MARKER];
        make_marker(marker, (unsigned)i);
        memcpy(text, marker, MARKER - 1);
        char *const path = g_build_filename(directory, marker, NULL);
        FILE *const file = g_fopen(path, "w");
        good = file != NULL && fwrite(text, 1, FILE_SIZE, file) == FILE_SIZE;
        good = (file == NULL || fclose(file) == 0) && good;
        g_free(path);
    }
    if (!good)
        complain("cannot make files", directory);
    g_free(directory);
    return good ? EXIT_SUCCESS : EXIT_REFUSED;
}

/* ---- Ports ---- */

/* Below the range from which the kernel takes ports for outgoing connections, so that none of those can take
 * it between here and the server's bind(). */
static bool is_free(int port, int type) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    const bool good = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static int print_free_port(void) {
    for (int tries = 0; tries < 1000; tries++) {
        const int port = 10240 + g_random_int_range(0, 20000);
        if (is_free(port, SOCK_STREAM) && is_free(port, SOCK_DGRAM)) {
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
        const int fd = connect_to(options.port, false);
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
        {"protocol", 0, 0, G_OPTION_ARG_STRING, &options.protocol,
         "http, file, memcached, memcached-udp, redis, postgres or dns", "NAME"},
        {"port", 0, 0, G_OPTION_ARG_INT, &options.port, "Where the server listens on 127.0.0.1", "P"},
        {"clients", 0, 0, G_OPTION_ARG_INT, &options.clients, "Connections at the same time (50)", "N"},
        {"requests", 0, 0, G_OPTION_ARG_INT, &options.requests, "Requests on each connection (100)", "N"},
        {"seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds,
         "Ask for so long instead, with the same markers again", "S"},
        {"run", 0, 0, G_OPTION_ARG_STRING, &options.run, "The run's number in the markers (by the clock)",
         "HEX"},
        {"path", 0, 0, G_OPTION_ARG_STRING, &options.path, "What to ask an HTTP server for (/)", "PATH"},
        {"think-us", 0, 0, G_OPTION_ARG_INT, &options.think_us, "Pause up to so long before each request",
         "US"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &options.timeout, "Give up after so long in all (30)", "SECONDS"},
        {"make-files", 0, 0, G_OPTION_ARG_FILENAME, &options.make_files,
         "Make the files that the requests will ask for, and exit", "DIRECTORY"},
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
    if (options.path != NULL)
        load_path = options.path;
    return *argc == 1;
}

static bool in_range(void) {
    return options.clients > 0 && options.clients <= CLIENTS_MAX && options.requests > 0 &&
           options.requests <= 1000000 && options.seconds >= 0 && options.think_us >= 0 &&
           options.timeout > 0;
}

int main(int argc, char **argv) {
    if (!parse_options(&argc, &argv))
        return EXIT_USAGE;
    if (options.free_port)
        return print_free_port();
    const struct protocol *const protocol = protocol_named(options.protocol);
    const bool asks = options.make_files == NULL;
    if (!in_range() || (asks && (options.port <= 0 || options.port > 65535)) ||
        (asks && protocol == NULL && !options.await)) {
        fprintf(stderr, "load: a protocol, a port, and numbers above 0; see load --help\n");
        return EXIT_USAGE;
    }
    if (!asks)
        return make_files();
    pthread_t limit;
    if (pthread_create(&limit, NULL, end_at_time_limit, NULL) != 0)
        return EXIT_REFUSED;
    if (options.await)
        return await_port();
    if (!prepare(protocol))
        return EXIT_REFUSED;
    return run_clients(protocol);
}
