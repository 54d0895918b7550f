/* C34, C37 and C38: what happens at once. Strategy: many rounds of the same race between real threads, or of
 * a signal with the code it interrupts. */
#include "behaviour.h"
#include "shim/census.h"
#include "shim/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static ctxshim_key *key;

/* --- C34 ------------------------------------------------------------------------------------------- */

enum { RACERS = 8, RACES = 1000 };

static struct {
    pthread_barrier_t start, finish;
    ctxshim_context *context;
} race;

static void *releases(void *argument) {
    (void)argument;
    for (int i = 0; i < RACES; i++) {
        pthread_barrier_wait(&race.start);
        ctxshim_release(race.context);
        pthread_barrier_wait(&race.finish);
    }
    return NULL;
}

/* The references are taken here, in every way there is; the racers give them all back. */
static void race_prepare(struct token *token) {
    ctxshim_scope scope = ctxshim_push("raced"), value = ctxshim_with(key, token);
    race.context = ctxshim_capture();
    for (int i = 1; i < RACERS; i++)
        CHECK((i % 2 == 0 ? ctxshim_capture() : ctxshim_retain(race.context)) == race.context);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
}

void C34_destroy_runs_once_under_racing_releases(void) {
    pthread_t racers[RACERS];
    key = ctxshim_key_create("key", token_end);
    CHECK(pthread_barrier_init(&race.start, NULL, RACERS + 1) == 0);
    CHECK(pthread_barrier_init(&race.finish, NULL, RACERS + 1) == 0);
    for (int i = 0; i < RACERS; i++)
        racers[i] = thread_start(releases, NULL);
    for (int i = 0; i < RACES; i++) {
        race_prepare(&tokens[i]);
        CHECK(!token_over(&tokens[i]));
        pthread_barrier_wait(&race.start);
        pthread_barrier_wait(&race.finish);
        CHECK(token_over(&tokens[i]));
    }
    for (int i = 0; i < RACERS; i++)
        thread_join(racers[i]);
    for (int i = 0; i < RACES; i++)
        CHECK(token_over(&tokens[i]));
    ctxshim_key_destroy(key);
}

/* --- C37 ------------------------------------------------------------------------------------------- */

enum { COMERS = 128, GENERATIONS = 10 };

/* Which thread has which number, in the generation that is under way; 0: none. */
static _Atomic pid_t comer_tids[COMERS];
static _Atomic bool all_over;

static void *comes_and_goes(void *number) {
    size_t i = (size_t)(uintptr_t)number;
    char name[64];
    snprintf(name, sizeof name, i % 2 == 0 ? "thread-%zu" : "thread-%zu, whose name is too long for a node",
             i);
    atomic_store(&comer_tids[i], gettid());
    for (int step = 0; step < 10; step++) {
        CTXSHIM_SCOPE(name);
        CTXSHIM_SCOPE("step");
        ctxshim_scope value = ctxshim_with(key, &key), root = ctxshim_root(name);
        CHECK(ctxshim_pop(&root) == 0 && ctxshim_pop(&value) == 0);
        if (step % 4 == 0)
            sched_yield();
    }
    atomic_store(&comer_tids[i], 0);
    return NULL;
}

/* One of the stacks that thread has; it began in Main, and before that and behind it had nothing. */
static bool is_stack_of(size_t i, const char *stack) {
    char name[64], expected[80];
    snprintf(name, sizeof name, i % 2 == 0 ? "thread-%zu" : "thread-%zu, whose name is too long for a node",
             i);
    static const char *const around[][2] = {{"Main ", ""}, {"Main ", " step"}, {"", ""}};
    for (size_t j = 0; j < LENGTH(around); j++) {
        snprintf(expected, sizeof expected, "%s%s%s", around[j][0], name, around[j][1]);
        if (strcmp(stack, expected) == 0)
            return true;
    }
    return strcmp(stack, "") == 0 || strcmp(stack, "Main") == 0;
}

struct seen_threads {
    pid_t main;
    size_t lines, whole, named, of_main;
};

/* The comer's number, or COMERS. */
static size_t comer_of(pid_t tid) {
    size_t i = 0;
    while (i < COMERS && atomic_load(&comer_tids[i]) != tid)
        i++;
    return i;
}

static void check_line(const struct census_line *line, void *argument) {
    struct seen_threads *seen = argument;
    size_t before = comer_of(line->tid);
    seen->lines++;
    if (line->stack == NULL)
        return;
    seen->whole++;
    if (line->tid == seen->main) {
        seen->of_main++;
        CHECK(strcmp(line->stack, "Main") == 0);
    }
    if (before < COMERS && before == comer_of(line->tid)) {
        seen->named += strstr(line->stack, "thread-") != NULL;
        CHECK(is_stack_of(before, line->stack));
    }
}

static void *lists(void *seen) {
    struct memory own = memory_of(getpid());
    while (!atomic_load(&all_over))
        census_take(&own, &thread_records, check_line, seen);
    return NULL;
}

static void threads_come_and_go(void) {
    static pthread_t comers[COMERS];
    for (int generation = 0; generation < GENERATIONS; generation++) {
        for (size_t i = 0; i < COMERS; i++)
            comers[i] = thread_start(comes_and_goes, (void *)(uintptr_t)i);
        for (size_t i = 0; i < COMERS; i++)
            thread_join(comers[i]);
    }
}

/* The same list as another process reads it, which stops nobody: a child knows the addresses. Where that may
 * not be done there is nothing to see. */
