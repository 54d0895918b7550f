/* C24 and C25: what two requests share, and what outlives one, keeps neither. Strategy: each request sets a
 * value that counts its end, and the program goes on. */
#include "behaviour.h"

#include <semaphore.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static ctxshim_key *key;

/* --- C24: a timer wheel ----------------------------------------------------------------------------- */

/* A program's own wheel: one timerfd, armed for whichever of its tasks is next. */
struct task {
    ctxshim_context *context;
    const char *stack;
    struct token *token;
};

static void task_body(void *argument) {
    const struct task *task = argument;
    CHECK_STACK(task->stack);
    CHECK(ctxshim_get(key) == task->token);
}

static void wheel_turns(struct watch *watch, uint32_t events) {
    (void)events;
    struct task *task = watch->argument;
    timer_read(watch->fd);
    CHECK(ctxshim_run(task->context, task_body, task) == 0);
}

static void request(struct task *task, int timer) {
    ctxshim_scope root = ctxshim_root(task->stack);
    CHECK(ctxshim_set(key, task->token) == 0);
    task->context = ctxshim_capture();
    if (timer >= 0)
        timer_arm(timer, 1, false);
    CHECK(ctxshim_pop(&root) == 0);
}

static void requests_share_a_wheel(void) {
    struct task tasks[] = {{.stack = "first", .token = &tokens[0]}, {.stack = "second", .token = &tokens[1]}};
    struct watch wheel = {timer_new(), wheel_turns, NULL};
    int loop = loop_new();
    loop_add(loop, &wheel, EPOLLIN);
    request(&tasks[0], -1);
    request(&tasks[1], wheel.fd);
    CHECK(context_live() == 4);

    wheel.argument = &tasks[0];
    loop_turn(loop, 1);
    ctxshim_release(tasks[0].context);
    loop_rest(loop);
    CHECK(token_over(&tokens[0]) && !token_over(&tokens[1]));
    CHECK(context_live() == 2);

    wheel.argument = &tasks[1];
    timer_arm(wheel.fd, 1, false); /* in no context: the wheel holds none from here on */
    loop_turn(loop, 1);
    ctxshim_release(tasks[1].context);
    loop_rest(loop);
    CHECK(token_over(&tokens[1]));
    CHECK(context_live() == 0);
    close(wheel.fd);
    close(loop);
}

/* Two clients of one loop: each request sets a value of its own on what the loop read, and starts a timer.
 * The values are found where the timers fire, and go when their own client does. */
static struct {
    int loop, listener;
    struct watch clients[2], timers[2];
    struct token *expected[2];
    int accepted, fired, gone;
} shared;

static void shared_fires(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    CHECK(ctxshim_get(key) == watch->argument);
    shared.fired++;
}

static void shared_asks(struct watch *watch, uint32_t events) {
    (void)events;
    char byte;
    size_t i = (size_t)(watch - shared.clients);
    if (read(watch->fd, &byte, 1) == 1) {
        CHECK(ctxshim_get(key) == NULL);
        CHECK(ctxshim_set(key, shared.expected[i]) == 0);
        timer_arm(shared.timers[i].fd, i == 0 ? 1 : 300, false);
        return;
    }
    loop_remove(shared.loop, watch);
    close(watch->fd);
    shared.gone++;
}

static void shared_accepts(struct watch *watch, uint32_t events) {
    (void)events;
    struct watch *client = &shared.clients[shared.accepted++];
    *client = (struct watch){accept(watch->fd, NULL, NULL), shared_asks, NULL};
    CHECK(client->fd >= 0);
    loop_add(shared.loop, client, EPOLLIN);
}

static void turn_until(const int *count, int enough) {
    while (*count < enough)
        loop_turn(shared.loop, 1);
}

