/* F11: coroutines. */
#include "case.h"

#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

enum { STACK = 64 << 10, MANY = 1000, THREADS = 4 };

static ucontext_t scheduler, one, two;
static char stack_one[STACK], stack_two[STACK];
static char seen[4][64];
static _Atomic int destroyed;

static void make(ucontext_t *context, char *stack, ucontext_t *link, void (*function)(void)) {
    REQUIRE(getcontext(context) == 0);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK;
    context->uc_link = link;
    makecontext(context, function, 0);
}

static void look(int place) {
    ctxshim_stack(seen[place], sizeof *seen);
}

static void step_twice(void) {
    look(0);
    ctxshim_scope a = ctxshim_push("A");
    swapcontext(&one, &scheduler);
    look(1);
    ctxshim_pop(&a);
    look(2);
}

CASE(F11, a_coroutine_keeps_its_own_context) {
    ctxshim_scope main = ctxshim_push("Main");
    make(&one, stack_one, &scheduler, step_twice);
    ctxshim_pop(&main);
    ctxshim_scope other = ctxshim_push("Other");
    swapcontext(&scheduler, &one);
    EXPECT_STACK("Other");
    EXPECT(strcmp(seen[0], "Main") == 0);
    ctxshim_pop(&other);
    ctxshim_scope third = ctxshim_push("Third");
    swapcontext(&scheduler, &one);
    EXPECT_STACK("Third");
    EXPECT(strcmp(seen[1], "Main A") == 0);
    EXPECT(strcmp(seen[2], "Main") == 0);
    ctxshim_pop(&third);
}

static void take_arguments(long a, int b, char *c, int d, int e, int f) {
    EXPECT(a == 1L << 40 && b == 2 && c == stack_two && d == 4 && e == 5 && f == 6);
    look(0);
}

static void take_many(int a, int b, int c, int d, int e, int f, int g, int h, int i) {
    EXPECT(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8 && i == 9);
    snprintf(seen[0], sizeof *seen, "nine");
}

HOST_CASE(F11, arguments_reach_the_function) {
    make(&one, stack_one, &scheduler, NULL);
    makecontext(&one, (void (*)(void))take_arguments, 6, 1L << 40, 2, stack_two, 4, 5, 6);
    swapcontext(&scheduler, &one);
    makecontext(&one, (void (*)(void))take_many, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    swapcontext(&scheduler, &one);
    EXPECT(strcmp(seen[0], "nine") == 0);
}

/* A function whose end nobody sees: the next switch, or the next hook at home, tells. */
CASE(F11, with_many_arguments_the_caller_gets_its_context_back) {
    make(&one, stack_one, &scheduler, NULL);
    makecontext(&one, (void (*)(void))take_many, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    ctxshim_scope mine = ctxshim_push("mine");
    swapcontext(&scheduler, &one);
    close(-1);
    close(dup(2));
    hear(-1);
    EXPECT_STACK("mine");
    ctxshim_pop(&mine);
}

static void nothing(void) {
}

CASE(F11, the_end_releases_the_context) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    make(&one, stack_one, &scheduler, nothing);
    ctxshim_pop(&with);
    settle();
    EXPECT(atomic_load(&destroyed) == 0);
    swapcontext(&scheduler, &one);
    EXPECT(atomic_load(&destroyed) == 1);
}

/* One coroutine leads to another: the first is over when the second begins. */
CASE(F11, a_link_may_lead_to_a_new_coroutine) {
    ctxshim_scope a = ctxshim_push("A");
    make(&two, stack_two, &scheduler, step_twice);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    make(&one, stack_one, &two, nothing);
    ctxshim_pop(&b);
    swapcontext(&scheduler, &one);
    EXPECT(strcmp(seen[0], "A") == 0);
    EXPECT_STACK("");
}

static void leave_by_setcontext(void) {
    ctxshim_push("left open");
    setcontext(&scheduler);
}

/* Saved once by swapcontext, gone back to three times: as often as the function that called it lives. */
HOST_CASE(F11, a_saved_context_may_be_gone_back_to_again) {
    volatile int round = 0;
    make(&one, stack_one, NULL, leave_by_setcontext);
    make(&two, stack_two, NULL, leave_by_setcontext);
    ctxshim_scope mine = ctxshim_push("mine");
    swapcontext(&scheduler, &one);
    if (ctxshim_active())
        EXPECT_STACK("mine");
    round++;
    make(&one, stack_one, NULL, leave_by_setcontext);
    if (round == 1)
        setcontext(&two);
    if (round == 2)
        setcontext(&one);
    EXPECT(round == 3);
    ctxshim_pop(&mine);
}

/* Scheduler and coroutine save themselves by getcontext, which no hook sees. */
static volatile int turns;
static void save_by_getcontext(void) {
    ctxshim_push("A");
    volatile int back = 0;
    getcontext(&one);
    if (back++ == 0)
        setcontext(&scheduler);
    look(1);
    setcontext(&scheduler);
}

CASE(F11, getcontext_and_setcontext_switch_too) {
    turns = 0;
    make(&one, stack_one, NULL, save_by_getcontext);
    ctxshim_scope mine = ctxshim_push("mine");
    getcontext(&scheduler);
    EXPECT_STACK("mine");
    if (turns++ < 2)
        setcontext(&one);
    EXPECT(strcmp(seen[1], "A") == 0);
    ctxshim_pop(&mine);
}

/* As a jump within one function, setcontext changes no flow. */
CASE(F11, setcontext_on_the_same_stack_is_a_jump) {
    volatile int round = 0;
    ucontext_t here;
    ctxshim_scope mine = ctxshim_push("mine");
    getcontext(&here);
    if (round++ < 3)
        setcontext(&here);
    EXPECT_STACK("mine");
    EXPECT(ctxshim_pop(&mine) == 0);
}

/* One whose memory is used for the next was over. */
CASE(F11, a_stack_that_is_used_again_releases_what_ran_there) {
    static _Atomic int counts[2];
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    for (int i = 0; i < 2; i++) {
        ctxshim_scope with = ctxshim_with(key, (void *)&counts[i]);
        make(&one, stack_one, &scheduler, i == 0 ? step_twice : nothing);
        ctxshim_pop(&with);
        if (i == 0)
            swapcontext(&scheduler, &one);
    }
    settle();
    EXPECT(atomic_load(&counts[0]) == 1 && atomic_load(&counts[1]) == 0);
    make(&one, stack_one + 64, &scheduler, nothing); /* never started, overlapped */
    settle();
    EXPECT(atomic_load(&counts[1]) == 1);
}

static void give_up(void) {
    swapcontext(&one, &scheduler);
}

/* Made, half run and unmapped, again and again: what they held is given back all the same. */
CASE(F11, unfinished_coroutines_do_not_pile_up) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    char *kept = NULL;
    for (int i = 0; i < 10000; i++) {
        char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(stack != MAP_FAILED);
        ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
        make(&one, stack, &scheduler, give_up);
        ctxshim_pop(&with);
        if (i % 2 == 0)
            swapcontext(&scheduler, &one);
        if (kept != NULL) /* the next one does not come to lie in the same place */
            munmap(kept, STACK);
        kept = stack;
    }
    settle();
    EXPECT(atomic_load(&destroyed) > 9800);
}

