/* F4, F2: the life of the ends of pipes and socketpairs: closed, copied, forked, another process's. */
#include "pipes.h"

#include <stdlib.h>

static _Atomic int destroyed;

/* C35 */
CASE(F4, closing_the_end_that_reads_drops_what_was_queued) {
    static const int types[] = {0, SOCK_STREAM, SOCK_DGRAM};
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (i == 0)
            open_pipe(ends, 0);
        else
            open_pair(ends, types[i]);
        atomic_store(&destroyed, 0);
        ctxshim_key *key = ctxshim_key_create("key", count_destroy);
        ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
        say_to(ends[1], "x");
        ctxshim_pop(&scope);
        settle();
        EXPECT(atomic_load(&destroyed) == 0);
        close(ends[0]);
        settle();
        EXPECT(atomic_load(&destroyed) == 1);
        scope = ctxshim_with(key, (void *)&destroyed);
        EXPECT(write(ends[1], "y", 1) == -1);
        ctxshim_pop(&scope);
        settle();
        EXPECT(atomic_load(&destroyed) == 2);
    }
}

CASE(F4, what_was_written_before_the_end_was_closed_is_read) {
    int ends[2];
    char byte;
    open_pipe(ends, 0);
    say_in(ends[1], "A", "x");
    close(ends[1]);
    expect_read(ends[0], 1, "A");
    EXPECT(read(ends[0], &byte, 1) == 0);
    EXPECT_STACK("");
}

CASE(F4, copies_of_an_end_are_that_end) {
    int ends[2];
    open_pipe(ends, 0);
    int writer = dup(ends[1]), reader = dup(ends[0]);
    close(ends[1]);
    close(ends[0]);
    say_in(writer, "A", "x");
    expect_reader(reader, "A");
}

/* Both processes read and write there: whose it is, nobody knows. */
CASE(F4, a_fork_shares_the_ends) {
    int ends[2], status;
    open_pipe(ends, 0);
    pid_t child = fork();
    if (child == 0) {
        say_in(ends[1], "child", "x");
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    say_in(ends[1], "A", "y");
    expect_reader(ends[0], "");
    open_pipe(ends, 0);
    say_in(ends[1], "B", "z");
    expect_reader(ends[0], "B");
}

/* What a child writes is read by whoever asked for it. */
CASE(F4, the_output_of_a_child_says_nothing) {
    int ends[2], status;
    open_pipe(ends, 0);
    pid_t child = fork();
    if (child == 0) {
        say_to(ends[1], "x");
        _exit(0);
    }
    close(ends[1]);
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(hear(ends[0]) == 1);
    EXPECT_STACK("A");
    ctxshim_pop(&a);
    REQUIRE(waitpid(child, &status, 0) == child);
}

/* What a loop reads of several children in one batch is for whom each was watched. Before a next read it may
 * have gone on with another request. */
CASE(F2, each_childs_output_is_read_for_whom_it_is_watched) {
    static const char *const names[] = {"A", "B"};
    int ends[2][2], listener = listen_somewhere(), epoll = epoll_create1(0);
    int client = raw_connect(listener), server = accept(listener, NULL, NULL);
    struct epoll_event events[4];
    for (int i = 0; i < 2; i++) {
        ctxshim_scope scope = ctxshim_push(names[i]);
        open_pipe(ends[i], 0);
        pid_t child = fork();
        if (child == 0) {
            say_to(ends[i][1], "x");
            _exit(0);
        }
        close(ends[i][1]);
        watch(epoll, EPOLL_CTL_ADD, ends[i][0], EPOLLIN);
        ctxshim_pop(&scope);
        REQUIRE(waitpid(child, NULL, 0) == child);
    }
    raw_write(client, "question");
    REQUIRE(epoll_wait(epoll, events, 4, 1000) == 2);
    EXPECT(hear(ends[0][0]) == 1);
    EXPECT_STACK("A");
    hear(server);
    EXPECT_STACK("conn#1 req#1");
    say_to(server, "answer");
    char bytes[4]; /* read here: a line may still follow the answer, so it is for sure as deep as this */
    EXPECT(read(ends[1][0], bytes, sizeof bytes) == 1);
    EXPECT_STACK("B");
    EXPECT(read(ends[0][0], bytes, sizeof bytes) == 0); /* its end, too */
    EXPECT_STACK("A");
}

CASE(F2, so_is_a_fifo_that_was_opened_by_its_name) {
    static const char *const names[] = {"A", "B"};
    char directory[] = P_tmpdir "/ctxshim-fifo-XXXXXX", path[64];
    int ends[2][2], epoll = epoll_create1(0);
    struct epoll_event events[4];
    REQUIRE(mkdtemp(directory) != NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/fifo", directory);
        REQUIRE(mkfifo(path, 0600) == 0);
        ends[i][0] = open(path, O_RDONLY | O_NONBLOCK);
        ends[i][1] = open(path, O_WRONLY);
        unlink(path);
        ctxshim_scope scope = ctxshim_push(names[i]);
        watch(epoll, EPOLL_CTL_ADD, ends[i][0], EPOLLIN);
        ctxshim_pop(&scope);
        raw_write(ends[i][1], "x");
    }
    rmdir(directory);
    REQUIRE(epoll_wait(epoll, events, 4, 1000) == 2);
    for (int i = 1; i >= 0; i--) {
        EXPECT(hear(ends[i][0]) == 1);
        EXPECT_STACK(names[i]);
    }
}

CASE(F4, a_fifo_opened_by_its_name_says_nothing) {
    char directory[] = P_tmpdir "/ctxshim-fifo-XXXXXX", path[64];
    REQUIRE(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/fifo", directory);
    REQUIRE(mkfifo(path, 0600) == 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK), writer = open(path, O_WRONLY);
    unlink(path);
    rmdir(directory);
    say_in(writer, "A", "x");
    expect_reader(reader, "");
}

/* Packets whose rest is lost when they are read in part. */
CASE(F4, a_pipe_of_packets_says_nothing) {
    int ends[2];
    char byte;
    open_pipe(ends, O_DIRECT);
    say_in(ends[1], "A", "abc");
    say_in(ends[1], "B", "def");
    EXPECT(read(ends[0], &byte, 1) == 1 && byte == 'a');
    EXPECT_STACK("");
    EXPECT(read(ends[0], &byte, 1) == 1 && byte == 'd');
    EXPECT_STACK("");
}

CASE(H6, a_raw_close_of_an_end_and_another_pipe) {
    int ends[2], others[2];
    open_pipe(ends, 0);
    say_in(ends[1], "A", "x");
    raw_close(ends[0]);
    raw_close(ends[1]);
    open_pipe(others, 0);
    REQUIRE(others[0] == ends[0] && others[1] == ends[1]);
    say_in(others[1], "B", "y");
    expect_reader(others[0], "B");
}