/* The clients are asked by hand, from the empty context: they are the peers' side. */
static void requests_share_a_loop(struct token token[2]) {
    int fds[2];
    shared.loop = loop_new();
    struct watch listener = {listener_new(), shared_accepts, NULL};
    loop_add(shared.loop, &listener, EPOLLIN);
    for (int i = 0; i < 2; i++) {
        shared.expected[i] = &token[i];
        shared.timers[i] = (struct watch){timer_new(), shared_fires, &token[i]};
        loop_add(shared.loop, &shared.timers[i], EPOLLIN);
        fds[i] = connect_to(listener.fd);
        send_all(fds[i], "?", 1);
    }
    turn_until(&shared.accepted, 2);
    turn_until(&shared.fired, 1);
    loop_rest(shared.loop);
    CHECK(token_over(&token[0]) && !token_over(&token[1]));
    size_t live = context_live();
    close(fds[0]);
    turn_until(&shared.gone, 1);
    loop_rest(shared.loop);
    CHECK(context_live() < live && !token_over(&token[1]));
    turn_until(&shared.fired, 2);
    loop_rest(shared.loop);
    CHECK(token_over(&token[1]));
    close(fds[1]);
    turn_until(&shared.gone, 2);
    loop_rest(shared.loop);
    for (int i = 0; i < 2; i++)
        close(shared.timers[i].fd);
    close(listener.fd);
    close(shared.loop);
    CHECK(context_live() == 0);
}

void C24_ending_one_of_two_requests_frees_only_its_context(void) {
    key = ctxshim_key_create("key", token_end);
    requests_share_a_wheel();
    requests_share_a_loop(&tokens[2]);
    ctxshim_key_destroy(key);
}

/* --- C25 ------------------------------------------------------------------------------------------- */

static struct {
    int jobs; /* an eventfd */
    sem_t done;
} pool;

static void *pool_worker(void *jobs) {
    for (int job = 0; job < *(int *)jobs; job++) {
        (void)event_take(pool.jobs);
        if (job > 1)
            CHECK_STACK("");
        CHECK(sem_post(&pool.done) == 0);
    }
    return NULL;
}

static void pool_job(void) {
    event_post(pool.jobs);
    CHECK(sem_wait(&pool.done) == 0);
}

/* Started lazily, inside the first request; its value must end soon after, and not with the workers. */
static void first_request(pthread_t threads[2], int *jobs) {
    ctxshim_scope scope = ctxshim_push("first"), value = ctxshim_with(key, &tokens[0]);
    threads[0] = thread_start(pool_worker, jobs);
    threads[1] = thread_start(accept_loop, jobs);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
}

static void a_worker_and_an_accept_loop(void) {
    pthread_t threads[2];
    int jobs = 4;
    pool.jobs = eventfd(0, EFD_CLOEXEC);
    CHECK(sem_init(&pool.done, 0, 0) == 0);
    the_listener = listener_new();
    first_request(threads, &jobs);
    for (int i = 0; i < jobs; i++) {
        if (i == jobs - 1)
            CHECK(token_over(&tokens[0]));
        pool_job();
        connect_once();
    }
    for (size_t i = 0; i < LENGTH(threads); i++)
        thread_join(threads[i]);
    close(pool.jobs);
    close(the_listener);
}

/* Workers that wait for each other on a condition variable, and at two places by turns. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wanted, done;
} jobs_of = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *condition_worker(void *count) {
    for (int job = 1; job <= *(int *)count; job++) {
        pthread_mutex_lock(&jobs_of.lock);
        while (jobs_of.wanted < job)
            if (job % 2 == 0)
                pthread_cond_wait(&jobs_of.changed, &jobs_of.lock);
            else
                pthread_cond_wait(&jobs_of.changed, &jobs_of.lock);
        if (job > 4) { /* it has been at both places before: whoever started it is over for it */
            CHECK_STACK("");
            api_call();
        }
        jobs_of.done = job;
        pthread_cond_broadcast(&jobs_of.changed);
        pthread_mutex_unlock(&jobs_of.lock);
    }
    return NULL;
}

static void condition_job(int job) {
    pthread_mutex_lock(&jobs_of.lock);
    jobs_of.wanted = job;
    pthread_cond_broadcast(&jobs_of.changed);
    while (jobs_of.done < job)
        pthread_cond_wait(&jobs_of.changed, &jobs_of.lock);
    pthread_mutex_unlock(&jobs_of.lock);
    usleep(2000); /* it waits again */
}