static void *end_inside(void *unused) {
    char *stack = malloc(STACK);
    ucontext_t mine, coroutine;
    (void)mine;
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = STACK;
    coroutine.uc_link = NULL;
    makecontext(&coroutine, (void (*)(void))pthread_exit, 1, NULL);
    swapcontext(&mine, &coroutine);
    return unused;
}

CASE(F11, a_thread_may_end_inside_a_coroutine) {
    pthread_t thread;
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
    REQUIRE(pthread_create(&thread, NULL, end_inside, NULL) == 0);
    pthread_join(thread, NULL);
    ctxshim_pop(&with);
    settle();
    EXPECT(atomic_load(&destroyed) == 1);
}

/* What a coroutine adopts is its own, and the loop that resumes it keeps its frame. */
static int event_of_one, event_of_loop;
static void read_event(void) {
    hear(event_of_one);
    look(0);
    swapcontext(&one, &scheduler);
    look(1);
}

CASE(F11, frames_belong_to_the_flow) {
    struct epoll_event event;
    int epoll = epoll_create1(0);
    event_of_one = eventfd(0, 0);
    event_of_loop = eventfd(0, 0);
    watch(epoll, EPOLL_CTL_ADD, event_of_loop, EPOLLIN);
    make(&one, stack_one, &scheduler, read_event);
    ctxshim_scope a = ctxshim_push("A");
    poke(event_of_one);
    ctxshim_pop(&a);
    ctxshim_scope b = ctxshim_push("B");
    poke(event_of_loop);
    ctxshim_pop(&b);
    for (int i = 0; i < 2; i++) {
        REQUIRE(epoll_wait(epoll, &event, 1, i == 0 ? -1 : 0) == (i == 0));
        if (i == 0) {
            hear(event_of_loop);
            EXPECT_STACK("B");
        }
        swapcontext(&scheduler, &one);
        if (i == 0)
            EXPECT_STACK("B");
    }
    REQUIRE(epoll_wait(epoll, &event, 1, 1) == 0);
    EXPECT_STACK("");
    EXPECT(strcmp(seen[0], "A") == 0 && strcmp(seen[1], "A") == 0);
}

