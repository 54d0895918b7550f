/* The logical-stack example (C28) with threads. Two pieces of work, 1 and 2, run at the same time under one
 * "Main"; each has two steps, A and then B, that wait 10 ms. Nothing is handed to a thread but its name: that
 * it works for "Main" it has from pthread_create, by the shim (F1).
 *
 * After the example for .NET's CorrelationManager.LogicalOperationStack. */
#include "logical_stack.h"

#include <pthread.h>
#include <time.h>

static void more_work(const char *name) {
    CTXSHIM_SCOPE(name);
    say("<MoreWork>");
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    say("</MoreWork>");
}

static void *some_work(void *name) {
    CTXSHIM_SCOPE(name);
    say("<SomeWork>");
    more_work("A");
    more_work("B");
    say("</SomeWork>");
    return NULL;
}

int main(void) {
    static char names[][2] = {"1", "2"};
    pthread_t threads[2];
    CTXSHIM_SCOPE("Main");
    say("<Main>");
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, some_work, names[i]) != 0)
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    say("</Main>");
    return 0;
}
