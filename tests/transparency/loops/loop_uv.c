/* libuv: polled descriptors, streams, timers, signals, idle, prepare and check, its thread pool, wake-ups by
 * other threads, and children. */
#include "loops.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

static uv_loop_t loop;
static uv_poll_t polls[CONNECTIONS];
static uv_async_t async;
static int served, ticks, idles, worked;

static void asked(uv_poll_t *handle, int status, int events) {
    int connection = (int)(handle - polls);
    MUST(status == 0 && (events & UV_READABLE));
    served += serve(connection);
    if (served == CONNECTIONS)
        uv_stop(&loop);
}

static void tick(uv_timer_t *timer) {
    printf("tick %d\n", ++ticks);
    if (ticks == 5) {
        uv_close((uv_handle_t *)timer, NULL);
        raise(SIGUSR1);
    }
}

static void signalled(uv_signal_t *handle, int number) {
    printf("signal %d\n", number == SIGUSR1);
    uv_close((uv_handle_t *)handle, NULL);
}

static void idle(uv_idle_t *handle) {
    if (++idles == 3)
        uv_close((uv_handle_t *)handle, NULL);
    printf("idle %d\n", idles);
}

static void over(uv_process_t *process, int64_t status, int number) {
    printf("child %d %d\n", (int)status, number);
    uv_close((uv_handle_t *)process, NULL);
}

static uv_mutex_t lock;
static void work(uv_work_t *request) {
    uv_mutex_lock(&lock);
    worked++;
    uv_mutex_unlock(&lock);
    (void)request;
}

static void after_work(uv_work_t *request, int status) {
    static int afters;
    MUST(status == 0);
    (void)request;
    if (++afters == 50) {
        printf("worked %d\n", worked);
        uv_async_send(&async);
    }
}

static void awake(uv_async_t *handle) {
    puts("woken");
    uv_close((uv_handle_t *)handle, NULL);
}

static void named(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    (void)request;
    printf("named %d\n", status == 0 && found->ai_family == AF_INET);
    uv_freeaddrinfo(found);
}

/* A stream that answers in pieces. */
static uv_tcp_t server, client, peer;
static char heard[64];
static size_t hears;

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    static char text[64];
    (void)handle;
    (void)size;
    *buffer = uv_buf_init(text, sizeof text);
}

static void written(uv_write_t *request, int status) {
    MUST(status == 0);
    free(request);
}

static void say(uv_stream_t *stream, char *text) {
    uv_buf_t buffer = uv_buf_init(text, (unsigned)strlen(text));
    uv_write(malloc(sizeof(uv_write_t)), stream, &buffer, 1, written);
}

static void listen_to(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    if (size < 0) {
        printf("ended\n");
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    if (stream == (uv_stream_t *)&peer) {
        say(stream, "one ");
        say(stream, "two ");
        say(stream, "three");
        return;
    }
    memcpy(heard + hears, buffer->base, (size_t)size);
    hears += (size_t)size;
    if (hears == strlen("one two three")) {
        printf("heard %s\n", heard);
        uv_close((uv_handle_t *)stream, NULL);
    }
}

static void accepted(uv_stream_t *stream, int status) {
    MUST(status == 0);
    uv_tcp_init(&loop, &peer);
    MUST(uv_accept(stream, (uv_stream_t *)&peer) == 0);
    uv_read_start((uv_stream_t *)&peer, allocate, listen_to);
    uv_close((uv_handle_t *)stream, NULL);
}

static void connected(uv_connect_t *request, int status) {
    MUST(status == 0);
    uv_read_start(request->handle, allocate, listen_to);
    say(request->handle, "ask");
}

static void streams(void) {
    static uv_connect_t request;
    struct sockaddr_in address;
    int size = sizeof address;
    uv_tcp_init(&loop, &server);
    uv_tcp_init(&loop, &client);
    uv_ip4_addr("127.0.0.1", 0, &address);
    MUST(uv_tcp_bind(&server, (struct sockaddr *)&address, 0) == 0);
    MUST(uv_listen((uv_stream_t *)&server, 8, accepted) == 0);
    uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size);
    MUST(uv_tcp_connect(&request, &client, (struct sockaddr *)&address, connected) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
}

int main(void) {
    static uv_work_t works[50];
    uv_loop_init(&loop);
    uv_mutex_init(&lock);
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++) {
        uv_poll_init(&loop, &polls[i], servers[i]);
        uv_poll_start(&polls[i], UV_READABLE, asked);
    }
    for (int round = 0; round < ROUNDS; round++) {
        served = 0;
        ask_all();
        uv_run(&loop, UV_RUN_DEFAULT);
        answers_read();
    }
    for (int i = 0; i < CONNECTIONS; i++)
        uv_close((uv_handle_t *)&polls[i], NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_timer_t timer;
    uv_signal_t signals;
    uv_idle_t idler;
    uv_timer_init(&loop, &timer);
    uv_signal_init(&loop, &signals);
    uv_signal_start(&signals, signalled, SIGUSR1);
    uv_timer_start(&timer, tick, 1, 2);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_idle_init(&loop, &idler);
    uv_idle_start(&idler, idle);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_async_init(&loop, &async, awake);
    for (int i = 0; i < 50; i++)
        uv_queue_work(&loop, &works[i], work, after_work);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_getaddrinfo_t name;
    uv_getaddrinfo(&loop, &name, named, "127.0.0.1", NULL, &(struct addrinfo){.ai_family = AF_INET});
    uv_run(&loop, UV_RUN_DEFAULT);
    fflush(stdout);
    uv_process_t process;
    char *arguments[] = {"sh", "-c", "exit 7", NULL};
    uv_process_options_t options = {.file = "sh", .args = arguments, .exit_cb = over};
    MUST(uv_spawn(&loop, &process, &options) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    streams();
    printf("closed %d\n", uv_loop_close(&loop));
    return 0;
}
