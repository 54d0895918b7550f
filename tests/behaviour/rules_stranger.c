/* F7, F8 and F15: connections that came from another process, or were there at the beginning. Here the other
 * process is this one, by system calls that the shim does not see. */
#include "case.h"

#include <stdlib.h>

/* Descriptors travel through a pair that the shim does not know. */
static int channel[2];

/* --- how they come ----------------------------------------------------------------------------------- */

struct parcel {
    char byte;
    struct iovec vector;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static struct msghdr *parcel(struct parcel *parcel, int fd) {
    *parcel = (struct parcel){.byte = 'x'};
    parcel->vector = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->vector,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof parcel->control};
    *(struct cmsghdr *)parcel->control = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA((struct cmsghdr *)parcel->control), &fd, sizeof fd);
    return &parcel->message;
}

static void raw_pair(int pair[2]) {
    REQUIRE(kernel_call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)pair, 0, 0) == 0);
}

/* From elsewhere: `fd`, which is closed here. */
static int passed(int fd) {
    struct parcel out, in;
    if (channel[0] == 0)
        raw_pair(channel);
    REQUIRE(kernel_call(SYS_sendmsg, channel[0], (long)parcel(&out, fd), 0, 0, 0, 0) == 1);
    raw_close(fd);
    REQUIRE(recvmsg(channel[1], parcel(&in, -1), 0) == 1);
    memcpy(&fd, CMSG_DATA((struct cmsghdr *)in.control), sizeof fd);
    REQUIRE(fd >= 0);
    return fd;
}

/* The server's end of a connection that somebody else has accepted. */
static int accepted_elsewhere(int listener, int *client) {
    *client = raw_connect(listener);
    long fd = kernel_call(SYS_accept4, listener, 0, 0, 0, 0, 0);
    REQUIRE(fd >= 0);
    return (int)fd;
}

/* --- who serves, who asks ----------------------------------------------------------------------------- */

CASE(F7, a_connection_from_elsewhere_that_is_read_first_serves) {
    int listener = listen_somewhere(), clients[2], servers[2];
    for (int i = 0; i < 2; i++)
        servers[i] = passed(accepted_elsewhere(listener, &clients[i]));
    raw_write(clients[1], "question");
    EXPECT(hear(servers[1]) > 0);
    EXPECT_STACK("conn#1 req#1");
    say_to(servers[1], "answer");
    raw_write(clients[0], "question");
    EXPECT(hear(servers[0]) > 0);
    EXPECT_STACK("conn#2 req#1");
    say_to(servers[0], "answer");
    raw_write(clients[1], "question");
    EXPECT(hear(servers[1]) > 0);
    EXPECT_STACK("conn#1 req#2");
    close(servers[1]);
    passed(accepted_elsewhere(listener, &clients[1]));
    EXPECT_STACK("");
}

CASE(F7, a_loop_is_woken_by_connections_from_elsewhere) {
    int listener = listen_somewhere(), epoll = epoll_create1(0), client;
    struct epoll_event event;
    ctxshim_scope scope = ctxshim_push("registers");
    int server = passed(accepted_elsewhere(listener, &client));
    watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
    ctxshim_pop(&scope);
    for (int i = 1; i <= 2; i++) {
        raw_write(client, "question");
        REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
        EXPECT(hear(server) > 0);
        EXPECT_STACK(i == 1 ? "conn#1 req#1" : "conn#1 req#2");
        say_to(server, "answer");
    }
}

CASE(F8, one_that_is_written_to_first_asks) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    ctxshim_scope scope = ctxshim_push("A");
    say_to(server, "question");
    ctxshim_pop(&scope);
    raw_write(client, "answer");
    expect_reader(server, "A");
}

CASE_WITH("roots=0", F7, without_roots_it_has_none) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

/* --- what is none -------------------------------------------------------------------------------------- */

