/* What a loop's own behaviour tells, and what it does not: E0, E2, E3, E4, E5. Whatever the program's own
 * queue may decide is not for sure. */
#include "case.h"

enum { CONNECTIONS = 3 };
static int epoll_fd, listener, clients[CONNECTIONS], servers[CONNECTIONS];
static struct epoll_event events[8];
static char bytes[64];

static void connect_all(void) {
    listener = listen_somewhere();
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        watch(epoll_fd, EPOLL_CTL_ADD, servers[i], EPOLLIN);
    }
}

/* Calls from the case's own depth: what it does after a read is that read's work. */
#define READ(which) REQUIRE(read(servers[which], bytes, sizeof bytes) > 0)
#define ANSWER(which) REQUIRE(write(servers[which], "answer", 6) == 6)
#define WAIT(milliseconds) epoll_wait(epoll_fd, events, 8, milliseconds)
/* A line of a log: a hook on something that carries nothing. */
#define LOG() REQUIRE(write(null_device(), "line", 4) == 4)

static int null_device(void) {
    static int fd = -1;
    if (fd < 0)
        fd = (int)kernel_call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_WRONLY, 0, 0, 0);
    return fd;
}

static bool in_doubt(void) {
    size_t length = strlen(stack_now());
    return length > 0 && stack_now()[length - 1] == '?';
}

CASE(E0, what_was_read_and_left_puts_the_next_callback_in_doubt) {
    connect_all();
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    LOG();
    EXPECT_STACK("conn#1 req#1");
    READ(1);
    EXPECT_STACK("conn#2 req#1"); /* that call is its own */
    LOG();                        /* this may be the first one's */
    EXPECT_STACK("conn#2 req#1?");
    ANSWER(1);
    EXPECT_STACK("conn#2 req#1?"); /* and so may be what comes after an answer, with no hook between */
    LOG();
    EXPECT_STACK("conn#2 req#1?");
}

CASE(E0, what_was_answered_does_not) {
    connect_all();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            raw_write(clients[i], "question");
        REQUIRE(WAIT(1000) == 2);
        for (int i = 0; i < 2; i++) {
            READ(i);
            LOG();
            EXPECT(!in_doubt());
            ANSWER(i);
            LOG();
            EXPECT(!in_doubt());
        }
    }
}

CASE(E0, nor_does_what_was_handed_on) {
    int backend = listen_somewhere(), upstream = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    REQUIRE(getsockname(backend, (struct sockaddr *)&address, &size) == 0);
    REQUIRE(connect(upstream, (struct sockaddr *)&address, size) == 0);
    connect_all();
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    say_to(upstream, "query");
    READ(1);
    LOG();
    EXPECT_STACK("conn#2 req#1");
}

