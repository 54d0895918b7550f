/* F4: contexts follow the bytes of pipes and socketpairs, byte for byte (H20). */
#include "pipes.h"

#include <sched.h>
#include <stdlib.h>

static _Atomic int destroyed;
static void *volatile nowhere = (void *)1;

CASE(F4, a_pipe_carries_its_writers_context) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    say_in(ends[1], "A", "question");
    EXPECT_STACK("");
    EXPECT(hear(ends[0]) == 8);
    EXPECT_STACK("A");
}

CASE(F4, pointers_come_one_by_one) {
    int ends[2];
    open_pipe(ends, O_NONBLOCK);
    static const char *const names[] = {"A", "B", "C", "A", "D"};
    for (size_t i = 0; i < 5; i++)
        put_in(ends[1], names[i], &names[i], sizeof names[i]);
    for (size_t i = 0; i < 5; i++) {
        const char *got = NULL;
        EXPECT(read(ends[0], &got, sizeof got) == sizeof got && got == names[i]);
        EXPECT_STACK(names[i]);
    }
}

CASE(F4, chunks_of_one_write_are_its) {
    int ends[2];
    open_pipe(ends, 0);
    say_in(ends[1], "A", "abcdef");
    say_in(ends[1], "B", "ghi");
    for (int i = 0; i < 6; i++)
        expect_read(ends[0], 1, "A");
    expect_read(ends[0], 3, "B");
}

CASE(F4, a_read_of_several_is_in_doubt) {
    int ends[2];
    open_pipe(ends, 0);
    say_in(ends[1], "A", "abc");
    say_in(ends[1], "B", "def");
    say_in(ends[1], "C", "ghi");
    expect_read(ends[0], 4, "A?");
    expect_reader(ends[0], "B?");
}

/* What is left of a write that was read in part is its all the same. */
CASE(F4, the_rest_after_a_read_of_several_is_its_own) {
    int ends[2];
    open_pipe(ends, 0);
    say_in(ends[1], "A", "abc");
    say_in(ends[1], "B", "def");
    expect_read(ends[0], 4, "A?");
    expect_read(ends[0], 1, "B");
    expect_reader(ends[0], "B");
}

CASE(F4, several_writes_of_one_context_are_exact) {
    int ends[2];
    open_pipe(ends, 0);
    ctxshim_scope a = ctxshim_push("A");
    for (int i = 0; i < 10; i++)
        say_to(ends[1], "abc");
    ctxshim_pop(&a);
    expect_read(ends[0], 30, "A");
}

CASE(F4, vectors) {
    int ends[2];
    open_pipe(ends, 0);
    char bytes[8];
    struct iovec out[2] = {{"ab", 2}, {"cdef", 4}}, in[3] = {{bytes, 1}, {bytes + 1, 2}, {bytes + 3, 5}};
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(writev(ends[1], out, 2) == 6);
    ctxshim_pop(&a);
    say_in(ends[1], "B", "gh");
    EXPECT(readv(ends[0], in, 2) == 3);
    EXPECT_STACK("A");
    EXPECT(readv(ends[0], in, 1) == 1);
    EXPECT_STACK("A");
    EXPECT(readv(ends[0], in, 2) == 3);
    EXPECT_STACK("A?");
    expect_reader(ends[0], "B");
}

/* A vector that is cut short leaves what went out, and no more. */
CASE(F4, a_vector_that_is_cut_short) {
    int ends[2];
    static char much[1 << 20];
    open_pipe(ends, O_NONBLOCK);
    struct iovec out[2] = {{much, 100}, {much, sizeof much}};
    ctxshim_scope a = ctxshim_push("A");
    long sent = writev(ends[1], out, 2);
    EXPECT(write(ends[1], much, 1) == -1 && errno == EAGAIN);
    ctxshim_pop(&a);
    EXPECT(sent > 100 && sent < (long)sizeof much);
    for (long left = sent; left > 0; left -= 4096)
        expect_read(ends[0], left < 4096 ? (size_t)left : 4096, "A");
    ctxshim_scope b = ctxshim_push("B");
    say_to(ends[1], "x");
    ctxshim_pop(&b);
    expect_reader(ends[0], "A B");
}

