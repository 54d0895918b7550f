/* H26, H9: without memory of ours the program runs on. `deny` fails our allocations while this runs. */
#include "storm.h"

#include <stdlib.h>

/* A server with two connections and two threads that answer, in contexts, and whatever else there is. */
static void *answer(void *argument) {
    int fd = *(int *)argument;
    char text[64];
    for (long got; (got = read(fd, text, sizeof text)) > 0;)
        EXPECT(write(fd, text, (size_t)got) == got);
    return NULL;
}

static void serve(void) {
    int listener = listen_somewhere(), clients[2], servers[2];
    pthread_t threads[2];
    char text[64];
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(listener);
        servers[i] = accept(listener, NULL, NULL);
        REQUIRE(pthread_create(&threads[i], NULL, answer, &servers[i]) == 0);
    }
    for (int i = 0; i < 10; i++) {
        raw_write(clients[i % 2], "question");
        EXPECT(raw_read(clients[i % 2], text, sizeof text) == 8);
    }
    for (int i = 0; i < 2; i++) {
        raw_close(clients[i]);
        pthread_join(threads[i], NULL);
        close(servers[i]);
    }
}

static void take_value(void *value) {
    (void)value;
}

HOST_CASE(H26, a_bit_of_everything) {
    alarm(60);
    ctxshim_key *key = ctxshim_key_create("key", take_value);
    ctxshim_scope scope = ctxshim_push("an operation");
    static char value;
    errno = 0;
    ctxshim_scope with = ctxshim_with(key, &value);
    EXPECT(storm_once() == 0);
    serve();
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(storm_once());
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(system("exit 0") == 0);
    int high = fcntl(0, F_DUPFD, 9000);
    EXPECT(high >= 9000 && close(high) == 0);
    ctxshim_pop(&with);
    ctxshim_pop(&scope);
    fprintf(stderr, "to stderr\n");
    printf("done\n");
}