/* What other threads have put into a list of the loop's is worked off between its batches, without a wait. */
CASE_WITH("dispatch=exact", E0, what_follows_a_request_that_was_given_to_a_thread_is_in_doubt) {
    int worker = eventfd(0, EFD_NONBLOCK);
    connect_all();
    for (volatile int round = 0; round < 3; round++) {
        raw_write(clients[1], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(1);
        poke(worker);
        raw_write(clients[0], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(0);
        EXPECT_STACK(round == 0 ? "conn#1 req#1" : round == 1 ? "conn#1 req#2" : "conn#1 req#3");
        poke(worker);
        LOG(); /* the other one's */
        EXPECT(in_doubt());
        ANSWER(1);
        REQUIRE(WAIT(1) == 0);
        ANSWER(0);
    }
}

/* It only tells a thread, and goes on with the request itself. */
CASE(E0, a_loop_that_answers_what_it_gave_to_a_thread_is_learnt) {
    int worker = eventfd(0, EFD_NONBLOCK);
    connect_all();
    for (volatile int round = 0; round < 12; round++) {
        raw_write(clients[0], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(0);
        poke(worker);
        if (round >= 8) {
            LOG();
            EXPECT(!in_doubt());
        }
        ANSWER(0);
    }
}

/* One request is kept until the next comes. */
CASE_WITH("dispatch=exact", E0, a_loop_that_answers_one_request_in_the_frame_of_the_next_is_in_doubt) {
    connect_all();
    for (volatile int round = 0; round < 5; round++) {
        int which = round % 2;
        raw_write(clients[which], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(which);
        LOG();
        EXPECT(in_doubt() == (round > 0));
        if (round > 0)
            ANSWER(1 - which);
    }
}

/* Another request comes meanwhile, and is answered and logged. Was that in doubt? */
#define ASKS_MEANWHILE(which)                                                                                \
    raw_write(clients[which], "question");                                                                   \
    REQUIRE(WAIT(1000) == 1 && events[0].data.fd == servers[which]);                                         \
    READ(which);                                                                                             \
    LOG();                                                                                                   \
    bool meanwhile = in_doubt();                                                                             \
    ANSWER(which)

/* Whose work that does may be the open one's: until it is known that this one only waits for the rest of it.
 */
CASE(E0, while_a_request_lies_open_the_next_one_is_in_doubt) {
    connect_all();
    for (volatile int round = 0; round < 12; round++) {
        raw_write(clients[0], "half a ");
        REQUIRE(WAIT(1000) == 1);
        READ(0);
        ASKS_MEANWHILE(1);
        EXPECT(meanwhile == (round < 8));
        raw_write(clients[0], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(0);
        LOG();
        EXPECT(!in_doubt() || round < 8);
        ANSWER(0);
    }
}

static void *answers_for_the_loop(void *unused) {
    ANSWER(0);
    return unused;
}

CASE(E0, what_another_thread_answers_is_in_no_list_of_the_loops) {
    connect_all();
    for (volatile int round = 0; round < 12; round++) {
        pthread_t answerer;
        raw_write(clients[0], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(0);
        ASKS_MEANWHILE(1);
        EXPECT(meanwhile == (round < 8));
        REQUIRE(pthread_create(&answerer, NULL, answers_for_the_loop, NULL) == 0);
        pthread_join(answerer, NULL);
    }
}

/* Who is busy with what he was told of need not be told again. */
static int told;

static void *is_told_of_one(void *expected) {
    hear(told);
    EXPECT_STACK((const char *)expected);
    return NULL;
}

static void tell(void *expected) {
    pthread_t worker;
    REQUIRE(pthread_create(&worker, NULL, is_told_of_one, expected) == 0);
    pthread_join(worker, NULL);
}

CASE_WITH("dispatch=exact", E5, a_request_that_was_left_may_lie_where_others_were_handed_on) {
    told = eventfd(0, 0);
    connect_all();
    for (volatile int which = 0; which < CONNECTIONS; which++) {
        raw_write(clients[which], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(which);
        if (which != 1) {
            poke(told);
            tell(which == 0 ? "conn#1 req#1" : "conn#3 req#1?");
        }
        REQUIRE(WAIT(1) == 0);
        close(servers[which]); /* nothing is open */
    }
}

/* Its answer comes at its own event; but that was asked for in the frame of another. */
CASE_WITH("dispatch=exact", E0, who_asks_to_write_an_answer_in_anothers_frame_keeps_requests) {
    connect_all();
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(0);
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 1 && events[0].data.fd == servers[1]);
    READ(1);
    watch(epoll_fd, EPOLL_CTL_MOD, servers[0], EPOLLIN | EPOLLOUT);
    ANSWER(1);
    REQUIRE(WAIT(1000) == 1 && events[0].data.fd == servers[0]);
    ANSWER(0);
    watch(epoll_fd, EPOLL_CTL_MOD, servers[0], EPOLLIN);
    LOG();
    EXPECT(in_doubt());
    ASKS_MEANWHILE(2);
    EXPECT(meanwhile);
}

/* One that asks in its own frame does not. */
CASE_WITH("dispatch=exact", E0, who_asks_in_its_own_does_not) {
    connect_all();
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(0);
    watch(epoll_fd, EPOLL_CTL_MOD, servers[0], EPOLLOUT);
    REQUIRE(WAIT(1000) == 1);
    ANSWER(0);
    watch(epoll_fd, EPOLL_CTL_MOD, servers[0], EPOLLIN);
    LOG();
    EXPECT(!in_doubt());
    ASKS_MEANWHILE(2);
    EXPECT(!meanwhile);
}

/* Nor does a thread that has another event in the midst of its request, which is nobody's. */
CASE_WITH("dispatch=exact", E0, who_goes_on_after_an_event_of_nobodys_does_not) {
    uint64_t one = 1;
    int nobodys = (int)kernel_call(SYS_eventfd2, 0, 0, 0, 0, 0, 0); /* which nobody here knows */
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, nobodys, EPOLLIN);
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(0);
    REQUIRE(kernel_call(SYS_write, nobodys, (long)&one, sizeof one, 0, 0, 0) == sizeof one);
    REQUIRE(WAIT(1000) == 1 && events[0].data.fd == nobodys);
    ANSWER(0);
    watch(epoll_fd, EPOLL_CTL_DEL, nobodys, 0);
    ASKS_MEANWHILE(1);
    EXPECT(!meanwhile);
}

/* Other threads read for this one, which hands the descriptors to them and gets them back without any call.
 */
static _Atomic int to_read, have_read;

static void *read_for_the_loop(void *unused) {
    for (int which = 1; which < CONNECTIONS; which++) {
        while (atomic_load(&to_read) < which) {
        }
        char room[64];
        EXPECT(read(servers[which], room, sizeof room) > 0);
        atomic_store(&have_read, which);
    }
    return unused;
}

static void batch_that_others_read(void) {
    pthread_t reader;
    connect_all();
    REQUIRE(pthread_create(&reader, NULL, read_for_the_loop, NULL) == 0);
    for (int which = 1; which < CONNECTIONS; which++) {
        raw_write(clients[0], "question");
        raw_write(clients[which], "question");
        REQUIRE(WAIT(1000) == 2);
        atomic_store(&to_read, which);
        READ(0);
        while (atomic_load(&have_read) < which) {
        }
        LOG();                            /* for whom the other one has read */
        EXPECT(which == 1 || in_doubt()); /* that there is one has been seen by now */
        ANSWER(which);
        LOG();
        EXPECT(which == 1 || in_doubt());
        ANSWER(0);
    }
    pthread_join(reader, NULL);
}

CASE(E0, what_other_threads_read_for_a_loop_puts_it_in_doubt) {
    batch_that_others_read();
}

CASE_WITH("dispatch=batch", E0, in_batches_that_are_never_changed_as_well) {
    batch_that_others_read();
}

CASE(E2, what_a_poll_reports_comes_into_work_that_is_queued) {
    connect_all();
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(0);
    raw_write(clients[1], "question");
    REQUIRE(WAIT(0) == 1);
    EXPECT(in_doubt());
    LOG();
    EXPECT(in_doubt());
    READ(1);
    EXPECT_STACK("conn#2 req#1");
    LOG();
    EXPECT_STACK("conn#2 req#1?");
    ANSWER(0);
    EXPECT(strncmp(stack_now(), "conn#1 req#1", 12) == 0);
    close(servers[1]);
    REQUIRE(WAIT(1) == 0);
    EXPECT_STACK("");
    raw_write(clients[2], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(2);
    LOG();
    EXPECT_STACK("conn#3 req#1"); /* a wait that blocks leaves nothing queued */
}

/* A loop is known by the place where it waits. */
CASE_WITH("dispatch=exact", E2, an_exact_loop_has_nothing_queued_from_others) {
    connect_all();
    int client = raw_connect(listener);
    watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (volatile int step = 0; step < 14; step++) {
        bool works = step > 0 && step != 2 && step != 13;
        if (step == 1)
            raw_write(clients[0], "question");
        EXPECT(WAIT(works ? 0 : 1000) == !works);
        if (step == 0)
            REQUIRE(accept(listener, NULL, NULL) >= 0);
        if (step == 2)
            READ(0);
        if (step == 3)
            raw_write(clients[1], "question");
        if (step == 12)
            ANSWER(0);
        LOG();
        EXPECT_STACK(step < 2 ? "" : step < 13 ? "conn#1 req#1" : "conn#2");
    }
    raw_close(client);
}

static void *pokes(void *fd) {
    poke(*(int *)fd);
    return NULL;
}

CASE_WITH("dispatch=exact", E2, a_loop_that_another_thread_has_woken_up_may_go_on_with_its_work) {
    int wake = eventfd(0, EFD_NONBLOCK), woken = 0;
    pthread_t other;
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, wake, EPOLLIN);
    for (volatile int step = 0; step < 3; step++) {
        if (step == 0)
            raw_write(clients[0], "question");
        woken = WAIT(step == 0 ? 1000 : 0);
        if (step == 0)
            READ(0);
        EXPECT(step == 2 || woken == !step);
        LOG();
        EXPECT(in_doubt() == (step == 2));
        if (step == 1) {
            REQUIRE(pthread_create(&other, NULL, pokes, &wake) == 0);
            pthread_join(other, NULL);
        }
    }
    EXPECT(woken == 1 && events[0].data.fd == wake); /* the kernel was asked */
}

/* A loop whose wait lies deeper than its callbacks. */
__attribute__((noinline)) static int wait_deeper(int depth) {
    volatile char room[512] = {0};
    int result = depth > 0 ? wait_deeper(depth - 1) : WAIT(1000);
    return result + room[0];
}

CASE(frame, a_loop_reaches_as_far_as_it_comes_back) {
    connect_all();
    for (int round = 0; round < 4; round++) {
        raw_write(clients[0], "question");
        REQUIRE(wait_deeper(3) == 1);
        LOG();
        EXPECT_STACK(round == 0 ? "" : "conn#1");
        READ(0);
        ANSWER(0);
    }
}

/* Its timers answer, so they do the work of requests; whether one is due, its own timeout tells. */
CASE(E3, a_timer_that_is_due_may_be_anybodys) {
    static const int limits[] = {1000, 2, 1, 1000, -1};
    connect_all();
    for (volatile int step = 0; step < 5; step++) {
        int which = step < 2 ? 0 : step - 2;
        if (step != 1)
            raw_write(clients[which], "question");
        EXPECT(WAIT(limits[step]) == (step != 1));
        if (step == 1)
            EXPECT_STACK("");
        else
            READ(which);
        LOG();
        EXPECT(in_doubt() == (step == 2));
        if (step > 0)
            ANSWER(which);
    }
}

/* Two requests wait for something that one wake-up says of both. */
static void ask_two(void) {
    for (int i = 0; i < 2; i++) {
        raw_write(clients[i], "question");
        REQUIRE(WAIT(1000) == 1);
        READ(i);
    }
}

CASE(E5, a_loop_that_logs_after_its_answers_is_believed) {
    int wake = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, wake, EPOLLIN);
    for (int round = 1; round <= 20; round++) {
        ask_two();
        REQUIRE(kernel_call(SYS_write, wake, (long)&one, sizeof one, 0, 0, 0) == sizeof one);
        REQUIRE(WAIT(1000) == 1 && read(wake, bytes, 8) == 8);
        for (int i = 0; i < 2; i++) {
            ANSWER(i);
            LOG();
            EXPECT(round < 10 ? in_doubt() == (round <= 8) || round == 9 : !in_doubt());
        }
    }
}

CASE(E5, one_that_logs_before_them_is_not) {
    int wake = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, wake, EPOLLIN);
    for (int round = 1; round <= 20; round++) {
        ask_two();
        REQUIRE(kernel_call(SYS_write, wake, (long)&one, sizeof one, 0, 0, 0) == sizeof one);
        REQUIRE(WAIT(1000) == 1 && read(wake, bytes, 8) == 8);
        for (int i = 0; i < 2; i++) {
            LOG();
            EXPECT(strcmp(stack_now(), "") == 0 || in_doubt());
            ANSWER(i);
            EXPECT(in_doubt());
        }
    }
}

static void ask_and_wait_for_two(void) {
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
}

/* [answer A] [answer B] [log A] [log B]: in doubt from B's answer on, until the loop gets one event a wait.
 */
CASE(E5, a_batch_whose_logs_come_later_is_in_doubt_until_its_loop_is_exact) {
    int count = 2;
    connect_all();
    for (int round = 0; round < 12 && count == 2; round++) {
        raw_write(clients[0], "question");
        raw_write(clients[1], "question");
        count = WAIT(1000);
        for (int i = 0; i < count; i++) {
            READ(i);
            ANSWER(i);
        }
        for (int i = 0; i < 2; i++) {
            LOG();
            EXPECT(count == 1 || in_doubt());
        }
    }
    EXPECT(count == 1);
}

/* What a batch has answered may be logged in the next one, after something else was read there. */
CASE(E5, the_log_of_a_batch_may_come_with_the_next) {
    connect_all();
    for (volatile int round = 0; round < 2; round++) {
        raw_write(clients[0], "question");
        raw_write(clients[1], "question");
        REQUIRE(WAIT(1000) == 2);
        READ(0);
        LOG();
        EXPECT(in_doubt() == (round == 1));
        ANSWER(0);
        LOG();
        READ(1);
        ANSWER(1); /* without a line in the first */
        if (round == 1)
            LOG();
    }
}

/* Who is never seen to log is not in doubt for long after an answer, nor is his loop changed. */
CASE(E5, a_loop_that_writes_no_log_is_learnt) {
    connect_all();
    for (int round = 0; round < 20; round++) {
        ask_and_wait_for_two();
        for (int i = 0; i < 2; i++) {
            READ(i);
            EXPECT(!in_doubt());
            ANSWER(i);
            if ((round > 0 && round < 3) || round > 5)
                EXPECT(in_doubt() == (round < 3 && (i == 1 || round == 2)));
        }
    }
}

/* All of a batch is read, then all of it answered: nothing of it is in doubt but who is current in between.
 */
CASE(E0, a_loop_that_answers_its_batch_in_a_later_phase_stays_whole) {
    connect_all();
    for (int round = 0; round < 30; round++) {
        ask_and_wait_for_two();
        READ(0);
        READ(1);
        ANSWER(0);
        ANSWER(1);
    }
}

/* One listener's event, and two requests that were accepted and read in its frame: then a task of one of
 * them. */
CASE(E0, a_second_request_read_in_a_listeners_frame_puts_it_in_doubt) {
    int first, second;
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN);
    raw_write(raw_connect(listener), "question");
    raw_write(raw_connect(listener), "question");
    REQUIRE(WAIT(1000) == 1);
    first = accept(listener, NULL, NULL);
    second = accept(listener, NULL, NULL);
    REQUIRE(read(first, bytes, sizeof bytes) > 0);
    EXPECT_STACK("conn#4 req#1");
    REQUIRE(read(second, bytes, sizeof bytes) > 0);
    EXPECT_STACK("conn#5 req#1");
    LOG();
    EXPECT_STACK("conn#5 req#1?");
}

/* The callback of an eventfd that is not read may have begun after any touch. */
CASE(E7, a_batch_with_an_unread_wake_up_is_in_doubt) {
    int wake = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    connect_all();
    watch(epoll_fd, EPOLL_CTL_ADD, wake, EPOLLIN | EPOLLET);
    REQUIRE(kernel_call(SYS_write, wake, (long)&one, sizeof one, 0, 0, 0) == sizeof one);
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    EXPECT_STACK("conn#1 req#1");
    LOG();
    EXPECT_STACK("conn#1 req#1?");
}

CASE(loops, the_end_of_a_connection_is_its_own_callback) {
    connect_all();
    raw_write(clients[0], "question");
    REQUIRE(kernel_call(SYS_close, clients[1], 0, 0, 0, 0, 0) == 0);
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    ANSWER(0);
    EXPECT(read(servers[1], bytes, sizeof bytes) == 0);
    EXPECT_STACK("conn#2");
}

/* A log that is gathered, and written for many answers at once, is no line for each: what is read after it in
 * the same batch is for sure. */
CASE(E5, a_gathered_log_owes_no_lines) {
    enum { REQUESTS = 20, GATHERED = 16 };
    connect_all();
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
    for (int i = 1; i <= REQUESTS; i++) { /* one callback, request after request */
        READ(0);
        ANSWER(0);
        if (i == GATHERED)
            LOG();
        raw_write(clients[0], "question");
    }
    READ(1);
    LOG();
    EXPECT_STACK("conn#2 req#1");
}

/* A socket on the way to a server, and one that the server accepts unseen. */
static int begin_to_connect(int *backend) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    *backend = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(*backend, (struct sockaddr *)&address, size) == 0 && listen(*backend, 8) == 0);
    REQUIRE(getsockname(*backend, (struct sockaddr *)&address, &size) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&address, size) == -1 && errno == EINPROGRESS);
    return fd;
}