CASE(F4, who_goes_on_with_a_write_that_was_cut_short) {
    int ends[2];
    static char much[1 << 20];
    open_pipe(ends, O_NONBLOCK);
    ctxshim_scope a = ctxshim_push("A");
    long sent = write(ends[1], much, sizeof much);
    ctxshim_pop(&a);
    EXPECT_STACK("");
    EXPECT(sent > 0 && sent < (long)sizeof much);
    for (int i = 0; i < 2; i++) {
        struct epoll_event event;
        int epoll = epoll_create1(0);
        while (kernel_call(SYS_read, ends[0], (long)much, sizeof much, 0, 0, 0) > 0)
            ;
        watch(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT);
        REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT_STACK(i == 0 ? "A" : "");
        EXPECT(epoll_wait(epoll, &event, 1, 1000) == 1);
        say_to(ends[1], "rest");
        EXPECT_STACK(i == 0 ? "A" : "");
        close(epoll);
        EXPECT(epoll_wait(epoll, &event, 1, 0) == -1);
    }
}

CASE(F4, nothing_read_and_nothing_written) {
    int ends[2];
    open_pipe(ends, O_NONBLOCK);
    char byte;
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(write(ends[1], "", 0) == 0);
    ctxshim_pop(&a);
    EXPECT(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
    EXPECT_STACK("");
    say_in(ends[1], "B", "x");
    EXPECT(read(ends[0], &byte, 0) == 0);
    EXPECT_STACK("");
    expect_read(ends[0], 1, "B");
    ctxshim_scope c = ctxshim_push("C");
    EXPECT(write(ends[1], nowhere, 5) == -1 && errno == EFAULT);
    ctxshim_pop(&c);
    say_in(ends[1], "D", "y");
    EXPECT(read(ends[0], nowhere, 5) == -1 && errno == EFAULT);
    expect_read(ends[0], 1, "D");
}

CASE(F4, a_peek_takes_nothing) {
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    char bytes[8];
    say_in(ends[1], "A", "ab");
    say_in(ends[1], "B", "cd");
    for (int i = 0; i < 3; i++) {
        EXPECT(recv(ends[0], bytes, 1, MSG_PEEK) == 1);
        EXPECT_STACK("A");
    }
    EXPECT(recv(ends[0], bytes, 2, 0) == 2 && bytes[1] == 'b');
    EXPECT_STACK("A");
    EXPECT(recv(ends[0], bytes, 8, MSG_PEEK) == 2);
    EXPECT_STACK("B");
    expect_reader(ends[0], "B");
}

/* --- socketpairs ---------------------------------------------------------------------------------- */

CASE(F4, a_socketpair_goes_both_ways) {
    int ends[2];
    open_pair(ends, SOCK_STREAM);
    for (int i = 0; i < 2; i++) {
        say_in(ends[i], i == 0 ? "A" : "B", "question");
        expect_reader(ends[1 - i], i == 0 ? "A" : "B");
    }
}

CASE(F4, every_way_to_write_to_a_socketpair) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int type = 0; type < 3; type++) {
        int ends[2];
        open_pair(ends, types[type]);
        struct iovec vector = {"abcd", 4};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        struct mmsghdr messages[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
        static const char *const names[] = {"A", "B", "C", "D", "E", "F"};
        char buffer[8];
        struct iovec into = {buffer, 4};
        struct msghdr place = {.msg_iov = &into, .msg_iovlen = 1};
        struct mmsghdr places = {.msg_hdr = place};
        for (int way = 0; way < 6; way++) {
            ctxshim_scope clean = ctxshim_attach(NULL), scope = ctxshim_push(names[way]);
            EXPECT(way == 0   ? write(ends[0], "abcd", 4) == 4
                   : way == 1 ? writev(ends[0], &vector, 1) == 4
                   : way == 2 ? send(ends[0], "abcd", 4, 0) == 4
                   : way == 3 ? sendto(ends[0], "abcd", 4, 0, NULL, 0) == 4
                   : way == 4 ? sendmsg(ends[0], &message, 0) == 4
                              : sendmmsg(ends[0], messages, 2, 0) == 2);
            ctxshim_pop(&scope);
            ctxshim_pop(&clean);
        }
        for (int way = 0; way < 7; way++) {
            EXPECT(way == 0   ? read(ends[1], buffer, 4) == 4
                   : way == 1 ? readv(ends[1], &into, 1) == 4
                   : way == 2 ? recv(ends[1], buffer, 4, 0) == 4
                   : way == 3 ? recvfrom(ends[1], buffer, 4, 0, NULL, NULL) == 4
                   : way == 4 ? recvmsg(ends[1], &place, 0) == 4
                              : recvmmsg(ends[1], &places, 1, 0, NULL) == 1);
            EXPECT_STACK(names[way < 6 ? way : 5]);
        }
    }
}

