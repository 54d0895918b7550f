/* Which leak is planted, and the server that all are: see planted.h. */
#include "planted.h"

#include "../../ctxstore/kernel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a server and its client -----------------------------------------------------------------------------
 */

struct sockaddr_in server_address = {.sin_family = AF_INET};
int listener = -1;

void need(bool held, const char *what) {
    if (held)
        return;
    fprintf(stderr, "planted: %s failed\n", what);
    exit(99);
}

static void server_listen(void) {
    socklen_t size = sizeof server_address;
    server_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&server_address, sizeof server_address) == 0 &&
             listen(listener, 8) == 0 &&
             getsockname(listener, (struct sockaddr *)&server_address, &size) == 0,
         "listen");
}

int client_connect(void) {
    int fd = (int)kernel_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
    need(kernel_call(SYS_connect, fd, (long)&server_address, sizeof server_address, 0, 0, 0) == 0, "connect");
    return fd;
}

void client_ask(int client) {
    need(kernel_call(SYS_write, client, (long)"ask", 3, 0, 0, 0) == 3, "ask");
}

struct served serve(void) {
    char byte[8];
    struct served served;
    if (listener < 0)
        server_listen();
    served.client = client_connect();
    served.connection = accept(listener, NULL, NULL);
    client_ask(served.client);
    need(read(served.connection, byte, sizeof byte) == 3, "read");
    return served;
}

void answer(const struct served *served) {
    need(write(served->connection, "answer", 6) == 6, "answer");
}

void finish(const struct served *served) {
    answer(served);
    close(served->connection);
    kernel_call(SYS_close, served->client, 0, 0, 0, 0, 0);
}

/* --- a thread --------------------------------------------------------------------------------------------
 */

_Atomic bool may_end;
_Atomic bool started;
void *linger(void *nothing) {
    started = true;
    while (!may_end)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    return nothing;
}
void wait_started(void) {
    while (!started)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* --- which -----------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*body)(bool leak);
} cases[] = {
#define LEAK(name, kind, api) {#name, name},
#include "cases.def"
#undef LEAK
};

static void *push_in_thread_that_ends(void *nothing) {
    ctxshim_push("Killed");
    return nothing;
}

/* Leaks, and goes on until it is killed. */
static void killed(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_in_thread_that_ends, NULL);
    while (true)
        pause();
}

/* It leaks, and goes on. */
static void stay(void) {
    puts("ready");
    fflush(stdout);
    while (true)
        pause();
}

int main(int argc, char **argv) {
    need(argc == 3, "planted NAME leak|clean");
    if (strcmp(argv[1], "killed") == 0)
        killed();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].body(strstr(argv[2], "clean") == NULL);
            if (strncmp(argv[2], "stay", 4) == 0)
                stay();
            return 0;
        }
    need(false, argv[1]);
}