/* Two requests wait in a queue of the program's; the query of a third one goes out in between. */
CASE(F8, a_query_sent_out_of_its_turn_says_nothing_of_the_next) {
    int backend, upstream;
    connect_all();
    raw_write(clients[2], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(2);
    upstream = begin_to_connect(&backend);
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    READ(1);
    say_to(upstream, "query");
    LOG();
    EXPECT_STACK("conn#3 req#1?");
}

/* The reply of a server that one request asked, and another one's question, in one batch. */
static int await_reply(void) {
    int backend, upstream, server;
    connect_all();
    raw_write(clients[0], "question");
    REQUIRE(WAIT(1000) == 1);
    READ(0);
    upstream = begin_to_connect(&backend);
    REQUIRE((server = (int)kernel_call(SYS_accept, backend, 0, 0, 0, 0, 0)) >= 0);
    say_to(upstream, "query");
    watch(epoll_fd, EPOLL_CTL_ADD, upstream, EPOLLIN);
    raw_write(server, "reply");
    raw_write(clients[1], "question");
    return upstream;
}

CASE(E0, a_reply_that_was_read_and_left_does_as_well) {
    int upstream = await_reply();
    REQUIRE(WAIT(1000) == 2);
    REQUIRE(read(upstream, bytes, sizeof bytes) > 0);
    EXPECT_STACK("conn#1 req#1");
    READ(1);
    EXPECT_STACK("conn#2 req#1");
    LOG();
    EXPECT_STACK("conn#2 req#1?");
}

CASE(E0, nor_does_a_reply_that_was_passed_on) {
    int upstream = await_reply();
    REQUIRE(WAIT(1000) == 2);
    REQUIRE(read(upstream, bytes, sizeof bytes) > 0);
    ANSWER(0);
    LOG();
    READ(1);
    LOG();
    EXPECT_STACK("conn#2 req#1");
}

/* The very first batch of a loop: nobody knows yet that it logs after all of its answers. */
CASE(E5, the_log_of_a_first_batch_may_come_after_another_request_was_read) {
    connect_all();
    raw_write(clients[0], "question");
    raw_write(clients[1], "question");
    REQUIRE(WAIT(1000) == 2);
    READ(0);
    ANSWER(0);
    READ(1);
    EXPECT_STACK("conn#2 req#1");
    LOG();
    EXPECT_STACK("conn#2 req#1?");
}

/* Without a wait: who comes back for more of what he had goes on with that; who looks elsewhere, in vain,
 * does not. */
CASE(F7, who_looks_elsewhere_in_vain_has_nothing) {
    connect_all();
    for (int i = 0; i < 2; i++) {
        raw_write(clients[i], "question");
        READ(i);
        ANSWER(i);
    }
    EXPECT(recv(servers[1], bytes, sizeof bytes, MSG_DONTWAIT) == -1);
    EXPECT_STACK("conn#2 req#1");
    EXPECT(recv(servers[0], bytes, sizeof bytes, MSG_DONTWAIT) == -1);
    EXPECT_STACK("");
}
