/* Waits: epoll with its registrations, and poll. */
#include "hooks.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int epoll;
static struct pair peer;

void hooks_prepare_waits(void) {
    struct epoll_event event = {.events = EPOLLIN};
    epoll = (int)sure(epoll_create1(0), "epoll_create1");
    peer = connection();
    event.data.fd = peer.server;
    sure(epoll_ctl(epoll, EPOLL_CTL_ADD, peer.server, &event), "epoll_ctl");
}

static void change(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = peer.server};
    sure(epoll_ctl(epoll, EPOLL_CTL_MOD, peer.server, &event), "epoll_ctl");
}
static void add_and_remove(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = peer.server};
    sure(epoll_ctl(epoll, EPOLL_CTL_DEL, peer.server, &event), "epoll_ctl");
    sure(epoll_ctl(epoll, EPOLL_CTL_ADD, peer.server, &event), "epoll_ctl");
}
static void look(void) {
    struct epoll_event events[8];
    sure(epoll_wait(epoll, events, 8, 0), "epoll_wait");
}
static void wait_event(void) {
    struct epoll_event events[8];
    sure(epoll_wait(epoll, events, 8, -1), "epoll_wait");
}
static void poll_one(void) {
    struct pollfd one = {.fd = peer.server, .events = POLLIN};
    sure(poll(&one, 1, 0), "poll");
}
static void poll_event(void) {
    struct pollfd one = {.fd = peer.server, .events = POLLIN};
    sure(poll(&one, 1, -1), "poll");
}
static void bytes_there(void) {
    char bytes[16] = {0};
    (void)!read(peer.server, bytes, sizeof bytes);
    (void)!write(peer.server, bytes, sizeof bytes);
    raw_call(SYS_recvfrom, peer.client, (long)bytes, sizeof bytes, MSG_DONTWAIT);
    sure(raw_call(SYS_write, peer.client, (long)bytes, sizeof bytes, 0), "write");
}

const struct hook_case hook_cases_waits[] = {
    {"epoll_ctl, change", NULL, change, 0},
    {"epoll_ctl, remove and add", NULL, add_and_remove, 0},
    {"epoll_wait, nothing", NULL, look, 0},
    {"poll, nothing", NULL, poll_one, 0},
    {"epoll_wait, an event", bytes_there, wait_event, 0},
    {"poll, an event", bytes_there, poll_event, 0},
    {0},
};