static pid_t watch_from_outside(pid_t parent) {
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child != 0)
        return child;
    struct memory outside = memory_of(parent);
    struct thread *record;
    struct seen_threads seen = {.main = parent};
    bool allowed = memory_copy(&outside, &record, &thread_records, sizeof record);
    memset(comer_tids, 0, sizeof comer_tids); /* a copy: it knows of none */
    for (int i = 0; allowed && i < 100; i++)
        census_take(&outside, &thread_records, check_line, &seen);
    _exit(!allowed || (seen.of_main == 100) ? 0 : 1);
}

void C37_all_threads_can_be_listed_while_they_come_and_go(void) {
    struct seen_threads seen = {.main = getpid()};
    int status = -1;
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main");
    pthread_t lister = thread_start(lists, &seen);
    pid_t outside = watch_from_outside(getpid());
    threads_come_and_go();
    CHECK(waitpid(outside, &status, 0) == outside && status == 0);
    atomic_store(&all_over, true);
    thread_join(lister);
    CHECK(seen.of_main > 0 && seen.named > 100 && seen.whole > seen.lines / 2);
    atomic_store(&all_over, false);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

/* --- C38 ------------------------------------------------------------------------------------------- */

enum { READINGS = 2000 };

static volatile sig_atomic_t readings;
static ctxshim_context *volatile kept;      /* captured in the handler, for the program to release */
static volatile sig_atomic_t until_capture; /* readings before that */
static char one, two;

static const char *const stacks[] = {"Main", "Main A", "Main A a name that is too long to be kept in a node",
                                     "Main captured", "request"};

/* Whatever was interrupted: the stack is one of those that the program has been in, the value too. */
static void reads(int signal) {
    char stack[128];
    bool known = false;
    (void)signal;
    ctxshim_stack(stack, sizeof stack);
    for (size_t i = 0; i < LENGTH(stacks); i++)
        known = known || strcmp(stack, stacks[i]) == 0;
    CHECK(known);
    const void *value = ctxshim_get(key);
    CHECK(value == NULL || value == &one || value == &two);
    CHECK(ctxshim_active());
    if (kept == NULL && until_capture-- == 0)
        CHECK((kept = ctxshim_capture()) != NULL);
    readings++;
}

static void changes(ctxshim_context *captured) {
    ctxshim_scope scope = ctxshim_push("A"), longer = ctxshim_push(stacks[2] + strlen("Main A "));
    ctxshim_scope value = ctxshim_with(key, &one);
    CHECK(ctxshim_set(key, &two) == 0);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&longer) == 0 && ctxshim_pop(&scope) == 0);
    scope = ctxshim_attach(captured);
    CHECK(ctxshim_pop(&scope) == 0);
    scope = ctxshim_root("request");
    CHECK(ctxshim_set(key, &one) == 0);
    CHECK(ctxshim_pop(&scope) == 0);
    for (int i = 0; i < 20; i++) { /* the usual scope, many times: it is over so soon */
        scope = ctxshim_push("A");
        CHECK(ctxshim_pop(&scope) == 0);
    }
}

/* The handler's capture is released here: there it might have interrupted the shim, which may not be entered
 * twice. */
static void release_kept(void) {
    ctxshim_context *context = kept;
    if (context == NULL)
        return;
    ctxshim_release(context);
    kept = NULL;
}

static void *interrupts(void *thread) {
    while (!atomic_load(&all_over))
        CHECK(pthread_kill(*(pthread_t *)thread, SIGUSR1) == 0);
    return NULL;
}

/* Signals from another thread, wherever they happen to come. */
static void read_at_random(ctxshim_context *captured) {
    pthread_t self = pthread_self(), other = thread_start(interrupts, &self);
    while (readings < READINGS) {
        until_capture = 0;
        changes(captured);
        release_kept();
    }
    atomic_store(&all_over, true);
    thread_join(other);
    release_kept();
}

/* The processor's trap flag brings a signal behind each instruction. Below rsp lies what the compiler may
 * keep there. */
static inline void step_instructions(bool on) {
#if defined(__x86_64__)
    __asm__ volatile(
        "leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\torq %0, (%%rsp)\n\tpopfq\n\t"
        "leaq 128(%%rsp), %%rsp"
        :
        : "r"(on ? 0x100UL : 0UL)
        : "memory", "cc");
#else
    (void)on;
#endif
}

static void read_everywhere(ctxshim_context *captured) {
    sig_atomic_t before = readings;
    until_capture = 0;
    step_instructions(true);
    changes(captured);
    step_instructions(false);
    release_kept();
#if defined(__x86_64__)
    CHECK(readings - before > 1000);
#else
    (void)before;
#endif
}

/* Captures behind the first instruction of a scope's life, then behind the second, and so on. */
static void capture_everywhere(void) {
    bool any = true;
    for (int at = 0; any; at++) {
        until_capture = at;
        step_instructions(true);
        ctxshim_scope scope = ctxshim_push("A");
        int error = ctxshim_pop(&scope);
        step_instructions(false);
        CHECK(error == 0);
        CHECK_STACK("Main");
        any = kept != NULL;
        release_kept();
        CHECK(context_live() == 2);
    }
}

void C38_the_current_context_may_be_read_in_a_signal_handler(void) {
    ctxshim_scope scope = ctxshim_push("Main"), inside = ctxshim_push("captured");
    ctxshim_context *captured = ctxshim_capture();
    CHECK(ctxshim_pop(&inside) == 0);
    key = ctxshim_key_create("key", NULL);
    struct sigaction action = {.sa_handler = reads, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    read_at_random(captured);
    read_everywhere(captured);
    capture_everywhere();
    ctxshim_release(captured);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}
