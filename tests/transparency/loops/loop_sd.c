/* sd-event: priorities, one-shot sources, work that is put off, timers, signals, children, and the end. */
#include "loops.h"

#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

static sd_event *event;
static sd_event_source *sources[CONNECTIONS], *later;
static int served, ticks, enabled;

static int put_off(sd_event_source *source, void *argument) {
    (void)source;
    (void)argument;
    printf(" later");
    return 0;
}

static int asked(sd_event_source *source, int fd, uint32_t what, void *argument) {
    int connection = (int)(intptr_t)argument;
    (void)fd;
    MUST(what & EPOLLIN);
    while (serve(connection))
        served++;
    if (enabled == SD_EVENT_ONESHOT)
        MUST(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) >= 0);
    if (connection % 10 == 0)
        MUST(sd_event_source_set_enabled(later, SD_EVENT_ONESHOT) >= 0);
    return 0;
}

static void rounds(uint32_t what, int how, int priorities) {
    enabled = how;
    for (int i = 0; i < CONNECTIONS; i++) {
        MUST(sd_event_add_io(event, &sources[i], servers[i], what, asked, (void *)(intptr_t)i) >= 0);
        sd_event_source_set_priority(sources[i], i % priorities);
        sd_event_source_set_enabled(sources[i], how);
    }
    for (int round = 0; round < ROUNDS; round++) {
        served = 0;
        ask_all();
        while (served < CONNECTIONS)
            MUST(sd_event_run(event, UINT64_MAX) >= 0);
        answers_read();
        while (sd_event_run(event, 0) > 0)
            continue;
    }
    for (int i = 0; i < CONNECTIONS; i++)
        sd_event_source_unref(sources[i]);
}

static int tick(sd_event_source *source, uint64_t usec, void *argument) {
    (void)argument;
    printf("tick %d\n", ++ticks);
    if (ticks == 5)
        return raise(SIGUSR1);
    sd_event_source_set_time(source, usec + 2000);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int child_over(sd_event_source *source, const siginfo_t *child, void *argument) {
    (void)source;
    (void)argument;
    printf("child %d %d\n", child->si_code == CLD_EXITED, child->si_status);
    return sd_event_exit(event, 9);
}

static int signalled(sd_event_source *source, const struct signalfd_siginfo *signal, void *argument) {
    (void)source;
    (void)argument;
    printf("signal %d\n", signal->ssi_signo == SIGUSR1);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    return sd_event_add_child(event, NULL, child, WEXITED, child_over, NULL);
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    MUST(sd_event_new(&event) >= 0);
    connect_all();
    MUST(sd_event_add_defer(event, &later, put_off, NULL) >= 0);
    sd_event_source_set_enabled(later, SD_EVENT_OFF);
    rounds(EPOLLIN, SD_EVENT_ON, 3);
    rounds(EPOLLIN | EPOLLET, SD_EVENT_ON, 1);
    rounds(EPOLLIN, SD_EVENT_ONESHOT, 2);
    MUST(sd_event_add_signal(event, NULL, SIGUSR1, signalled, NULL) >= 0);
    MUST(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 2000, 1, tick, NULL) >= 0);
    int status = sd_event_loop(event);
    printf("over: %d\n", status);
    sd_event_unref(event);
    return 0;
}
