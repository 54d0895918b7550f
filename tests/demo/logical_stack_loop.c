/* The logical-stack example (C28) in one thread: an event loop with a timerfd for each of two pieces of work,
 * 1 and 2, that go on at the same time under one "Main"; each has two steps, A and then B, that wait 10 ms.
 *
 * The callbacks get their state from epoll's data. Their stack they get from the shim: it is the one that was
 * current when the timer was armed (F5). What is kept of a scope is only how to leave it, as a `using` or a
 * `with` keeps it across an `await` in a language that has one. */
#include "logical_stack.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { WORKS = 2, STEPS = 2 };

struct work {
    const char *name;
    int timer;
    int steps_done;
    ctxshim_scope whole, step;
};

/* Opens the step's scope and leaves it open: the timer has it from here. */
static void step_begin(struct work *work, const char *name) {
    const struct itimerspec in_10_ms = {.it_value.tv_nsec = 10000000};
    work->step = ctxshim_push(name);
    say("<MoreWork>");
    timerfd_settime(work->timer, 0, &in_10_ms, NULL);
}

static void step_end(struct work *work) {
    say("</MoreWork>");
    ctxshim_pop(&work->step);
    work->steps_done++;
}

/* Called by ctxshim_run: what it opens stays with the work, and out of the caller's context. */
static void work_begin(void *data) {
    struct work *const work = data;
    work->whole = ctxshim_push(work->name);
    say("<SomeWork>");
    step_begin(work, "A");
}

/* The timer's callback. Both timers may have been reported at once: the read tells whose turn it is. */
static void work_continue(struct work *work) {
    uint64_t expirations;
    if (read(work->timer, &expirations, sizeof expirations) != (ssize_t)sizeof expirations)
        return;
    step_end(work);
    if (work->steps_done < STEPS) {
        step_begin(work, "B");
        return;
    }
    say("</SomeWork>");
    ctxshim_pop(&work->whole);
}

static int timer_create_in(int epoll, struct work *work) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = work};
    work->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return work->timer < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, work->timer, &event);
}

int main(void) {
    struct work works[WORKS] = {{.name = "1"}, {.name = "2"}};
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    CTXSHIM_SCOPE("Main");
    say("<Main>");
    ctxshim_context *const here = ctxshim_capture();
    for (int i = 0; i < WORKS; i++)
        if (timer_create_in(epoll, &works[i]) != 0 || ctxshim_run(here, work_begin, &works[i]) != 0)
            return 1;
    ctxshim_release(here);
    while (works[0].steps_done + works[1].steps_done < WORKS * STEPS) {
        struct epoll_event events[WORKS];
        const int count = epoll_wait(epoll, events, WORKS, -1);
        for (int i = 0; i < count; i++)
            work_continue(events[i].data.ptr);
    }
    for (int i = 0; i < WORKS; i++)
        close(works[i].timer);
    close(epoll);
    say("</Main>");
    return 0;
}
