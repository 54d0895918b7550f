/* libevent: three priorities, edge-triggered and one-shot events, timers, signals, work that is put off, and
 * a thread that wakes the loop. */
#include "loops.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

static struct event_base *base;
static struct event *events[CONNECTIONS], *later, *woken, *often;
static int served, ticks, how;

static void asked(evutil_socket_t fd, short what, void *argument) {
    int connection = (int)(intptr_t)argument;
    (void)fd;
    MUST(what & EV_READ);
    served += serve(connection);
    if ((how & EV_ET) != 0)
        while (serve(connection))
            served++;
    if ((how & EV_PERSIST) == 0)
        event_add(events[connection], NULL);
    if (connection % 10 == 0)
        event_active(later, EV_READ, 0);
    if (served == CONNECTIONS)
        event_base_loopbreak(base);
}

static void put_off(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    (void)what;
    (void)argument;
    printf(" later");
}

static void round_of(int kind, int priorities) {
    how = kind;
    for (int i = 0; i < CONNECTIONS; i++) {
        events[i] = event_new(base, servers[i], (short)(EV_READ | kind), asked, (void *)(intptr_t)i);
        event_priority_set(events[i], i % priorities);
        MUST(event_add(events[i], NULL) == 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        served = 0;
        ask_all();
        event_base_dispatch(base);
        answers_read();
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        event_free(events[i]);
}

static void tick(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    printf("tick %s%s\n", (char *)argument, what & EV_TIMEOUT ? "" : "?");
    if (++ticks != 5)
        return;
    event_del(often);
    raise(SIGUSR1);
}

static void signalled(evutil_socket_t number, short what, void *argument) {
    printf("signal %d, %d\n", number == SIGUSR1, what == EV_SIGNAL);
    event_base_loopexit(argument, NULL);
}

static void *wake(void *unused) {
    event_active(woken, EV_READ, 1);
    return unused;
}

static void was_woken(evutil_socket_t fd, short what, void *argument) {
    (void)fd;
    printf("woken %d\n", what == EV_READ);
    event_base_loopbreak(argument);
}

int main(void) {
    struct timeval soon = {0, 2000}, late = {0, 300000};
    pthread_t thread;
    evthread_use_pthreads();
    base = event_base_new();
    printf("%s\n", event_base_get_method(base));
    event_base_priority_init(base, 3);
    connect_all();
    later = event_new(base, -1, 0, put_off, NULL);
    event_priority_set(later, 2);
    round_of(EV_PERSIST, 3);
    round_of(EV_PERSIST | EV_ET, 1);
    round_of(0, 2);
    often = event_new(base, -1, EV_PERSIST, tick, "often");
    struct event *once = event_new(base, -1, 0, tick, "once");
    struct event *signals = evsignal_new(base, SIGUSR1, signalled, base);
    event_add(signals, NULL);
    event_add(often, &soon);
    event_base_dispatch(base);
    event_add(once, &late);
    event_base_loop(base, EVLOOP_ONCE);
    woken = event_new(base, -1, EV_PERSIST, was_woken, base);
    event_add(woken, &(struct timeval){60, 0});
    pthread_create(&thread, NULL, wake, NULL);
    event_base_dispatch(base);
    pthread_join(thread, NULL);
    puts("done");
    return 0;
}
