/* C17 to C19 and C26 to C28: how a context gets to the work that belongs to it. Strategy: every piece of work
 * looks at its own stack, and says so where it does not see what it must. */
#include "behaviour.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static ctxshim_key *key;
static char one, two;

/* --- C17 C18 --------------------------------------------------------------------------------------- */

struct seen {
    const char *stack;
    const void *value;
};

static void *expect_seen(void *argument) {
    const struct seen *seen = argument;
    CHECK_STACK(seen->stack);
    CHECK(ctxshim_get(key) == seen->value);
    return NULL;
}

static void expect_ready(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    (void)expect_seen(watch->argument);
}

static void expect_taken(struct watch *watch, uint32_t events) {
    (void)events;
    (void)event_take(watch->fd);
    (void)expect_seen(watch->argument);
}

static void *run_loop(void *argument) {
    struct watch *watches = argument;
    int loop = loop_new();
    for (int i = 0; i < 2; i++)
        loop_add(loop, &watches[i], EPOLLIN);
    for (int left = 2; left > 0;)
        left -= loop_turn(loop, 1);
    loop_rest(loop);
    CHECK_STACK("");
    close(loop);
    return NULL;
}

/* Hands work on in every way there is; it is to see `seen` where it runs: in a new thread, and in the loop of
 * a thread that has no context of its own. */
static void hand_on(struct seen *seen) {
    struct watch watches[] = {{timer_new(), expect_ready, seen},
                              {eventfd(0, EFD_CLOEXEC), expect_taken, seen}};
    on_thread(expect_seen, seen);
    timer_arm(watches[0].fd, 1, false);
    event_post(watches[1].fd);
    on_clean_thread(run_loop, watches);
    close(watches[0].fd);
    close(watches[1].fd);
}

static void hand_on_inside(void *argument) {
    hand_on(argument);
}

