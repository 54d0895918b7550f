/* The logical-stack example (C28) with coroutines, in one thread: each of two pieces of work, 1 and 2, is a
 * coroutine that was made under one "Main"; each has two steps, A and then B, that wait 10 ms by giving their
 * turn away.
 *
 * The coroutines know nothing of contexts: each keeps its own over every switch (F11). */
#include "logical_stack.h"

#include <time.h>
#include <ucontext.h>

enum { WORKS = 2, STACK = 256 << 10 };

struct work {
    const char *name;
    ucontext_t context;
    struct timespec until; /* when its turn comes */
    int over;
    _Alignas(16) char stack[STACK];
};

static struct work works[WORKS] = {{.name = "1"}, {.name = "2"}};
static ucontext_t scheduler;

static int is_before(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void wait_10_ms(struct work *work) {
    clock_gettime(CLOCK_MONOTONIC, &work->until);
    work->until.tv_nsec += 10000000;
    if (work->until.tv_nsec >= 1000000000) {
        work->until.tv_nsec -= 1000000000;
        work->until.tv_sec++;
    }
    swapcontext(&work->context, &scheduler);
}

static void more_work(struct work *work, const char *name) {
    CTXSHIM_SCOPE(name);
    say("<MoreWork>");
    wait_10_ms(work);
    say("</MoreWork>");
}

static void some_work(int number) {
    struct work *const work = &works[number];
    {
        CTXSHIM_SCOPE(work->name);
        say("<SomeWork>");
        more_work(work, "A");
        more_work(work, "B");
        say("</SomeWork>");
    }
    work->over = 1;
}

static void work_begin(int number) {
    struct work *const work = &works[number];
    getcontext(&work->context);
    work->context.uc_stack.ss_sp = work->stack;
    work->context.uc_stack.ss_size = sizeof work->stack;
    work->context.uc_link = &scheduler;
    makecontext(&work->context, (void (*)(void))some_work, 1, number);
    swapcontext(&scheduler, &work->context);
}

/* Whose turn comes first; NULL: all are over. */
static struct work *next_work(void) {
    struct work *next = NULL;
    for (struct work *work = works; work < works + WORKS; work++)
        if (!work->over && (next == NULL || is_before(&work->until, &next->until)))
            next = work;
    return next;
}

int main(void) {
    CTXSHIM_SCOPE("Main");
    say("<Main>");
    for (int i = 0; i < WORKS; i++)
        work_begin(i);
    for (struct work *work = next_work(); work != NULL; work = next_work()) {
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &work->until, NULL);
        swapcontext(&scheduler, &work->context);
    }
    say("</Main>");
    return 0;
}
