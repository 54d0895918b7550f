/* `thread`: creates and joins threads while a context is current, and prints nanoseconds for one of them. The
 * same program plain and preloaded tells what the shim adds. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>

enum { CHUNKS = 15, CHUNK = 150 };

static void *body(void *arg) {
    return arg;
}

static double chunk(void) {
    double began = nanoseconds_now();
    for (int i = 0; i < CHUNK; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, body, NULL) != 0)
            complain("no thread");
        pthread_join(thread, NULL);
    }
    return (nanoseconds_now() - began) / CHUNK;
}

int main(void) {
    double values[CHUNKS];
    CTXSHIM_SCOPE("request");
    (void)chunk();
    for (int i = 0; i < CHUNKS; i++)
        values[i] = chunk();
    printf("%.1f\n", median(values, CHUNKS));
    return 0;
}