static void a_worker_on_a_condition(struct token *token) {
    int jobs = 8;
    ctxshim_scope scope = ctxshim_push("first"), value = ctxshim_with(key, token);
    pthread_t worker = thread_start(condition_worker, &jobs);
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    CHECK(!token_over(token));
    for (int job = 1; job < jobs; job++)
        condition_job(job);
    CHECK(token_over(token));
    condition_job(jobs);
    thread_join(worker);
}

/* What a request leaves in a loop: a timer that repeats, and the registrations of things that it made. */
static int ticks;

static void tick(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    ticks++;
    const void *expected = ticks == 1 ? watch->argument : NULL;
    CHECK(ctxshim_get(key) == expected);
}

static void pipe_ready(struct watch *watch, uint32_t events) {
    (void)events;
    char byte;
    CHECK(read(watch->fd, &byte, 1) == 1);
    CHECK(ctxshim_get(key) == NULL);
}

static void a_timer_that_repeats(struct token *token) {
    int loop = loop_new();
    struct watch timer = {timer_new(), tick, token};
    loop_add(loop, &timer, EPOLLIN);
    ctxshim_scope request = ctxshim_root("request");
    CHECK(ctxshim_set(key, token) == 0);
    timer_arm(timer.fd, 1, true);
    loop_turn(loop, 1); /* while the request goes on, it is in it */
    CHECK(ctxshim_pop(&request) == 0);
    while (ticks < 3)
        loop_turn(loop, 1);
    timer_arm(timer.fd, 0, false);
    loop_rest(loop);
    CHECK(token_over(token));
    CHECK(context_live() == 0);
    close(timer.fd);
    close(loop);
}

static void a_registration(struct token *token) {
    int loop = loop_new(), pipes[2];
    CHECK(pipe(pipes) == 0);
    struct watch reader = {pipes[0], pipe_ready, NULL};
    ctxshim_scope request = ctxshim_root("request");
    CHECK(ctxshim_set(key, token) == 0);
    loop_add(loop, &reader, EPOLLIN);
    CHECK(ctxshim_pop(&request) == 0);
    CHECK(write(pipes[1], "", 1) == 1);
    loop_turn(loop, 1);
    loop_rest(loop);
    CHECK(token_over(token));
    CHECK(context_live() == 0);
    close(pipes[0]);
    close(pipes[1]);
    close(loop);
}

/* A server that echoes bytes. */
static void *echo(void *connection) {
    char byte;
    while (read(*(int *)connection, &byte, 1) == 1)
        send_all(*(int *)connection, &byte, 1);
    return NULL;
}

static void ask_over(int pooled, struct token *token) {
    char byte;
    ctxshim_scope request = ctxshim_root("request");
    CHECK(ctxshim_set(key, token) == 0);
    send_all(pooled, "?", 1);
    receive_all(pooled, &byte, 1);
    CHECK(ctxshim_get(key) == token);
    CHECK(ctxshim_pop(&request) == 0);
}

/* The connection that the first request made and used is the second's when that uses it. */
static void a_pooled_connection(struct token token[2]) {
    int listener = listener_new();
    ctxshim_scope request = ctxshim_root("request");
    int pooled = connect_to(listener);
    CHECK(ctxshim_pop(&request) == 0);
    int server = accept(listener, NULL, NULL);
    pthread_t echoes = thread_start(echo, &server);
    ask_over(pooled, &token[0]);
    ask_over(pooled, &token[1]);
    api_call();
    CHECK(token_over(&token[0]));
    close(pooled);
    thread_join(echoes);
    api_call();
    CHECK(token_over(&token[1]));
    close(server);
    close(listener);
}

void C25_what_outlives_a_request_does_not_keep_it(void) {
    key = ctxshim_key_create("key", token_end);
    a_worker_and_an_accept_loop();
    a_worker_on_a_condition(&tokens[1]);
    a_timer_that_repeats(&tokens[2]);
    a_registration(&tokens[3]);
    a_pooled_connection(&tokens[4]);
    ctxshim_key_destroy(key);
}
