/* C22, C23, C33, C35 and C36: what waits for its work holds its context, so long and no longer. Strategy:
 * the number of live contexts and the values' ends, looked at between the steps of one thread. */
#include "behaviour.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static ctxshim_key *key;

/* --- C22 ------------------------------------------------------------------------------------------- */

static struct watch siblings[2];

static void begins_clean(const struct watch *watch) {
    timer_read(watch->fd);
    CHECK_STACK(watch->argument);
    CHECK(ctxshim_get(key) == NULL);
}

/* Both have one context, so that nothing but the callbacks' own doings could tell them apart. */
static void siblings_armed_together(int loop, int most_events) {
    for (size_t i = 0; i < LENGTH(siblings); i++) {
        siblings[i].argument = "Main";
        timer_arm(siblings[i].fd, 1, false);
    }
    usleep(3000);
    for (int left = LENGTH(siblings); left > 0;)
        left -= loop_turn(loop, most_events);
    loop_rest(loop);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == NULL);
    siblings[0].argument = "Main A";
    siblings[1].argument = "Main B";
}

static void only_sets(struct watch *watch, uint32_t events) {
    (void)events;
    begins_clean(watch);
    CHECK(ctxshim_set(key, &tokens[0]) == 0);
}

static void forgets_to_close(struct watch *watch, uint32_t events) {
    only_sets(watch, events);
    ctxshim_push("forgotten");
    ctxshim_attach(NULL);
    ctxshim_push("inside");
    ctxshim_suppress_flow();
}

/* Both timers are due when the loop waits, each armed under a name of its own. */
static void siblings_turn(int loop, int most_events) {
    for (size_t i = 0; i < LENGTH(siblings); i++) {
        ctxshim_scope scope = ctxshim_push(i == 0 ? "A" : "B");
        timer_arm(siblings[i].fd, 1, false);
        CHECK(ctxshim_pop(&scope) == 0);
    }
    usleep(3000);
    for (int left = LENGTH(siblings); left > 0;)
        left -= loop_turn(loop, most_events);
    loop_rest(loop);
    CHECK_STACK("Main");
    CHECK(ctxshim_get(key) == NULL);
    ctxshim_context *now = ctxshim_capture();
    CHECK(now != NULL); /* and nothing is suppressed */
    ctxshim_release(now);
}

void C22_a_callback_is_invisible_to_its_siblings_and_the_loop(void) {
    CTXSHIM_SCOPE("Main");
    int loop = loop_new();
    key = ctxshim_key_create("key", NULL);
    for (size_t i = 0; i < LENGTH(siblings); i++) {
        siblings[i] = (struct watch){timer_new(), forgets_to_close, i == 0 ? "Main A" : "Main B"};
        loop_add(loop, &siblings[i], EPOLLIN);
    }
    for (int most_events = 1; most_events <= 8; most_events += 7) /* one by one, and in one batch */
        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < LENGTH(siblings); i++)
                siblings[i].ready = round % 2 == 0 ? forgets_to_close : only_sets;
            siblings_turn(loop, most_events);
            siblings_armed_together(loop, most_events);
        }
    for (size_t i = 0; i < LENGTH(siblings); i++)
        close(siblings[i].fd);
    close(loop);
    ctxshim_key_destroy(key);
}

/* --- C23 C35: a carrier that goes takes its context with it ----------------------------------------- */

/* What holds a context that nobody else holds: `begin` captures in the context that is current, `end` makes
 * the carrier let go. */
struct carrier {
    const char *name;
    int (*begin)(void);
    void (*end)(int fd);
};

static int other; /* the loop, or the second descriptor, of a carrier that has two */

static int armed_timer(void) {
    int timer = timer_new();
    timer_arm(timer, 900, false);
    return timer;
}

static int repeating_timer(void) {
    int timer = timer_new();
    timer_arm(timer, 900, true);
    return timer;
}

static void disarm(int timer) {
    timer_arm(timer, 0, false);
    CHECK(context_live() == 0);
    close(timer);
}

/* By somebody else, who is doing something of its own: that is not captured either. */
static void disarm_in_another_request(int timer) {
    ctxshim_scope scope = ctxshim_root("another");
    timer_arm(timer, 0, false);
    CHECK(context_live() == 1);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(context_live() == 0);
    close(timer);
}

static void arm_again_in_another_request(int timer) {
    ctxshim_scope scope = ctxshim_root("another");
    timer_arm(timer, 900, false);
    CHECK(context_live() == 1); /* what it waited for before has gone */
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(context_live() == 1);
    close(timer);
}

static void fires(int timer) {
    timer_arm(timer, 1, false); /* in no context: the one before goes */
    CHECK(context_live() == 0);
    timer_read(timer);
    CHECK(context_live() == 0);
    close(timer);
}

static void close_one(int fd) {
    close(fd);
}

static int posted_event(void) {
    int event = eventfd(0, EFD_CLOEXEC);
    event_post(event);
    event_post(event);
    return event;
}

