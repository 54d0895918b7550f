/* F7, F8 and F15: connections and other sockets that came from another process. */
#include "strangers.h"

/* --- who serves ---------------------------------------------------------------------------------------- */

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
}

CASE(F7, who_receives_the_next_connection_has_done_with_the_last) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    say_to(server, "answer");
    EXPECT_STACK("conn#1 req#1");
    passed(accepted_elsewhere(listener, &client));
    EXPECT_STACK("");
    server = passed(accepted_elsewhere(listener, &client));
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#2 req#1");
    close(server);
    passed(accepted_elsewhere(listener, &client));
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

CASE(F7, a_loop_that_receives_a_connection_may_read_it_at_once) {
    int listener = listen_somewhere(), epoll = epoll_create1(0), channel[2], client;
    struct epoll_event event;
    raw_pair(channel, SOCK_STREAM);
    watch(epoll, EPOLL_CTL_ADD, channel[1], EPOLLIN);
    char expected[] = "conn#? req#1", question[16];
    for (int i = 1; i <= 3; i++) {
        pass(channel[0], accepted_elsewhere(listener, &client));
        raw_write(client, "question");
        REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
        int server = take(channel[1]);
        EXPECT_STACK("");
        EXPECT(read(server, question, sizeof question) > 0);
        expected[5] = (char)('0' + i);
        EXPECT_STACK(expected);
        EXPECT(write(server, "answer", 6) == 6);
    }
}

CASE(F7, the_networks_are_connections_whoever_has_connected) {
    struct sockaddr_in address, own;
    int listener = raw_inet(SOCK_STREAM, &address), client = raw_inet(SOCK_STREAM, &own);
    REQUIRE(kernel_call(SYS_listen, listener, 1, 0, 0, 0, 0) == 0);
    raw_connect_to(client, &address);
    int server = passed((int)kernel_call(SYS_accept4, listener, 0, 0, 0, 0, 0));
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
}

CASE(F7, a_peek_is_a_read) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    char byte;
    raw_write(client, "question");
    EXPECT(recv(server, &byte, 1, MSG_PEEK) == 1);
    EXPECT_STACK("conn#1 req#1");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
}

CASE(F7, bytes_that_are_moved_are_read) {
    int listener = listen_somewhere(), client, ends[2];
    int server = passed(accepted_elsewhere(listener, &client));
    REQUIRE(pipe(ends) == 0);
    raw_write(client, "question");
    EXPECT(splice(server, NULL, ends[1], NULL, 8, 0) == 8);
    EXPECT_STACK("conn#1 req#1");
}

CASE(F7, nothing_read_is_no_use) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    char byte;
    EXPECT(recv(server, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    EXPECT_STACK("");
    ctxshim_scope scope = ctxshim_push("A");
    say_to(server, "question");
    ctxshim_pop(&scope);
    raw_write(client, "answer");
    expect_reader(server, "A");
}

CASE(F15, duplicates_of_a_connection_from_elsewhere_are_one) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client)), copy = dup(server);
    raw_write(client, "question");
    EXPECT(hear(copy) > 0);
    EXPECT_STACK("conn#1 req#1");
    close(copy);
    say_to(server, "answer");
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#2");
}

CASE_WITH("roots=0", F7, without_roots_it_has_none) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

/* --- who asks ------------------------------------------------------------------------------------------ */

CASE(F8, one_that_is_written_to_first_asks) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    ctxshim_scope scope = ctxshim_push("A");
    say_to(server, "question");
    ctxshim_pop(&scope);
    raw_write(client, "answer");
    expect_reader(server, "A");
}

/* A request that is served by whoever calls. */
static void ask_here(int listener) {
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
}

/* It is greeted, as a client of a mail server is. */
CASE(F8, what_a_request_receives_may_be_what_it_has_asked_for) {
    int listener = listen_somewhere(), peer;
    ask_here(listener);
    int fd = passed(accepted_elsewhere(listener, &peer));
    EXPECT_STACK("conn#1 req#1");
    raw_write(peer, "greeting");
    EXPECT(hear(fd) > 0);
    EXPECT_STACK("conn#1 req#1?");
}

CASE(F8, so_in_a_loop) {
    int listener = listen_somewhere(), epoll = epoll_create1(0), peer;
    struct epoll_event event;
    ask_here(listener);
    int fd = passed(accepted_elsewhere(listener, &peer));
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    raw_write(peer, "greeting");
    REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
    EXPECT(hear(fd) > 0);
    EXPECT_STACK("conn#1 req#1?");
}

CASE(F8, what_a_request_reads_first_may_be_for_it) {
    int listener = listen_somewhere(), peer;
    int fd = passed(accepted_elsewhere(listener, &peer));
    ask_here(listener);
    raw_write(peer, "greeting");
    EXPECT(hear(fd) > 0);
    EXPECT_STACK("conn#1 req#1?");
    ctxshim_scope scope = ctxshim_push("A");
    say_to(fd, "question");
    ctxshim_pop(&scope);
    raw_write(peer, "answer");
    expect_reader(fd, "conn#1 req#1? A");
}

