/* A server with another one behind it: what was read, and where it lies, is noted then (E10), in this process
 * for good; so these come last. */
#include "hooks.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char request[64], reply[64];
static int outbound, behind;
static struct pair peer;

/* The server behind is seen by no hook. */
void hooks_prepare_proxy(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = (int)sure(raw_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0), "socket");
    sure(raw_call(SYS_bind, listener, (long)&address, size, 0), "bind");
    sure(raw_call(SYS_listen, listener, 1, 0, 0), "listen");
    sure(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
    outbound = (int)sure(socket(AF_INET, SOCK_STREAM, 0), "socket");
    sure(connect(outbound, (struct sockaddr *)&address, size), "connect");
    behind = (int)sure(raw_call(SYS_accept4, listener, 0, 0, 0), "accept4");
    peer = connection();
    raw_call(SYS_fcntl, peer.server, F_SETFL, 0, 0); /* a byte may be on its way for a moment */
}

static void ask(void) {
    sure(raw_call(SYS_write, peer.client, (long)request, sizeof request, 0), "write");
}
static void get(void) {
    sure(read(peer.server, request, sizeof request), "read");
}
static void pass_on(void) {
    sure(write(outbound, request, sizeof request), "write");
}
static void be_answered(void) {
    raw_call(SYS_recvfrom, behind, (long)reply, sizeof reply, MSG_DONTWAIT);
    sure(raw_call(SYS_write, behind, (long)reply, sizeof reply, 0), "write");
}
static void get_reply(void) {
    sure(read(outbound, reply, sizeof reply), "read");
}
static void answer(void) {
    sure(write(peer.server, reply, sizeof reply), "write");
    raw_call(SYS_recvfrom, peer.client, (long)reply, sizeof reply, MSG_DONTWAIT);
}

static void answer_and_ask(void) {
    answer();
    ask();
}
static void ask_and_get(void) {
    answer_and_ask();
    get();
    raw_call(SYS_recvfrom, behind, (long)reply, sizeof reply, MSG_DONTWAIT);
}
static void ask_behind(void) {
    ask_and_get();
    pass_on();
    be_answered();
}

const struct hook_case hook_cases_proxy[] = {
    {"read, opens a proxy's request", answer_and_ask, get, 0},
    {"write, to the server behind", ask_and_get, pass_on, 0},
    {"read, its reply", ask_behind, get_reply, 0},
    {0},
};
