/* F7: what a program finds open when it begins: as its input and outputs, and behind those. The program is
 * this one, executed anew. */
#include "strangers.h"

#include <stdlib.h>

static const char program[] = "/proc/self/exe", serves[] = "SERVES";

static bool is_program(void) {
    return getenv(serves) != NULL;
}

/* Runs the case once more, with these numbers copies of `fd`. */
static pid_t execute(const char *name, int fd, const int *numbers, int count) {
    pid_t child = fork();
    if (child != 0)
        return child;
    setenv(serves, "1", 1);
    for (int i = 0; i < count; i++)
        if (dup2(fd, numbers[i]) != numbers[i])
            _exit(126);
    execl(program, "cases", name, (char *)NULL);
    _exit(127);
}

static void expect_end(pid_t child) {
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(status == 0);
}

/* The program reads from the one and answers on the other, twice. */
static void answer_twice(int in, int out) {
    for (int i = 0; i < 2; i++) {
        REQUIRE(hear(in) > 0);
        say_to(out, stack_now()[0] != '\0' ? stack_now() : "-");
    }
    _exit(0);
}

static void ask(int client, const char *expected) {
    char text[64] = "";
    raw_write(client, "question");
    EXPECT(raw_read(client, text, sizeof text - 1) > 0);
    if (strcmp(text, expected) != 0)
        case_fail(__FILE__, __LINE__, expected, text);
}

CASE(F7, a_service_whose_input_is_a_connection_serves_it) {
    if (is_program())
        answer_twice(0, 1);
    int client, server = accepted_elsewhere(listen_somewhere(), &client);
    pid_t child =
        execute("F7/a_service_whose_input_is_a_connection_serves_it", server, (const int[]){0, 1, 2}, 3);
    ask(client, "conn#1 req#1");
    ask(client, "conn#1 req#2");
    expect_end(child);
}

CASE(F7, so_does_one_that_is_given_it_behind_them) {
    if (is_program())
        answer_twice(3, 3);
    int client, server = accepted_elsewhere(listen_somewhere(), &client);
    pid_t child = execute("F7/so_does_one_that_is_given_it_behind_them", server, (const int[]){3}, 1);
    ask(client, "conn#1 req#1");
    ask(client, "conn#1 req#2");
    expect_end(child);
}

/* It is work of the request in which the program was executed, whoever asks it. */
CASE(F14, in_a_request_it_is_part_of_that) {
    if (is_program())
        answer_twice(0, 1);
    int client, server = accepted_elsewhere(listen_somewhere(), &client);
    ctxshim_scope scope = ctxshim_push("A");
    pid_t child = execute("F14/in_a_request_it_is_part_of_that", server, (const int[]){0, 1}, 2);
    ctxshim_pop(&scope);
    ask(client, "A conn#1 req#1");
    ask(client, "A conn#1 req#2");
    expect_end(child);
}

CASE(F7, a_pair_as_input_is_no_connection) {
    if (is_program())
        answer_twice(0, 1);
    int pair[2];
    raw_pair(pair, SOCK_STREAM);
    pid_t child = execute("F7/a_pair_as_input_is_no_connection", pair[0], (const int[]){0, 1}, 2);
    ask(pair[1], "-");
    ask(pair[1], "-");
    expect_end(child);
}

/* A connection that somebody accepts through an inherited listener. */
static void accept_and_answer(int listener) {
    int server = accept(listener, NULL, NULL);
    REQUIRE(server >= 0);
    answer_twice(server, server);
}

CASE(F7, a_listener_may_be_inherited) {
    if (is_program())
        accept_and_answer(3);
    int listener = listen_somewhere(), client = raw_connect(listener);
    pid_t child = execute("F7/a_listener_may_be_inherited", listener, (const int[]){3}, 1);
    ask(client, "conn#1 req#1");
    ask(client, "conn#1 req#2");
    expect_end(child);
}

static void answer_datagrams(void) {
    char text[16];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    for (int i = 0; i < 2; i++) {
        REQUIRE(recvfrom(0, text, sizeof text, 0, (struct sockaddr *)&address, &size) == 8);
        REQUIRE(sendto(0, stack_now(), strlen(stack_now()), 0, (struct sockaddr *)&address, size) > 0);
    }
    _exit(0);
}

CASE(F7, datagrams_may_be_inherited) {
    if (is_program())
        answer_datagrams();
    struct sockaddr_in address, own;
    int server = raw_inet(SOCK_DGRAM, &address), client = raw_inet(SOCK_DGRAM, &own);
    raw_connect_to(client, &address);
    pid_t child = execute("F7/datagrams_may_be_inherited", server, (const int[]){0}, 1);
    ask(client, "dgram#1");
    ask(client, "dgram#2");
    expect_end(child);
}
