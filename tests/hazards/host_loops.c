/* Loops that are written in other ways than servers': what they count on must survive the default way of
 * serving them (E0), and every one of them with contexts of its own in each event. */
#include "storm.h"

/* A request on each of so many connections, so that every event has a context of its own. */
enum { CONNECTIONS = 40 };
static int servers[CONNECTIONS], clients[CONNECTIONS];

static void connect_all(void) {
    int listener = listen_somewhere();
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        REQUIRE(servers[i] >= 0);
    }
}

/* Priorities: all that is ready is asked for at once, and the most urgent is served first. */
HOST_CASE(E0, a_loop_with_priorities) {
    int epoll = epoll_create1(0);
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, servers[i], &event) == 0);
    }
    for (int round = 0; round < 30; round++) {
        struct epoll_event events[CONNECTIONS];
        for (int i = 0; i < CONNECTIONS; i++)
            raw_write(clients[i], "question");
        int count = epoll_wait(epoll, events, CONNECTIONS, 1000);
        printf("%d at once, in this order:", count);
        for (int priority = 0; priority < 3; priority++)
            for (int i = 0; i < count; i++)
                if (events[i].data.u32 % 3 == (uint32_t)priority) {
                    printf(" %u", events[i].data.u32);
                    EXPECT(hear(servers[events[i].data.u32]) == 8);
                    say_to(servers[events[i].data.u32], "answer");
                }
        printf("\n");
    }
}

/* An edge-triggered inner epoll, told of by an outer one, and drained until it gives fewer than asked for. */
HOST_CASE(E0, an_inner_epoll_drained_until_it_gives_fewer) {
    enum { BATCH = 8 };
    int outer = epoll_create1(0), inner = epoll_create1(0);
    connect_all();
    watch(outer, EPOLL_CTL_ADD, inner, EPOLLIN | EPOLLET);
    for (int i = 0; i < CONNECTIONS; i++)
        watch(inner, EPOLL_CTL_ADD, servers[i], EPOLLIN | EPOLLET);
    for (int round = 0; round < 30; round++) {
        struct epoll_event event, events[BATCH];
        int served = 0;
        for (int i = 0; i < CONNECTIONS; i++)
            raw_write(clients[i], "question");
        while (served < CONNECTIONS && epoll_wait(outer, &event, 1, 1000) == 1) {
            int count;
            do {
                count = epoll_wait(inner, events, BATCH, 0);
                for (int i = 0; i < count; i++) {
                    EXPECT(hear(events[i].data.fd) == 8);
                    say_to(events[i].data.fd, "answer");
                }
                served += count > 0 ? count : 0;
            } while (count == BATCH);
        }
        printf("%d served\n", served);
    }
}

/* One-shot events, taken by whichever thread is free, armed again by another. */
static int shared_epoll;
static _Atomic int answered, twice;
static _Atomic int busy[1 << 16];

static void *take_one_shots(void *unused) {
    while (atomic_load(&answered) < CONNECTIONS * 30) {
        struct epoll_event event, again = {.events = EPOLLIN | EPOLLONESHOT};
        if (epoll_wait(shared_epoll, &event, 1, 10) != 1)
            continue;
        int fd = event.data.fd;
        atomic_fetch_add(&twice, atomic_exchange(&busy[fd], 1) != 0);
        EXPECT(hear(fd) == 8);
        say_to(fd, "answer");
        atomic_store(&busy[fd], 0);
        again.data.fd = fd;
        atomic_fetch_add(&answered, 1);
        EXPECT(epoll_ctl(shared_epoll, EPOLL_CTL_MOD, fd, &again) == 0);
    }
    return unused;
}

HOST_CASE(E0, one_shot_events_across_threads) {
    pthread_t threads[6];
    connect_all();
    shared_epoll = epoll_create1(0);
    for (int i = 0; i < CONNECTIONS; i++)
        watch(shared_epoll, EPOLL_CTL_ADD, servers[i], EPOLLIN | EPOLLONESHOT);
    for (int i = 0; i < 6; i++)
        REQUIRE(pthread_create(&threads[i], NULL, take_one_shots, NULL) == 0);
    for (int round = 0; round < 30; round++) {
        char text[16];
        for (int i = 0; i < CONNECTIONS; i++)
            raw_write(clients[i], "question");
        for (int i = 0; i < CONNECTIONS; i++)
            EXPECT(raw_read(clients[i], text, sizeof text) == 6);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    printf("%d answered, %d twice at once\n", atomic_load(&answered), atomic_load(&twice));
}

/* A program that asks now and then, without waiting, and counts what it is told. */
HOST_CASE(E0, a_program_that_polls_by_hand_and_counts) {
    int epoll = epoll_create1(0), empty = 0, told = 0;
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++)
        watch(epoll, EPOLL_CTL_ADD, servers[i], EPOLLIN);
    for (int round = 0; round < 100; round++) {
        struct epoll_event events[CONNECTIONS * 2];
        for (int i = 0; i <= round % CONNECTIONS; i++)
            raw_write(clients[i], "question");
        int count = epoll_wait(epoll, events, CONNECTIONS * 2, 0);
        told += count;
        EXPECT(count == round % CONNECTIONS + 1);
        for (int i = 0; i < count; i++) {
            EXPECT(hear(events[i].data.fd) == 8);
            say_to(events[i].data.fd, "answer");
        }
        empty += epoll_wait(epoll, events, CONNECTIONS, 0) == 0;
    }
    printf("told of %d, nothing %d times\n", told, empty);
}

/* The same by poll and select, whose answers are a number too. */
HOST_CASE(E0, a_program_that_polls_and_selects_by_hand) {
    struct pollfd polled[CONNECTIONS];
    int told = 0;
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++)
        polled[i] = (struct pollfd){servers[i], POLLIN, 0};
    for (int round = 0; round < 100; round++) {
        fd_set set;
        FD_ZERO(&set);
        for (int i = 0; i < CONNECTIONS; i++)
            FD_SET(servers[i], &set);
        for (int i = 0; i <= round % CONNECTIONS; i++)
            raw_write(clients[i], "question");
        int count = poll(polled, CONNECTIONS, 0);
        int selected = select(servers[CONNECTIONS - 1] + 1, &set, NULL, NULL, &(struct timeval){0, 0});
        EXPECT(count == round % CONNECTIONS + 1 && selected == count);
        told += count;
        for (int i = 0; i < CONNECTIONS; i++)
            if (polled[i].revents & POLLIN) {
                EXPECT(FD_ISSET(servers[i], &set) && hear(servers[i]) == 8);
                say_to(servers[i], "answer");
            }
    }
    printf("told of %d\n", told);
}