static int registration(void) {
    static struct watch watch;
    int pipes[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    close(pipes[1]);
    watch = (struct watch){.fd = pipes[0]};
    other = loop_new();
    loop_add(other, &watch, EPOLLIN);
    return pipes[0];
}

static void registration_remove(int fd) {
    loop_remove(other, &(struct watch){.fd = fd});
    CHECK(context_live() == 0);
    close(fd);
    close(other);
}

static void registration_close_file(int fd) {
    close(fd);
    CHECK(context_live() == 0);
    close(other);
}

static void registration_close_loop(int fd) {
    close(other);
    CHECK(context_live() == 0);
    close(fd);
}

static int posted_duplicate(void) {
    int event = posted_event();
    CHECK((other = fcntl(event, F_DUPFD_CLOEXEC, 0)) >= 0);
    return event;
}

static void close_both(int fd) {
    close(fd);
    CHECK(context_live() > 0); /* the other descriptor can still be read */
    CHECK(dup2(STDERR_FILENO, other) == other);
    CHECK(context_live() == 0);
    close(other);
}

static int outbound(void) {
    other = listener_new();
    return connect_to(other);
}

static void outbound_close(int fd) {
    close(fd);
    CHECK(context_live() == 0);
    close(other);
}

static const struct carrier carriers[] = {
    {"a timer that is disarmed", armed_timer, disarm},
    {"a repeating timer that is disarmed", repeating_timer, disarm},
    {"a timer that another request disarms", armed_timer, disarm_in_another_request},
    {"a timer that another request arms again", repeating_timer, arm_again_in_another_request},
    {"a timer that is armed anew and fires", armed_timer, fires},
    {"a timer that is closed", armed_timer, close_one},
    {"an eventfd that is closed", posted_event, close_one},
    {"a registration that is removed", registration, registration_remove},
    {"a registration whose file is closed", registration, registration_close_file},
    {"a registration whose loop is closed", registration, registration_close_loop},
    {"an eventfd with two descriptors", posted_duplicate, close_both},
    {"a connection", outbound, outbound_close},
};

static void carrier_check(const struct carrier *carrier, struct token *token) {
    CHECK(context_live() == 0);
    ctxshim_scope scope = ctxshim_push(carrier->name), value = ctxshim_with(key, token);
    int fd = carrier->begin();
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    api_call();
    CHECK(context_live() == 2 && !token_over(token));
    carrier->end(fd);
    CHECK(context_live() == 0);
    api_call();
    CHECK(token_over(token));
}

void C23_cancelling_releases_the_captured_context_at_once(void) {
    key = ctxshim_key_create("key", token_end);
    for (size_t i = 0; i < LENGTH(carriers); i++)
        carrier_check(&carriers[i], &tokens[i]);
    ctxshim_key_destroy(key);
}

static void *never_runs(void *argument) {
    CHECK(argument == NULL);
    return argument;
}

/* A thread that cannot be made. */
static void thread_fails(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)1 << 46) == 0);
    CHECK(pthread_create(&thread, &attributes, never_runs, &key) != 0);
    pthread_attr_destroy(&attributes);
}

/* A write that does not fit is no work item. */
static void post_fails(int event) {
    uint64_t most = UINT64_MAX - 1;
    CHECK(write(event, &most, sizeof most) == -1 && errno == EAGAIN);
}

void C35_a_discarded_work_item_is_released_with_its_carrier(void) {
    key = ctxshim_key_create("key", token_end);
    int event = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), loop = loop_new();
    struct watch timer = {.fd = timer_new()};
    ctxshim_scope scope = ctxshim_push("work"), value = ctxshim_with(key, &tokens[0]);
    thread_fails();
    post_fails(event);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    CHECK(context_live() == 0 && token_over(&tokens[0]));

    for (size_t i = 1; i <= 100; i++) { /* queued for ever, each in a context of its own */
        scope = ctxshim_push("work");
        value = ctxshim_with(key, &tokens[i]);
        event_post(event);
        CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    }
    scope = ctxshim_push("work");
    value = ctxshim_with(key, &tokens[101]);
    timer_arm(timer.fd, 1, false);
    loop_add(loop, &timer, EPOLLIN);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    CHECK(context_live() == 2 * 101);
    for (size_t i = 1; i <= 101; i++)
        CHECK(!token_over(&tokens[i]));

    close(event);
    close(timer.fd);
    CHECK(context_live() == 0);
    api_call();
    for (size_t i = 1; i <= 101; i++)
        CHECK(token_over(&tokens[i]));
    close(loop);
    ctxshim_key_destroy(key);
}

/* --- C33 ------------------------------------------------------------------------------------------- */

static void task_sets(struct watch *watch, uint32_t events) {
    (void)events;
    struct token *token = watch->argument;
    timer_read(watch->fd);
    CHECK(ctxshim_set(key, token) == 0);
    CHECK(ctxshim_get(key) == token && !token_over(token));
}

