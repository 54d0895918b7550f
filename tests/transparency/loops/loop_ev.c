/* libev: priorities, one-shot use of watchers, timers, signals, idle, prepare and check, children, wake-ups.
 */
#include "loops.h"

#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static ev_io watchers[CONNECTIONS];
static int served, ticks, idles;

static void asked(struct ev_loop *loop, ev_io *watcher, int what) {
    int connection = (int)(watcher - watchers);
    MUST(what & EV_READ);
    served += serve(connection);
    ev_io_stop(loop, watcher);
    ev_io_start(loop, watcher);
    if (served == CONNECTIONS)
        ev_break(loop, EVBREAK_ONE);
}

static void tick(struct ev_loop *loop, ev_timer *timer, int what) {
    (void)what;
    printf("tick %d\n", ++ticks);
    if (ticks == 5) {
        ev_timer_stop(loop, timer);
        raise(SIGUSR1);
    }
}

static void over(struct ev_loop *loop, ev_child *child, int what) {
    (void)what;
    printf("child %d\n", child->rstatus >> 8);
    ev_break(loop, EVBREAK_ONE);
}

static void signalled(struct ev_loop *loop, ev_signal *signal, int what) {
    static ev_child child;
    (void)what;
    printf("signal %d\n", signal->signum == SIGUSR1);
    fflush(stdout);
    ev_signal_stop(loop, signal);
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    ev_child_init(&child, over, pid, 0);
    ev_child_start(loop, &child);
}

static void idle(struct ev_loop *loop, ev_idle *watcher, int what) {
    (void)what;
    printf("idle %d\n", ++idles);
    if (idles == 3) {
        ev_idle_stop(loop, watcher);
        ev_break(loop, EVBREAK_ONE);
    }
}

static ev_async async;
static void awake(struct ev_loop *loop, ev_async *watcher, int what) {
    (void)watcher;
    (void)what;
    puts("woken");
    ev_break(loop, EVBREAK_ONE);
}

static void *wake(void *loop) {
    ev_async_send(loop, &async);
    return NULL;
}

int main(void) {
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
    ev_timer timer;
    ev_signal signals;
    ev_idle idler;
    pthread_t thread;
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++) {
        ev_io_init(&watchers[i], asked, servers[i], EV_READ);
        ev_set_priority(&watchers[i], i % 3 - 1);
        ev_io_start(loop, &watchers[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        served = 0;
        ask_all();
        ev_run(loop, 0);
        answers_read();
    }
    for (int i = 0; i < CONNECTIONS; i++)
        ev_io_stop(loop, &watchers[i]);
    ev_timer_init(&timer, tick, 0.001, 0.002);
    ev_timer_start(loop, &timer);
    ev_signal_init(&signals, signalled, SIGUSR1);
    ev_signal_start(loop, &signals);
    ev_run(loop, 0);
    ev_idle_init(&idler, idle);
    ev_idle_start(loop, &idler);
    ev_run(loop, 0);
    ev_async_init(&async, awake);
    ev_async_start(loop, &async);
    pthread_create(&thread, NULL, wake, loop);
    ev_run(loop, 0);
    pthread_join(thread, NULL);
    puts("done");
    return 0;
}