/* What hands the connection over is the request itself. */
CASE(F7, what_a_request_brings_along_is_another_connection) {
    int listener = listen_somewhere(), client, channel = raw_connect(listener);
    int server = accept(listener, NULL, NULL);
    pass(channel, accepted_elsewhere(listener, &client));
    int fd = take(server);
    EXPECT_STACK("conn#1 req#1");
    say_to(server, "received");
    raw_write(client, "question");
    EXPECT(hear(fd) > 0);
    EXPECT_STACK("conn#2 req#1");
}

/* --- what is none -------------------------------------------------------------------------------------- */

static void expect_silence(int type) {
    int pair[2];
    raw_pair(pair, type);
    raw_write(pair[1], "question");
    int end = passed(pair[0]);
    EXPECT(hear(end) > 0);
    EXPECT_STACK("");
    say_to(end, "answer");
    raw_write(pair[1], "question");
    EXPECT(hear(end) > 0);
    EXPECT_STACK("");
}

CASE(F7, a_pair_from_elsewhere_is_no_connection) {
    expect_silence(SOCK_STREAM);
    expect_silence(SOCK_SEQPACKET);
    expect_silence(SOCK_DGRAM);
}

CASE(F7, a_pipe_from_elsewhere_says_nothing) {
    int ends[2];
    REQUIRE(kernel_call(SYS_pipe2, (long)ends, 0, 0, 0, 0, 0) == 0);
    raw_write(ends[1], "line");
    int end = passed(ends[0]);
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

CASE(F7, a_number_that_is_used_again_is_no_stranger) {
    int listener = listen_somewhere(), client, ends[2];
    int server = passed(accepted_elsewhere(listener, &client));
    raw_close(server); /* as libc does it, unseen */
    REQUIRE(pipe(ends) == 0 && (ends[0] == server || dup2(ends[0], server) == server));
    raw_write(ends[1], "line");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("");
}

/* --- datagrams ----------------------------------------------------------------------------------------- */

CASE(F7, datagrams_from_elsewhere_are_served) {
    struct sockaddr_in address, own;
    int fd = passed(raw_inet(SOCK_DGRAM, &address)), client = raw_inet(SOCK_DGRAM, &own);
    raw_connect_to(client, &address);
    char expected[] = "dgram#?";
    for (int i = 1; i <= 2; i++) {
        char text[16];
        socklen_t size = sizeof own;
        raw_write(client, "question");
        EXPECT(recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&own, &size) == 8);
        expected[6] = (char)('0' + i);
        EXPECT_STACK(expected);
        EXPECT(sendto(fd, "answer", 6, 0, (struct sockaddr *)&own, size) == 6);
    }
}

CASE(F8, a_socket_of_datagrams_from_elsewhere_may_ask) {
    struct sockaddr_in address, own;
    int server = raw_inet(SOCK_DGRAM, &address), client = raw_inet(SOCK_DGRAM, &own);
    raw_connect_to(client, &address);
    raw_connect_to(server, &own);
    int fd = passed(client);
    ctxshim_scope scope = ctxshim_push("A");
    say_to(fd, "question");
    ctxshim_pop(&scope);
    raw_write(server, "answer");
    expect_reader(fd, "A");
}

/* --- who else has it ----------------------------------------------------------------------------------- */

static int away[2];

static void send_away(int fd) {
    struct parcel out;
    raw_pair(away, SOCK_STREAM);
    EXPECT(sendmsg(away[0], parcel(&out, fd), 0) == 1);
}

/* Whoever else has it may have answered meanwhile. */
CASE(F15, of_a_connection_that_was_sent_on_more_may_be_anything) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
    send_away(server);
    EXPECT_STACK("conn#1 req#1");
    raw_write(client, "more");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1?");
    say_to(server, "answer");
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#2");
}

CASE(F15, a_connection_that_was_sent_away_comes_back_as_a_new_one) {
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    send_away(server);
    close(server);
    server = take(away[1]);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#2 req#1");
}

CASE(F15, whoever_reads_it_serves_it_though_he_has_sent_it_on) {
    int listener = listen_somewhere(), client;
    int server = passed(accepted_elsewhere(listener, &client));
    send_away(server);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
}

CASE(F13, a_child_serves_what_its_parent_has_received) {
    int listener = listen_somewhere(), client, status;
    int server = passed(accepted_elsewhere(listener, &client));
    raw_write(client, "question");
    pid_t child = fork();
    if (child == 0) {
        EXPECT(hear(server) > 0);
        EXPECT_STACK("conn#1 req#1");
        _exit(strcmp(stack_now(), "conn#1 req#1") != 0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(status == 0);
}

/* What a vfork child does with its parent's memory is the parent's affair (H4). */
CASE(F13, a_vfork_child_makes_nothing_of_it) {
    int listener = listen_somewhere(), client, status;
    int server = passed(accepted_elsewhere(listener, &client));
    pid_t child = vfork();
    if (child == 0) {
        (void)!write(server, "sorry", 5);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    raw_write(client, "question");
    EXPECT(hear(server) > 0);
    EXPECT_STACK("conn#1 req#1");
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