CASE(F4, messages_keep_their_boundaries) {
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    for (int type = 0; type < 2; type++) {
        int ends[2];
        char bytes[16];
        open_pair(ends, types[type]);
        say_in(ends[0], "A", "a long message");
        say_in(ends[0], "B", "short");
        ctxshim_scope c = ctxshim_push("C");
        EXPECT(send(ends[0], "", 0, 0) == 0);
        ctxshim_pop(&c);
        say_in(ends[0], "D", "last");
        EXPECT(recv(ends[1], bytes, 2, MSG_PEEK) == 2);
        EXPECT(recv(ends[1], bytes, 3, MSG_TRUNC) == 14);
        EXPECT_STACK("A");
        EXPECT(read(ends[1], bytes, 1) == 1);
        EXPECT_STACK("B");
        EXPECT(read(ends[1], bytes, 1) == 0);
        EXPECT_STACK("C");
        EXPECT(read(ends[1], bytes, sizeof bytes) == 4);
        EXPECT_STACK("D");
        EXPECT(recv(ends[1], bytes, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    }
}

CASE(F4, several_messages_in_one_call_are_in_doubt) {
    int ends[2];
    char bytes[3][8];
    struct iovec vectors[3] = {{bytes[0], 8}, {bytes[1], 8}, {bytes[2], 8}};
    struct mmsghdr messages[3];
    open_pair(ends, SOCK_DGRAM);
    for (int i = 0; i < 3; i++)
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    say_in(ends[0], "A", "one");
    say_in(ends[0], "B", "two");
    say_in(ends[0], "C", "three");
    EXPECT(recvmmsg(ends[1], messages, 2, 0, NULL) == 2);
    EXPECT_STACK("A?");
    expect_reader(ends[1], "C");
}

CASE(F4, half_closed) {
    int ends[2];
    char byte;
    open_pair(ends, SOCK_STREAM);
    say_in(ends[0], "A", "x");
    REQUIRE(shutdown(ends[0], SHUT_WR) == 0);
    ctxshim_scope b = ctxshim_push("B");
    EXPECT(send(ends[0], "y", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    ctxshim_pop(&b);
    say_in(ends[1], "C", "z");
    expect_read(ends[1], 1, "A");
    EXPECT(read(ends[1], &byte, 1) == 0);
    expect_read(ends[0], 1, "C");
}

/* --- order ---------------------------------------------------------------------------------------- */

struct item {
    const char *name;
    int number;
};
enum { WRITERS = 4, READERS = 3, ITEMS = 500 };
static int crowd[2];
static _Atomic int right_items, wrong_items, doubtful_items;

static void *write_items(void *name) {
    for (int i = 0; i < ITEMS; i++) {
        struct item *item = malloc(sizeof *item);
        *item = (struct item){name, i};
        put_in(crowd[1], name, &item, sizeof item);
        if (i % 50 == 0)
            sched_yield();
    }
    return NULL;
}

static void *read_items(void *unused) {
    struct item *item;
    while (read(crowd[0], &item, sizeof item) == sizeof item && item != NULL) {
        const char *stack = stack_now();
        if (strcmp(stack, item->name) == 0)
            atomic_fetch_add(&right_items, 1);
        else if (stack[0] == '\0' || strchr(stack, '?') != NULL)
            atomic_fetch_add(&doubtful_items, 1);
        else
            atomic_fetch_add(&wrong_items, 1);
    }
    return unused;
}

/* One crowd at one pipe: none wrong, none lost. Returns how many items were in doubt. */
static int crowd_once(void) {
    static char names[WRITERS][2] = {"A", "B", "C", "D"};
    pthread_t writers[WRITERS], readers[READERS];
    atomic_store(&right_items, 0);
    atomic_store(&doubtful_items, 0);
    REQUIRE(pipe(crowd) == 0);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, read_items, NULL) == 0);
    for (int i = 0; i < WRITERS; i++)
        REQUIRE(pthread_create(&writers[i], NULL, write_items, names[i]) == 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    struct item *end = NULL;
    for (int i = 0; i < READERS; i++)
        REQUIRE(write(crowd[1], &end, sizeof end) == sizeof end);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    close(crowd[0]);
    close(crowd[1]);
    EXPECT(atomic_load(&wrong_items) == 0);
    EXPECT(atomic_load(&right_items) + atomic_load(&doubtful_items) == WRITERS * ITEMS);
    return atomic_load(&doubtful_items);
}

/* Writers that overlap, readers that overlap: the pointers tell which is whose, but for those of a writer who
 * is pushed off the processor before he has said what he wrote. */
CASE(F4, many_writers_and_many_readers) {
    EXPECT(crowd_once() < WRITERS * ITEMS / 20);
}

/* A full pipe of pointers, each of another context. */
CASE(F4, a_full_pipe) {
    int ends[2], count = 0;
    open_pipe(ends, O_NONBLOCK);
    for (;; count++) {
        uintptr_t item = (uintptr_t)count + 1;
        char name[16];
        snprintf(name, sizeof name, "w%d", count);
        ctxshim_scope scope = ctxshim_push(name);
        long sent = write(ends[1], &item, sizeof item);
        ctxshim_pop(&scope);
        if (sent == -1)
            break;
    }
    EXPECT(errno == EAGAIN && count == 8192);
    for (int i = 0; i < count; i++) {
        uintptr_t item = 0;
        char expected[16];
        snprintf(expected, sizeof expected, "w%d", i);
        EXPECT(read(ends[0], &item, sizeof item) == sizeof item && item == (uintptr_t)i + 1);
        if (i % 512 == 0)
            EXPECT_STACK(expected);
    }
}

/* Bytes that nobody counted: unknown, until the pipe has been seen empty. */
CASE(F4, what_nobody_saw_being_written_is_unknown) {
    int ends[2];
    open_pipe(ends, O_NONBLOCK);
    say_in(ends[1], "A", "abcd");
    REQUIRE(kernel_call(SYS_write, ends[1], (long)"1234", 4, 0, 0, 0) == 4);
    say_in(ends[1], "B", "efgh");
    expect_read(ends[0], 4, "A");
    expect_reader(ends[0], "");
    say_in(ends[1], "C", "ijkl");
    expect_reader(ends[0], "C");
}

CASE(F4, what_nobody_saw_being_read_is_noticed) {
    int ends[2];
    char bytes[4];
    open_pipe(ends, O_NONBLOCK);
    say_in(ends[1], "A", "abcd");
    say_in(ends[1], "B", "efgh");
    REQUIRE(kernel_call(SYS_read, ends[0], (long)bytes, 4, 0, 0, 0) == 4);
    expect_reader(ends[0], "");
    say_in(ends[1], "C", "ijkl");
    REQUIRE(kernel_call(SYS_read, ends[0], (long)bytes, 4, 0, 0, 0) == 4);
    EXPECT(read(ends[0], bytes, 4) == -1 && errno == EAGAIN);
    say_in(ends[1], "D", "mnop");
    expect_reader(ends[0], "D");
}

/* A handler that writes while the shim is at work is not counted, but noticed. */
static int handler_pipe[2];
static _Atomic long handled;

static void write_in_handler(int number) {
    int kept = errno;
    (void)number;
    if (write(handler_pipe[1], "!", 1) == 1)
        atomic_fetch_add(&handled, 1);
    errno = kept;
}

CASE(F4, handlers_that_write) {
    struct sigaction action = {.sa_handler = write_in_handler, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 200000}, {0, 200000}};
    timer_t timer;
    long read_bytes = 0, wrong = 0, known = 0;
    open_pipe(handler_pipe, O_NONBLOCK);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
    for (int i = 0; i < 200000; i++) {
        say_in(handler_pipe[1], "A", "abcdefgh");
        say_in(handler_pipe[1], "B", "ABCDEFGH");
        char bytes[8];
        for (long got; (got = read(handler_pipe[0], bytes, 8)) > 0; read_bytes += got) {
            const char *stack = stack_now();
            bool mine = strcmp(stack, "A") == 0 || strcmp(stack, "B") == 0;
            known += mine;
            if (got == 8 && mine && memchr(bytes, '!', 8) == NULL)
                wrong += (stack[0] == 'A') != (bytes[0] == 'a');
        }
    }
    timer_delete(timer);
    signal(SIGUSR1, SIG_IGN); /* what one wrote last is still there */
    for (char last; read(handler_pipe[0], &last, 1) == 1;)
        read_bytes++;
    EXPECT(wrong == 0);
    EXPECT(known > 200000);
    EXPECT(read_bytes == 200000L * 16 + atomic_load(&handled));
    EXPECT(atomic_load(&handled) > 100);
}

/* --- errno, cancellation -------------------------------------------------------------------------- */

HOST_CASE(H12, pipes_leave_errno_alone) {
    int ends[2];
    char byte;
    open_pipe(ends, O_NONBLOCK);
    errno = 0;
    EXPECT(write(ends[1], "x", 1) == 1 && errno == 0);
    EXPECT(read(ends[0], &byte, 1) == 1 && errno == 0);
    EXPECT(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
    EXPECT(write(ends[0], &byte, 1) == -1 && errno == EBADF);
    EXPECT(read(ends[1], &byte, 1) == -1 && errno == EBADF);
    close(ends[0]);
    EXPECT(write(ends[1], &byte, 1) == -1 && errno == EPIPE);
    errno = E2BIG;
    close(ends[1]);
    EXPECT(errno == E2BIG);
}

static int cancelled_ends[2];
static void *read_until_cancelled(void *unused) {
    hear(cancelled_ends[0]);
    return unused;
}

/* A reader that never comes back is no rival to the next. */
CASE(H14, a_cancelled_reader_leaves_no_doubt) {
    pthread_t thread;
    open_pipe(cancelled_ends, 0);
    REQUIRE(pthread_create(&thread, NULL, read_until_cancelled, NULL) == 0);
    usleep(50000);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    say_in(cancelled_ends[1], "A", "x");
    say_in(cancelled_ends[1], "B", "x");
    expect_read(cancelled_ends[0], 1, "A");
    expect_read(cancelled_ends[0], 1, "B");
}

/* --- events --------------------------------------------------------------------------------------- */

CASE(F4, an_event_is_about_the_first_byte) {
    int ends[2], epoll = epoll_create1(0);
    struct epoll_event event;
    open_pipe(ends, O_NONBLOCK);
    ctxshim_scope registering = ctxshim_push("registering");
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    ctxshim_pop(&registering);
    for (int i = 0; i < 3; i++) {
        const char *name = i == 0 ? "A" : i == 1 ? "B" : "C";
        say_in(ends[1], name, "xy");
        for (int again = 0; again < 2; again++) {
            REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
            EXPECT_STACK(name);
            expect_read(ends[0], 1, name);
        }
        EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
        EXPECT_STACK("");
    }
}

CASE(F4, an_event_with_several_waiting_is_in_doubt_until_it_is_read) {
    int ends[2], epoll = epoll_create1(0);
    struct epoll_event event;
    open_pipe(ends, O_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    say_in(ends[1], "A", "abcdefgh");
    say_in(ends[1], "B", "ijklmnop");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    EXPECT_STACK("A?");
    expect_read(ends[0], 8, "A");
    expect_read(ends[0], 8, "B");
}

/* Who reads all there is, and only then handles it, works for nobody in particular. */
CASE(F4, a_callback_that_drained_several_is_in_doubt) {
    int ends[2], epoll = epoll_create1(0);
    struct epoll_event event;
    char byte;
    open_pipe(ends, O_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    say_in(ends[1], "A", "x");
    say_in(ends[1], "B", "y");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    while (read(ends[0], &byte, 1) == 1)
        ;
    EXPECT_STACK("B?");
    EXPECT(epoll_wait(epoll, &event, 1, 1) == 0);
    say_in(ends[1], "C", "xyz");
    REQUIRE(epoll_wait(epoll, &event, 1, 1000) == 1);
    while (read(ends[0], &byte, 1) == 1)
        ;
    EXPECT_STACK("C");
}

/* C25: a worker lets go of its work before it waits for the next. */
CASE(F4, a_worker_lets_go_of_its_work_before_it_waits) {
    int ends[2];
    char byte;
    open_pipe(ends, 0);
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope scope = ctxshim_with(key, (void *)&destroyed);
    say_to(ends[1], "x");
    ctxshim_pop(&scope);
    for (int i = 0; i < 2; i++) {
        EXPECT(read(ends[0], &byte, 1) == 1);
        EXPECT(atomic_load(&destroyed) == i);
        kernel_call(SYS_write, ends[1], (long)"y", 1, 0, 0, 0);
    }
}