/* A mirror of a value, kept by a watcher, is right after every switch; one that does not change is not told.
 */
static char value_a, value_b;
static _Atomic int notices;
static _Thread_local void *mirror;
static ctxshim_key *watched;
static void reflect(void *before, void *after, int switched, void *unused) {
    EXPECT(before == mirror);
    (void)unused;
    (void)switched;
    mirror = after;
    atomic_fetch_add(&notices, 1);
}

static void check_mirror(void) {
    for (int i = 0; i < 2; i++) {
        EXPECT(mirror == ctxshim_get(watched));
        swapcontext(&one, &scheduler);
    }
    EXPECT(mirror == ctxshim_get(watched));
}

CASE(F11, watchers_are_told_of_a_switch) {
    watched = ctxshim_key_create("watched", NULL);
    REQUIRE(ctxshim_on_change(watched, reflect, NULL) == 0);
    ctxshim_scope a = ctxshim_with(watched, &value_a);
    make(&one, stack_one, &scheduler, check_mirror);
    int told = atomic_load(&notices);
    swapcontext(&scheduler, &one);
    EXPECT(atomic_load(&notices) == told);
    ctxshim_scope b = ctxshim_with(watched, &value_b);
    swapcontext(&scheduler, &one);
    EXPECT(mirror == &value_b && atomic_load(&notices) == told + 3);
    ctxshim_pop(&b);
    ctxshim_pop(&a);
    EXPECT(mirror == NULL);
    swapcontext(&scheduler, &one);
    EXPECT(mirror == NULL);
}

/* --- H16: many, on several threads ------------------------------------------------------------------ */

struct worker {
    ucontext_t home;
};
struct job {
    ucontext_t context;
    char name[16], expected[32];
    char *stack;
    int number, steps;
    bool over;
};
static struct job jobs[MANY];
static struct job *queue[MANY * 2];
static unsigned first, last;
static int unfinished = MANY;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct worker *worker_self;
static _Thread_local struct job *job_self;

static __attribute__((noinline)) struct worker *worker_now(void) {
    __asm__ volatile("");
    return worker_self;
}
static __attribute__((noinline)) struct job *job_now(void) {
    __asm__ volatile("");
    return job_self;
}

static void yield(struct job *job) {
    swapcontext(&job->context, &worker_now()->home);
}

static void job_run(void) {
    struct job *job = job_now();
    for (job->steps = 0; job->steps < 20; job->steps++) {
        char inner[32];
        snprintf(inner, sizeof inner, "step%d", job->steps);
        EXPECT_STACK(job->expected);
        ctxshim_scope step = ctxshim_push(inner);
        yield(job);
        char expected[80];
        snprintf(expected, sizeof expected, "%s %s", job->expected, inner);
        EXPECT_STACK(expected);
        EXPECT(ctxshim_pop(&step) == 0);
        yield(job);
    }
    job->over = true;
    swapcontext(&job->context, &worker_now()->home);
}

static struct job *queue_take(void) {
    struct job *job = NULL;
    pthread_mutex_lock(&queue_lock);
    if (first != last)
        job = queue[first++ % (MANY * 2)];
    pthread_mutex_unlock(&queue_lock);
    return job;
}

static void queue_put(struct job *job) {
    pthread_mutex_lock(&queue_lock);
    if (job->over)
        unfinished--;
    else
        queue[last++ % (MANY * 2)] = job;
    pthread_mutex_unlock(&queue_lock);
}

static void *work(void *unused) {
    struct worker worker;
    worker_self = &worker;
    while (__atomic_load_n(&unfinished, __ATOMIC_RELAXED) > 0) {
        struct job *job = queue_take();
        if (job == NULL)
            continue;
        job_self = job;
        ctxshim_scope mine = ctxshim_push("worker");
        swapcontext(&worker.home, &job->context);
        EXPECT_STACK("worker");
        ctxshim_pop(&mine);
        queue_put(job);
    }
    return unused;
}

CASE(H16, a_thousand_coroutines_on_four_threads_keep_their_contexts) {
    pthread_t threads[THREADS];
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    for (int i = 0; i < MANY; i++) {
        struct job *job = &jobs[i];
        snprintf(job->expected, sizeof job->expected, "job%d", i);
        job->stack = malloc(STACK);
        ctxshim_scope scope = ctxshim_push(job->expected);
        ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
        make(&job->context, job->stack, NULL, job_run);
        ctxshim_pop(&with);
        ctxshim_pop(&scope);
        queue[last++] = job;
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MANY; i++) /* all wait at their end; whoever comes to lie there releases them */
        make(&jobs[i].context, jobs[i].stack, NULL, nothing);
    settle();
    EXPECT(atomic_load(&destroyed) == MANY);
}
