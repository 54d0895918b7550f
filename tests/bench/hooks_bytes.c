/* Bytes: descriptors that carry nothing, a connection between requests and in one, and the other carriers. */
#include "hooks.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[64];
static int zero, null, counter, channel[2], both[2], service, accepted, extra;
static struct pair peer, quiet;
static struct sockaddr_in service_address, client_address;
static int client;

void hooks_prepare_bytes(void) {
    socklen_t size = sizeof service_address;
    zero = (int)sure(open("/dev/zero", O_RDONLY), "open");
    null = (int)sure(open("/dev/null", O_WRONLY), "open");
    counter = (int)sure(eventfd(0, EFD_NONBLOCK), "eventfd");
    sure(pipe2(channel, O_NONBLOCK), "pipe2");
    sure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both), "socketpair");
    peer = connection();
    raw_call(SYS_fcntl, peer.server, F_SETFL, 0, 0); /* a byte may be on its way for a moment */
    quiet = connection();
    service = (int)sure(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    service_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sure(bind(service, (struct sockaddr *)&service_address, size), "bind");
    sure(getsockname(service, (struct sockaddr *)&service_address, &size), "getsockname");
    client = (int)sure(raw_call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0), "socket");
    sure(raw_call(SYS_connect, client, (long)&service_address, size, 0), "connect");
}

static void read_untracked(void) {
    sure(read(zero, buffer, 1), "read");
}
static void write_untracked(void) {
    sure(write(null, buffer, 1), "write");
}
static void recv_untracked(void) {
    recv(null, buffer, 1, 0); /* no socket: fails at once */
}
static void send_untracked(void) {
    send(null, buffer, 1, 0);
}
static struct iovec one_byte = {buffer, 1};
static struct msghdr message = {.msg_iov = &one_byte, .msg_iovlen = 1};
static void readv_untracked(void) {
    sure(readv(zero, &one_byte, 1), "readv");
}
static void writev_untracked(void) {
    sure(writev(null, &one_byte, 1), "writev");
}
static void recvfrom_untracked(void) {
    recvfrom(null, buffer, 1, 0, NULL, NULL);
}
static void sendto_untracked(void) {
    sendto(null, buffer, 1, 0, NULL, 0);
}
static void recvmsg_untracked(void) {
    recvmsg(null, &message, 0);
}
static void sendmsg_untracked(void) {
    sendmsg(null, &message, 0);
}
static void read_nothing(void) {
    (void)!read(quiet.server, buffer, 1);
}
static void write_unasked(void) {
    sure(write(quiet.server, buffer, 1), "write");
}
static void drain_unasked(void) {
    raw_call(SYS_recvfrom, quiet.client, (long)buffer, sizeof buffer, MSG_DONTWAIT);
}

/* --- requests ------------------------------------------------------------------------------------ */

static void ask(void) {
    raw_call(SYS_recvfrom, peer.client, (long)buffer, sizeof buffer, MSG_DONTWAIT);
    sure(raw_call(SYS_write, peer.client, (long)buffer, 16, 0), "write");
}
static void get(void) {
    sure(read(peer.server, buffer, sizeof buffer), "read");
}
static void answer(void) {
    sure(write(peer.server, buffer, 16), "write");
}
static void answer_and_ask(void) {
    answer();
    ask();
}
static void ask_and_get(void) {
    ask();
    get();
}
static void receive(void) {
    sure(recv(peer.server, buffer, sizeof buffer, 0), "recv");
}
static void respond(void) {
    sure(send(peer.server, buffer, 16, 0), "send");
}

/* --- the other carriers -------------------------------------------------------------------------- */

static void count_up(void) {
    uint64_t one = 1;
    sure(write(counter, &one, sizeof one), "write");
}
static void count_down(void) {
    uint64_t value;
    sure(read(counter, &value, sizeof value), "read");
}
static void count_ready(void) {
    uint64_t value;
    (void)!read(counter, &value, sizeof value); /* what the last round left */
}
static void count_ready_up(void) {
    count_ready();
    count_up();
}
static void put(void) {
    sure(write(channel[1], buffer, 8), "write");
}
static void take(void) {
    (void)!read(channel[0], buffer, 8);
}
static void pair_put(void) {
    sure(write(both[0], buffer, 8), "write");
}
static void pair_take(void) {
    (void)!read(both[1], buffer, 8);
}
static void datagram_in(void) {
    sure(raw_call(SYS_write, client, (long)buffer, 8, 0), "write");
}
static void datagram_take(void) {
    socklen_t size = sizeof client_address;
    sure(recvfrom(service, buffer, 8, 0, (struct sockaddr *)&client_address, &size), "recvfrom");
}
static void datagram_ready(void) {
    raw_call(SYS_recvfrom, client, (long)buffer, sizeof buffer, MSG_DONTWAIT);
    datagram_in();
    datagram_take();
}
static void datagram_answer(void) {
    sure(sendto(service, buffer, 8, 0, (struct sockaddr *)&client_address, sizeof client_address), "sendto");
}

static void call_pair(void) {
    extra = (int)sure(raw_call(SYS_dup, peer.client, 0, 0, 0), "dup");
}
static void close_untracked(void) {
    close(extra);
}
static void accepted_ready(void) {
    struct pair fresh = connection();
    raw_call(SYS_close, fresh.client, 0, 0, 0);
    accepted = fresh.server;
}
static void close_connection(void) {
    close(accepted);
}
static void door(void) {
    syscall(SYS_getppid);
}

const struct hook_case hook_cases_bytes[] = {
    {"read, untracked", NULL, read_untracked, 0},
    {"write, untracked", NULL, write_untracked, 0},
    {"recv, untracked", NULL, recv_untracked, 0},
    {"send, untracked", NULL, send_untracked, 0},
    {"readv, untracked", NULL, readv_untracked, 0},
    {"writev, untracked", NULL, writev_untracked, 0},
    {"recvfrom, untracked", NULL, recvfrom_untracked, 0},
    {"sendto, untracked", NULL, sendto_untracked, 0},
    {"recvmsg, untracked", NULL, recvmsg_untracked, 0},
    {"sendmsg, untracked", NULL, sendmsg_untracked, 0},
    {"read, connection, nothing there", NULL, read_nothing, 0},
    {"write, connection, nothing asked", drain_unasked, write_unasked, 0},
    {"read, opens a request", answer_and_ask, get, 0},
    {"read, more of a request", ask, get, 0},
    {"write, answers a request", ask_and_get, answer, 0},
    {"recv, more of a request", ask, receive, 0},
    {"send, answers a request", ask_and_get, respond, 0},
    {"write, untracked, in a request", NULL, write_untracked, 0},
    {"eventfd, write", count_ready, count_up, 0},
    {"eventfd, read", count_ready_up, count_down, 0},
    {"pipe, write", take, put, 0},
    {"pipe, read", put, take, 0},
    {"socketpair, write", pair_take, pair_put, 0},
    {"socketpair, read", pair_put, pair_take, 0},
    {"datagram, recvfrom", datagram_in, datagram_take, 0},
    {"datagram, sendto", datagram_ready, datagram_answer, 0},
    {"close, untracked", call_pair, close_untracked, 0},
    {"close, connection", accepted_ready, close_connection, 0},
    {"syscall(3)", NULL, door, 0},
    {0},
};
