/* An HTTP server on GLib's GSocketService, for the matrix: reads by asynchronous calls, logs each request on
 * stderr in an idle callback of the main loop, and answers from there with its marker.
 *
 *     glib-http PORT */
#include <gio/gio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096 };

struct client {
    GSocketConnection *connection;
    GInputStream *input;
    GOutputStream *output;
    gsize held;
    char bytes[ROOM + 1];
    char marker[64];
    char *answer;
};

static void read_more(struct client *client);

static void finish(struct client *client) {
    g_io_stream_close(G_IO_STREAM(client->connection), NULL, NULL);
    g_object_unref(client->connection);
    g_free(client->answer);
    g_free(client);
}

static void answered(GObject *source, GAsyncResult *result, gpointer data) {
    struct client *const client = data;
    g_clear_pointer(&client->answer, g_free);
    if (!g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, NULL, NULL)) {
        finish(client);
        return;
    }
    read_more(client);
}

static gboolean answer(gpointer data) {
    struct client *const client = data;
    fprintf(stderr, "%s is answered\n", client->marker);
    char *const body = g_strdup_printf("answer to %s\n", client->marker);
    client->answer = g_strdup_printf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    g_free(body);
    g_output_stream_write_all_async(client->output, client->answer, strlen(client->answer),
                                    G_PRIORITY_DEFAULT, NULL, answered, client);
    return G_SOURCE_REMOVE;
}

static void got(GObject *source, GAsyncResult *result, gpointer data) {
    struct client *const client = data;
    const gssize count = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    if (count <= 0) {
        finish(client);
        return;
    }
    client->held += (gsize)count;
    client->bytes[client->held] = '\0';
    if (strstr(client->bytes, "\r\n\r\n") == NULL) {
        read_more(client);
        return;
    }
    const char *const field = strstr(client->bytes, "X-Marker: ");
    if (field == NULL || sscanf(field, "X-Marker: %63s", client->marker) != 1) {
        finish(client);
        return;
    }
    client->held = 0;
    g_idle_add(answer, client);
}

static void read_more(struct client *client) {
    g_input_stream_read_async(client->input, client->bytes + client->held, ROOM - client->held,
                              G_PRIORITY_DEFAULT, NULL, got, client);
}

static gboolean incoming(GSocketService *service, GSocketConnection *connection, GObject *source,
                         gpointer unused) {
    (void)service, (void)source, (void)unused;
    struct client *const client = g_new0(struct client, 1);
    client->connection = g_object_ref(connection);
    client->input = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    client->output = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    read_more(client);
    return TRUE;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    GSocketService *const service = g_socket_service_new();
    GSocketAddress *const address =
        g_inet_socket_address_new_from_string("127.0.0.1", (guint)strtoul(argv[1], NULL, 10));
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_TCP, NULL, NULL, NULL))
        return 1;
    g_signal_connect(service, "incoming", G_CALLBACK(incoming), NULL);
    g_main_loop_run(g_main_loop_new(NULL, FALSE));
    return 0;
}
