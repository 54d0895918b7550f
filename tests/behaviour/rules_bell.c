/* F9, E11, F1: workers of a pool that each have a condition of their own. */
#include "case.h"

#include <time.h>

enum { CONNECTIONS = 3 };
static int clients[CONNECTIONS], servers[CONNECTIONS];

/* One worker of a pool whose workers each have a condition: it answers a request, or only looks. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t conditions[2], news[2];
    int fds[2]; /* to serve; -1: to look; 0: nothing */
    bool sleeps[2];
} crew = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* For somebody who never comes, somewhere else than at the bottom of its loop. */
__attribute__((noinline)) static void wait_elsewhere(int number) {
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    pthread_mutex_lock(&crew.mutex);
    pthread_cond_timedwait(&crew.news[number], &crew.mutex, &soon);
    pthread_mutex_unlock(&crew.mutex);
}

static void *work_in_crew(void *argument) {
    int number = argument != NULL;
    for (;;) {
        pthread_mutex_lock(&crew.mutex);
        crew.sleeps[number] = true;
        while (crew.fds[number] == 0)
            pthread_cond_wait(&crew.conditions[number], &crew.mutex);
        int fd = crew.fds[number];
        crew.fds[number] = 0;
        pthread_mutex_unlock(&crew.mutex);
        if (fd > 0) {
            hear(fd);
            wait_elsewhere(number);
            say_to(fd, "y");
        } else {
            EXPECT_STACK("");
            wait_elsewhere(number);
        }
    }
    return NULL;
}

/* Whichever sleeps gets it. */
static void order(int number, int fd) {
    for (bool given = false; !given;) {
        pthread_mutex_lock(&crew.mutex);
        if (crew.sleeps[number] && crew.fds[number] == 0) {
            crew.sleeps[number] = false;
            crew.fds[number] = fd;
            pthread_cond_signal(&crew.conditions[number]);
            given = true;
        }
        pthread_mutex_unlock(&crew.mutex);
        usleep(100);
    }
}

CASE(F1, a_worker_with_a_condition_of_its_own_keeps_nobody) {
    pthread_t threads[2];
    int listener = listen_somewhere();
    char answer[8];
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work_in_crew, i ? &crew : NULL) == 0);
    for (int i = 0; i < 12; i++) {
        int client = raw_connect(listener), server = accept(listener, NULL, NULL);
        order(i % 2, server);
        raw_write(client, "x");
        REQUIRE(raw_read(client, answer, sizeof answer) > 0);
        raw_close(client);
        order(i % 2, -1);
        order(i % 2, -1);
    }
}

/* Each worker has a bell; who rings waits for the result, or does not. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t bells[2], result;
    bool rung[2], done, silently;
    int sleeping;
    char seen[64];
} desk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *work_at_desk(void *argument) {
    int number = argument != NULL;
    for (;;) {
        pthread_mutex_lock(&desk.mutex);
        desk.sleeping++;
        while (!desk.rung[number])
            pthread_cond_wait(&desk.bells[number], &desk.mutex);
        desk.sleeping--;
        desk.rung[number] = false;
        pthread_mutex_unlock(&desk.mutex);
        pthread_mutex_lock(&desk.mutex);
        strcpy(desk.seen, stack_now());
        desk.done = true;
        if (!desk.silently)
            pthread_cond_signal(&desk.result);
        pthread_mutex_unlock(&desk.mutex);
    }
    return NULL;
}

/* What the worker saw. */
static const char *ring(int number) {
    pthread_mutex_lock(&desk.mutex);
    while (desk.sleeping < 2) {
        pthread_mutex_unlock(&desk.mutex);
        usleep(100);
        pthread_mutex_lock(&desk.mutex);
    }
    desk.rung[number] = true;
    desk.done = false;
    pthread_cond_signal(&desk.bells[number]);
    while (!desk.done && !desk.silently)
        pthread_cond_wait(&desk.result, &desk.mutex);
    pthread_mutex_unlock(&desk.mutex);
    for (bool done = false; !done; usleep(100)) {
        pthread_mutex_lock(&desk.mutex);
        done = desk.done;
        pthread_mutex_unlock(&desk.mutex);
    }
    return desk.seen;
}

static void start_desk(void) {
    pthread_t thread;
    int listener = listen_somewhere();
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
    }
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread, NULL, work_at_desk, i ? &desk : NULL) == 0);
}

static void ask_desk(int request, char *own, const char **seen) {
    char answer[8];
    raw_write(clients[request % CONNECTIONS], "x");
    REQUIRE(hear(servers[request % CONNECTIONS]) == 1);
    strcpy(own, stack_now());
    *seen = ring(request % 2);
    say_to(servers[request % CONNECTIONS], "y");
    REQUIRE(raw_read(clients[request % CONNECTIONS], answer, sizeof answer) > 0);
}

CASE(F9, a_condition_of_its_own_tells_a_worker_whose_its_work_is) {
    char own[64];
    const char *seen;
    start_desk();
    for (int i = 0; i < 60; i++) {
        ask_desk(i, own, &seen);
        EXPECT(i < 30 ? seen[0] == '\0' || strcmp(seen, own) == 0 : strcmp(seen, own) == 0);
    }
}

CASE(E11, without_better_evidence_a_condition_of_its_own_is_silent) {
    char own[64];
    const char *seen;
    desk.silently = true;
    start_desk();
    for (int i = 0; i < 60; i++) {
        ask_desk(i, own, &seen);
        EXPECT(seen[0] == '\0');
    }
}