CASE(F7, a_pair_from_elsewhere_is_no_connection) {
    int pair[2];
    raw_pair(pair);
    raw_write(pair[1], "question");
    int end = passed(pair[0]);
    EXPECT(hear(end) > 0);
    EXPECT_STACK("");
}

CASE(F7, who_has_connected_locally_serves_nobody) {
    int listener = listen_somewhere(), client;
    int server = accepted_elsewhere(listener, &client);
    raw_write(server, "greeting");
    client = passed(client);
    EXPECT(hear(client) > 0);
    EXPECT_STACK("");
}

CASE(F7, the_networks_are_connections_whoever_has_connected) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
            getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    long client = kernel_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
    REQUIRE(kernel_call(SYS_connect, client, (long)&address, size, 0, 0, 0) == 0);
    int server = passed((int)kernel_call(SYS_accept4, listener, 0, 0, 0, 0, 0));
    raw_write((int)client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
}

/* --- who else has it ----------------------------------------------------------------------------------- */

CASE(F15, who_has_passed_a_connection_on_does_not_serve_it) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    struct parcel out;
    raw_pair(channel);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
    EXPECT(sendmsg(channel[0], parcel(&out, server), 0) == 1);
    EXPECT_STACK("conn#1 req#1");
    raw_write(client, "more");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1?");
    say_to(server, "answer");
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

CASE(F15, who_has_sent_a_stranger_on_does_not_serve_it) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    struct parcel out;
    EXPECT(sendmsg(channel[0], parcel(&out, server), 0) == 1);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

CASE(F15, a_stranger_that_a_fork_has_shared_stays_one) {
    int listener = listen_somewhere(), client, status;
    int server = passed(accepted_elsewhere(listener, &client));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    REQUIRE(waitpid(child, &status, 0) == child);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

/* --- services ------------------------------------------------------------------------------------------ */

static const char serves[] = "SERVES";

/* The executed program: its input and output are the client's. */
static void serve(void) {
    REQUIRE(hear(0) > 0);
    EXPECT_STACK("conn#1 req#1");
    say_to(1, stack_now());
    REQUIRE(hear(0) > 0);
    EXPECT_STACK("conn#1 req#2");
    say_to(1, stack_now());
    _exit(0);
}

CASE(F7, a_service_whose_input_is_a_connection_serves_it) {
    if (getenv(serves) != NULL)
        serve();
    int listener = listen_somewhere(), client, status;
    char text[64] = "";
    int server = accepted_elsewhere(listener, &client);
    pid_t child = fork();
    if (child == 0) {
        setenv(serves, "1", 1);
        dup2(server, 0);
        dup2(server, 1);
        execl("/proc/self/exe", "cases", "F7/a_service_whose_input_is_a_connection_serves_it", (char *)NULL);
        _exit(127);
    }
    raw_write(client, "question");
    EXPECT(raw_read(client, text, sizeof text) > 0 && strcmp(text, "conn#1 req#1") == 0);
    raw_write(client, "question");
    EXPECT(raw_read(client, text, sizeof text) > 0 && strcmp(text, "conn#1 req#2") == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(status == 0);
}

/* What one of them leaves behind is not another one's memory: they are not of one size (openfile.c). */
CASE(F7, connections_from_here_and_elsewhere_come_and_go) {
    int listener = listen_somewhere();
    for (int i = 0; i < 300; i++) {
        int clients[2], servers[2];
        servers[0] = passed(accepted_elsewhere(listener, &clients[0]));
        clients[1] = raw_connect(listener);
        servers[1] = accept(listener, NULL, NULL);
        for (int k = 0; k < 2; k++) {
            raw_write(clients[k], "question");
            EXPECT(hear(servers[k]) > 0);
            say_to(servers[k], "answer");
        }
        int counter = eventfd(0, 0);
        poke(counter);
        close(servers[i % 2]);
        close(counter);
        close(servers[1 - i % 2]);
        raw_close(clients[0]);
        raw_close(clients[1]);
    }
}