static void in_a_callback(struct token *token) {
    struct watch timer = {timer_new(), task_sets, token};
    int loop = loop_new();
    loop_add(loop, &timer, EPOLLIN);
    timer_arm(timer.fd, 1, false);
    loop_turn(loop, 1);
    CHECK(!token_over(token)); /* the task is over with the next wait */
    loop_rest(loop);
    CHECK(token_over(token));
    close(timer.fd);
    close(loop);
}

static void *thread_sets(void *token) {
    CHECK(ctxshim_set(key, token) == 0);
    api_call();
    CHECK(!token_over(token));
    return NULL;
}

static void in_a_scope(struct token *token) {
    ctxshim_scope scope = ctxshim_push("task");
    CHECK(ctxshim_set(key, token) == 0);
    api_call();
    CHECK(!token_over(token));
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(token_over(token));
}

static void body_sets(void *token) {
    CHECK(ctxshim_set(key, token) == 0);
}

/* Captured by somebody else, who lets go first or last, here or on another thread. */
static void *release_it(void *context) {
    ctxshim_release(context);
    return NULL;
}

static void released_elsewhere(struct token *token, bool here, bool after) {
    ctxshim_scope scope = ctxshim_push("task");
    CHECK(ctxshim_set(key, token) == 0);
    ctxshim_context *context = ctxshim_capture();
    if (after)
        CHECK(ctxshim_pop(&scope) == 0);
    CHECK(!token_over(token));
    if (here)
        ctxshim_release(context);
    else
        on_clean_thread(release_it, context);
    if (!after)
        CHECK(ctxshim_pop(&scope) == 0);
    CHECK(token_over(token));
    CHECK(context_live() == 0);
}

/* The thread outlives the scope that it was started in. */
static _Atomic bool may_end;

static void *thread_ends_later(void *token) {
    CHECK(ctxshim_get(key) == token);
    while (!atomic_load(&may_end))
        usleep(100);
    ctxshim_scope step = ctxshim_push("step"), longer = ctxshim_with(key, NULL);
    CHECK(ctxshim_pop(&longer) == 0 && ctxshim_pop(&step) == 0);
    CHECK_STACK("task"); /* though whoever opened that has closed it */
    CHECK(ctxshim_get(key) == token && !token_over(token));
    return NULL;
}

static void in_a_thread_that_outlives(struct token *token) {
    ctxshim_scope scope = ctxshim_push("task");
    CHECK(ctxshim_set(key, token) == 0);
    pthread_t thread = thread_start(thread_ends_later, token);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(!token_over(token));
    atomic_store(&may_end, true);
    thread_join(thread);
    CHECK(token_over(token));
    CHECK(context_live() == 0);
}

void C33_a_value_set_in_a_task_is_destroyed_once_the_task_is_over(void) {
    struct token *token = tokens;
    key = ctxshim_key_create("key", token_end);
    in_a_callback(token++);
    on_thread(thread_sets, token);
    CHECK(token_over(token++));
    in_a_scope(token++);
    CHECK(ctxshim_run(NULL, body_sets, token) == 0);
    CHECK(token_over(token++));
    for (int way = 0; way < 4; way++)
        released_elsewhere(token++, way & 1, way & 2);
    in_a_thread_that_outlives(token++);
    for (; token > tokens; token--)
        CHECK(token_over(token - 1));
    ctxshim_key_destroy(key);
}

/* --- C36 ------------------------------------------------------------------------------------------- */

/* A connection that is answered, a timer that fires, a post that is taken, a thread; all in one request. */
static void *all_at_once(void *argument) {
    struct token *token = argument;
    struct watch timer = {timer_new(), task_sets, token};
    int loop = loop_new(), event = eventfd(0, EFD_CLOEXEC);
    ctxshim_scope scope = ctxshim_root("request");
    loop_add(loop, &timer, EPOLLIN);
    timer_arm(timer.fd, 1, false);
    event_post(event);
    connect_once();
    CHECK(ctxshim_pop(&scope) == 0);
    loop_turn(loop, 1);
    (void)event_take(event);
    on_thread(thread_sets, token + 1);
    close(event);
    close(timer.fd);
    close(loop);
    return NULL;
}

void C36_nothing_lives_after_the_last_work(void) {
    enum { WORKERS = 8, ROUNDS = 10 };
    pthread_t workers[WORKERS], acceptor;
    int connections = WORKERS * ROUNDS;
    key = ctxshim_key_create("key", token_end);
    the_listener = listener_new();
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(context_live() == 1); /* the count is one that can be wrong */
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(context_live() == 0);
    acceptor = thread_start(accept_loop, &connections);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < WORKERS; i++)
            workers[i] = thread_start(all_at_once, &tokens[2 * (round * WORKERS + i)]);
        for (size_t i = 0; i < WORKERS; i++)
            thread_join(workers[i]);
    }
    thread_join(acceptor);
    close(the_listener);
    CHECK(context_live() == 0);
    for (size_t i = 0; i < 2 * ROUNDS * WORKERS; i++)
        CHECK(token_over(&tokens[i]));
    ctxshim_key_destroy(key);
}