void C17_work_inherits_unless_flow_is_suppressed(void) {
    struct seen before = {"Main", &one}, nothing = {"", NULL}, after = {"Main", &two};
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(ctxshim_set(key, &one) == 0);
    ctxshim_context *captured = ctxshim_capture();
    hand_on(&before);

    ctxshim_scope suppressed = ctxshim_suppress_flow();
    (void)expect_seen(&before); /* hidden from others, not from here */
    CHECK(ctxshim_capture() == NULL);
    hand_on(&nothing);
    CHECK(ctxshim_set(key, &two) == 0);
    (void)expect_seen(&after);
    hand_on(&nothing);
    CHECK(ctxshim_run(captured, hand_on_inside, &before) == 0);
    hand_on(&nothing);
    CHECK(ctxshim_pop(&suppressed) == 0);
    (void)expect_seen(&after);
    hand_on(&after);

    ctxshim_release(captured);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

void C18_a_thread_started_empty_sees_nothing(void) {
    struct seen nothing = {"", NULL}, everything = {"Main", &one};
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(ctxshim_set(key, &one) == 0);
    on_clean_thread(expect_seen, &nothing);
    on_thread(expect_seen, &everything);
    CHECK(ctxshim_pop(&scope) == 0);
    on_thread(expect_seen, &nothing);
    ctxshim_key_destroy(key);
}

/* --- C19: in every way that threads wait for each other (loops take work up) -----------------------------
 */

enum { WAITERS = 2, ROUNDS = 100 };

static struct {
    pthread_mutex_t lock, gate;
    pthread_cond_t changed;
    pthread_barrier_t barrier;
    sem_t semaphore;
    int event, pipe[2];
    int round;
} meeting = {.lock = PTHREAD_MUTEX_INITIALIZER,
             .gate = PTHREAD_MUTEX_INITIALIZER,
             .changed = PTHREAD_COND_INITIALIZER};

static struct timespec far_away(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += 60;
    return time;
}

static void condition_waits(int round) {
    struct timespec far = far_away();
    pthread_mutex_lock(&meeting.lock);
    while (meeting.round < round)
        CHECK((round % 2 == 0 ? pthread_cond_wait(&meeting.changed, &meeting.lock)
                              : pthread_cond_timedwait(&meeting.changed, &meeting.lock, &far)) == 0);
    pthread_mutex_unlock(&meeting.lock);
}

static void condition_signals(int round) {
    pthread_mutex_lock(&meeting.lock);
    meeting.round = round;
    pthread_cond_broadcast(&meeting.changed);
    pthread_mutex_unlock(&meeting.lock);
}

static void semaphore_waits(int round) {
    struct timespec far = far_away();
    CHECK((round % 2 == 0 ? sem_wait(&meeting.semaphore) : sem_timedwait(&meeting.semaphore, &far)) == 0);
}

static void semaphore_signals(int round) {
    (void)round;
    for (int i = 0; i < WAITERS; i++)
        CHECK(sem_post(&meeting.semaphore) == 0);
}

static void event_waits(int round) {
    (void)round;
    (void)event_take(meeting.event);
}

static void event_signals(int round) {
    (void)round;
    for (int i = 0; i < WAITERS; i++)
        event_post(meeting.event);
}

static void pipe_waits(int round) {
    char byte;
    (void)round;
    CHECK(read(meeting.pipe[0], &byte, 1) == 1);
}

static void pipe_signals(int round) {
    (void)round;
    for (int i = 0; i < WAITERS; i++)
        CHECK(write(meeting.pipe[1], "", 1) == 1);
}

static void barrier_waits(int round) {
    (void)round;
    int result = pthread_barrier_wait(&meeting.barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
}

/* Whoever signals holds the lock until the waiters are at it, or nearly so. */
static void lock_waits(int round) {
    condition_waits(round);
    pthread_mutex_lock(&meeting.gate);
    pthread_mutex_unlock(&meeting.gate);
}

static void lock_signals(int round) {
    pthread_mutex_lock(&meeting.gate);
    condition_signals(round);
    sched_yield();
    pthread_mutex_unlock(&meeting.gate);
}

static const struct {
    void (*wait)(int round);
    void (*signal)(int round);
} ways[] = {{condition_waits, condition_signals}, {semaphore_waits, semaphore_signals},
            {event_waits, event_signals},         {pipe_waits, pipe_signals},
            {barrier_waits, barrier_waits},       {lock_waits, lock_signals}};

static void *waits(void *name) {
    char expected[32];
    snprintf(expected, sizeof expected, "Main %s", (const char *)name);
    ctxshim_scope scope = ctxshim_push(name), value = ctxshim_with(key, name);
    for (int round = 1; round <= ROUNDS * (int)LENGTH(ways); round++) {
        ways[(size_t)round % LENGTH(ways)].wait(round);
        CHECK_STACK(expected);
        CHECK(ctxshim_get(key) == name);
    }
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    return NULL;
}

/* Joins a thread that ends in a context of its own. */
static void join_waits(void) {
    on_clean_thread(expect_seen, &(struct seen){"", NULL});
    CHECK_STACK("Main signaller");
}

void C19_a_waiter_resumes_with_its_own_context(void) {
    key = ctxshim_key_create("key", NULL);
    CHECK(sem_init(&meeting.semaphore, 0, 0) == 0);
    CHECK(pthread_barrier_init(&meeting.barrier, NULL, WAITERS + 1) == 0);
    CHECK((meeting.event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE)) >= 0);
    CHECK(pipe(meeting.pipe) == 0);
    ctxshim_scope scope = ctxshim_push("Main");
    pthread_t waiters[WAITERS] = {thread_start(waits, "waiter-1"), thread_start(waits, "waiter-2")};
    ctxshim_scope signaller = ctxshim_push("signaller"), value = ctxshim_with(key, &one);
    for (int round = 1; round <= ROUNDS * (int)LENGTH(ways); round++)
        ways[(size_t)round % LENGTH(ways)].signal(round);
    CHECK(ctxshim_pop(&value) == 0);
    join_waits();
    CHECK(ctxshim_pop(&signaller) == 0);
    for (size_t i = 0; i < LENGTH(waiters); i++)
        thread_join(waiters[i]);
    close(meeting.event);
    close(meeting.pipe[0]);
    close(meeting.pipe[1]);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

/* --- C26 C27 --------------------------------------------------------------------------------------- */

enum { SNAPSHOTS = 8 };
static ctxshim_context *snapshots[SNAPSHOTS];
static const char *const names[SNAPSHOTS] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"};
static int runs;

static void take_snapshots(void) {
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        ctxshim_scope scope = ctxshim_push(names[i]), value = ctxshim_with(key, (void *)(uintptr_t)names[i]);
        snapshots[i] = ctxshim_capture();
        CHECK(snapshots[i] != NULL);
        CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    }
}

static void drop_snapshots(void) {
    for (size_t i = 0; i < SNAPSHOTS; i++)
        ctxshim_release(snapshots[i]);
}

static void wrapped(void *name) {
    CHECK_STACK(name);
    CHECK(ctxshim_get(key) == name);
    ctxshim_scope scope = ctxshim_push("step"), hidden = ctxshim_attach(NULL);
    CHECK(ctxshim_pop(&hidden) == 0 && ctxshim_pop(&scope) == 0);
    CHECK_STACK(name); /* though its own scope was closed long ago */
    CHECK(ctxshim_get(key) == name);
    CHECK(ctxshim_set(key, &two) == 0); /* for this run alone */
    runs++;
}

static void run_snapshot(size_t i) {
    CHECK(ctxshim_run(snapshots[i], wrapped, (void *)(uintptr_t)names[i]) == 0);
}

static void *run_snapshots_backwards(void *argument) {
    (void)argument;
    for (size_t i = SNAPSHOTS; i-- > 0;)
        run_snapshot(i);
    return NULL;
}

void C26_a_snapshot_overrides_and_may_run_many_times(void) {
    key = ctxshim_key_create("key", NULL);
    take_snapshots();
    ctxshim_scope scope = ctxshim_push("Main"), value = ctxshim_with(key, &one);
    for (size_t i = 0; i < 100; i++) {
        run_snapshot(i * 5 % SNAPSHOTS);
        CHECK_STACK("Main");
        CHECK(ctxshim_get(key) == &one);
    }
    on_thread(run_snapshots_backwards, NULL);
    CHECK(runs == 100 + SNAPSHOTS);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    drop_snapshots();
    ctxshim_key_destroy(key);
}

/* Runs the snapshot and inside it all later ones. */
static void run_nested(void *argument) {
    size_t i = *(size_t *)argument, next = i + 1;
    wrapped((void *)(uintptr_t)names[i]);
    if (next == SNAPSHOTS)
        return;
    CHECK(ctxshim_run(snapshots[next], run_nested, &next) == 0);
    CHECK_STACK(names[i]);
    CHECK(ctxshim_get(key) == &two);
}

void C27_captured_contexts_run_anywhere(void) {
    size_t first = 0;
    key = ctxshim_key_create("key", NULL);
    take_snapshots();
    (void)run_snapshots_backwards(NULL); /* from the default context */
    CHECK_STACK("");
    ctxshim_scope scope = ctxshim_push("Main"), suppressed = ctxshim_suppress_flow();
    (void)run_snapshots_backwards(NULL);
    CHECK(ctxshim_run(snapshots[0], run_nested, &first) == 0);
    CHECK(ctxshim_capture() == NULL); /* suppressed as before */
    CHECK(ctxshim_pop(&suppressed) == 0);
    CHECK(ctxshim_run(snapshots[0], run_nested, &first) == 0);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(runs == 4 * SNAPSHOTS);
    drop_snapshots();
    ctxshim_key_destroy(key);
}

/* --- C28: one example, done in several ways -------------------------------------------------------- */

enum { STEP_MS = 10, LINES = 32 };

static char lines[LINES][64];
static size_t line_count;
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;

/* What a program's log would say: the text, under the current stack. */
static void log_line(const char *text) {
    char stack[32];
    ctxshim_stack(stack, sizeof stack);
    pthread_mutex_lock(&lines_lock);
    CHECK(line_count < LINES);
    snprintf(lines[line_count++], sizeof lines[0], "%s: %s", stack, text);
    pthread_mutex_unlock(&lines_lock);
}

/* The lines of one piece of work, in order; the pieces may interleave in any way. */
static void expect_lines(const char *work) {
    static const char *const steps[] = {": begin",   " A: begin", " A: end", ": between",
                                        " B: begin", " B: end",   ": end"};
    char expected[64];
    size_t next = 0, prefix = (size_t)snprintf(expected, sizeof expected, "Main %s", work);
    for (size_t i = 0; i < line_count; i++) {
        if (strncmp(lines[i], expected, prefix) != 0)
            continue;
        CHECK(next < LENGTH(steps));
        CHECK(strcmp(lines[i] + prefix, steps[next++]) == 0);
    }
    CHECK(next == LENGTH(steps));
}

static void expect_example(void) {
    CHECK(line_count == 16);
    CHECK(strcmp(lines[0], "Main: begin") == 0);
    expect_lines("1");
    expect_lines("2");
    CHECK(strcmp(lines[15], "Main: end") == 0);
    line_count = 0;
}

static void step(const char *name) {
    CTXSHIM_SCOPE(name);
    log_line("begin");
    nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    log_line("end");
}

static void *work_in_thread(void *name) {
    CTXSHIM_SCOPE(name);
    log_line("begin");
    step("A");
    log_line("between");
    step("B");
    log_line("end");
    return NULL;
}

static void example_with_threads(void) {
    CTXSHIM_SCOPE("Main");
    log_line("begin");
    pthread_t work[] = {thread_start(work_in_thread, "1"), thread_start(work_in_thread, "2")};
    for (size_t i = 0; i < LENGTH(work); i++)
        thread_join(work[i]);
    log_line("end");
}

/* The same as a state machine. Its scopes are opened in one callback and closed in a later one, and the steps
 * in between belong to them because the timer carries the context it was armed in. */
struct work {
    const char *name;
    struct watch timer;
    ctxshim_scope scope, step;
};

static void step_begin(struct work *work, const char *name, void (*next)(struct watch *, uint32_t)) {
    work->step = ctxshim_push(name);
    log_line("begin");
    work->timer.ready = next;
    timer_arm(work->timer.fd, STEP_MS, false);
}

static void step_end(struct work *work) {
    timer_read(work->timer.fd);
    log_line("end");
    CHECK(ctxshim_pop(&work->step) == 0);
}

static void after_b(struct watch *watch, uint32_t events) {
    (void)events;
    struct work *work = watch->argument;
    step_end(work);
    log_line("end");
    CHECK(ctxshim_pop(&work->scope) == 0);
    CHECK_STACK("Main");
}

static void after_a(struct watch *watch, uint32_t events) {
    (void)events;
    struct work *work = watch->argument;
    step_end(work);
    log_line("between");
    step_begin(work, "B", after_b);
}

static void work_in_loop(struct watch *watch, uint32_t events) {
    (void)events;
    struct work *work = watch->argument;
    timer_read(watch->fd);
    work->scope = ctxshim_push(work->name);
    log_line("begin");
    step_begin(work, "A", after_a);
}

static void example_with_loop(void) {
    CTXSHIM_SCOPE("Main");
    struct work work[2] = {{.name = "1"}, {.name = "2"}};
    int loop = loop_new();
    log_line("begin");
    for (size_t i = 0; i < LENGTH(work); i++) {
        work[i].timer = (struct watch){timer_new(), work_in_loop, &work[i]};
        loop_add(loop, &work[i].timer, EPOLLIN);
        timer_arm(work[i].timer.fd, 1, false);
    }
    for (int callbacks = 2 * 3; callbacks > 0; callbacks--)
        loop_turn(loop, 1);
    loop_rest(loop);
    log_line("end");
    for (size_t i = 0; i < LENGTH(work); i++)
        close(work[i].timer.fd);
    close(loop);
}

/* In coroutines that take turns: who waits gives the turn away. */
static ucontext_t coroutines[2], coroutines_home;

static void coroutine_step(int number, const char *name) {
    CTXSHIM_SCOPE(name);
    log_line("begin");
    swapcontext(&coroutines[number], &coroutines_home);
    log_line("end");
}

static void coroutine_work(int number) {
    CTXSHIM_SCOPE(number == 0 ? "1" : "2");
    log_line("begin");
    coroutine_step(number, "A");
    log_line("between");
    coroutine_step(number, "B");
    log_line("end");
}

static void example_with_coroutines(void) {
    static char stacks[2][128 << 10];
    CTXSHIM_SCOPE("Main");
    log_line("begin");
    for (int i = 0; i < 2; i++) {
        getcontext(&coroutines[i]);
        coroutines[i].uc_stack = (stack_t){.ss_sp = stacks[i], .ss_size = sizeof stacks[i]};
        coroutines[i].uc_link = &coroutines_home;
        makecontext(&coroutines[i], (void (*)(void))coroutine_work, 1, i);
    }
    for (int turn = 0; turn < 6; turn++) {
        swapcontext(&coroutines_home, &coroutines[turn % 2]);
        CHECK_STACK("Main");
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L / 2}, NULL);
    }
    log_line("end");
}

void C28_the_logical_stack_is_the_same_however_work_is_scheduled(void) {
    example_with_threads();
    expect_example();
    example_with_loop();
    expect_example();
    example_with_coroutines();
    expect_example();
}
