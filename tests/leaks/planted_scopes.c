/* Scopes, roots and values: see planted.h. */
#include "planted.h"

#include "../../ctxstore/kernel.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

/* --- scopes ----------------------------------------------------------------------------------------------
 */

void push_at_end(bool leak) {
    ctxshim_scope scope = ctxshim_push("Forgotten"); /* HERE push_at_end */
    if (!leak)
        ctxshim_pop(&scope);
}

static void *push_in_thread(void *leak) {
    ctxshim_scope scope = ctxshim_push("Forgotten"); /* HERE push_of_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    return NULL;
}

void push_of_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_in_thread, &leak);
    pthread_join(thread, NULL);
}

static void *push_and_wait(void *leak) {
    ctxshim_scope scope = ctxshim_push("Cancelled"); /* HERE push_of_cancelled_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    started = true;
    while (true)
        pause();
    return NULL;
}

void push_of_cancelled_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, push_and_wait, &leak);
    wait_started();
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

static NOINLINE void callback(int wake, bool leak) {
    eventfd_t value;
    eventfd_read(wake, &value);
    ctxshim_scope scope = ctxshim_push("Callback"); /* HERE push_in_epoll_callback */
    if (!leak)
        ctxshim_pop(&scope);
}

void push_in_epoll_callback(bool leak) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), wake = eventfd(1, 0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event);
    for (int round = 0; round < 2; round++)
        if (epoll_wait(epoll, &event, 1, 0) == 1)
            callback(wake, leak);
    epoll_wait(epoll, &event, 1, 1);
}

void push_in_eventfd_worker(bool leak) {
    eventfd_t value;
    int wake = eventfd(0, EFD_SEMAPHORE);
    struct served served = serve();
    eventfd_write(wake, 2);
    finish(&served);
    for (int item = 0; item < 2; item++) {
        eventfd_read(wake, &value);
        ctxshim_scope scope = ctxshim_push("Item"); /* HERE push_in_eventfd_worker */
        if (!leak || item == 1)
            ctxshim_pop(&scope);
    }
}

static jmp_buf back;
static NOINLINE void jump_out(bool leak) {
    ctxshim_scope scope = ctxshim_push_block("Jumped over"); /* HERE push_jumped_over */
    if (!leak)
        ctxshim_pop(&scope);
    longjmp(back, 1);
}

void push_jumped_over(bool leak) {
    if (setjmp(back) == 0)
        jump_out(leak);
    poll(NULL, 0, 1);
}

/* What is open around the fork is the parent's to close. */
void push_of_fork(bool leak) {
    ctxshim_scope around = ctxshim_push("Around"), attached = ctxshim_attach(NULL);
    pid_t child = fork();
    if (child == 0) {
        ctxshim_scope scope = ctxshim_push("Forked"); /* HERE push_of_fork */
        if (!leak)
            ctxshim_pop(&scope);
        exit(0);
    }
    waitpid(child, NULL, 0);
    ctxshim_pop(&attached);
    ctxshim_pop(&around);
}

static void *attach_in_thread(void *leak) {
    ctxshim_scope scope = ctxshim_attach(NULL); /* HERE attach_of_thread */
    if (!*(bool *)leak)
        ctxshim_pop(&scope);
    return NULL;
}

void attach_of_thread(bool leak) {
    pthread_t thread;
    pthread_create(&thread, NULL, attach_in_thread, &leak);
    pthread_join(thread, NULL);
}

void pop_out_of_order(bool leak) {
    ctxshim_scope outer = ctxshim_push("Outer");
    ctxshim_scope inner = ctxshim_push("Inner"); /* HERE pop_out_of_order */
    if (!leak)
        ctxshim_pop(&inner);
    ctxshim_pop(&outer);
}

static void *pop_in_thread(void *scope) {
    ctxshim_pop(scope);
    return NULL;
}

void pop_by_other_thread(bool leak) {
    pthread_t thread;
    ctxshim_scope scope = ctxshim_attach(NULL); /* HERE pop_by_other_thread */
    pthread_create(&thread, NULL, leak ? pop_in_thread : linger, &scope);
    may_end = true;
    pthread_join(thread, NULL);
    ctxshim_pop(&scope);
}

/* --- ingress ---------------------------------------------------------------------------------------------
 */

void accept_inside_attached(bool leak) {
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture();
    finish(&served);
    poll(NULL, 0, 1);
    ctxshim_scope scope = ctxshim_attach(context); /* HERE accept_inside_attached */
    if (!leak)
        ctxshim_pop(&scope);
    int client = client_connect(), connection = accept(listener, NULL, NULL);
    close(connection);
    kernel_call(SYS_close, client, 0, 0, 0, 0, 0);
    ctxshim_pop(&scope);
    ctxshim_release(context);
}

void read_inside_attached(bool leak) {
    char byte[8];
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture();
    finish(&served);
    int client = client_connect(), connection = accept(listener, NULL, NULL);
    client_ask(client);
    ctxshim_scope scope = ctxshim_attach(context); /* HERE read_inside_attached */
    if (!leak)
        ctxshim_pop(&scope);
    need(read(connection, byte, sizeof byte) == 3, "read");
    ctxshim_pop(&scope);
    close(connection);
    ctxshim_release(context);
}

void root_inside_root(bool leak) {
    ctxshim_scope roots[2];
    for (int request = 0; request < 2; request++) {
        roots[request] = ctxshim_root("request"); /* HERE root_inside_root */
        if (!leak)
            ctxshim_pop(&roots[request]);
    }
    ctxshim_pop(&roots[1]);
    ctxshim_pop(&roots[0]);
}

/* --- values ----------------------------------------------------------------------------------------------
 */

void value_captured(bool leak) {
    ctxshim_key *key = ctxshim_key_create("user", free);
    ctxshim_scope root = ctxshim_root("request");
    ctxshim_set(key, malloc(8)); /* HERE value_captured */
    ctxshim_context *context = ctxshim_capture();
    ctxshim_pop(&root);
    if (!leak)
        ctxshim_release(context);
}

static void *have_value(void *key) {
    ctxshim_scope root = ctxshim_root("other");
    ctxshim_set(key, malloc(8));
    linger(NULL);
    ctxshim_pop(&root);
    return NULL;
}

/* A thread of the parent's has a value at the fork: nothing in the child reaches it, and it is not lost. */
void value_of_fork(bool leak) {
    ctxshim_key *key = ctxshim_key_create("user", free);
    pthread_t thread;
    pthread_create(&thread, NULL, have_value, key);
    wait_started();
    pid_t child = fork();
    if (child == 0) {
        ctxshim_scope root = ctxshim_root("request");
        ctxshim_set(key, malloc(8)); /* HERE value_of_fork */
        ctxshim_context *context = ctxshim_capture();
        ctxshim_pop(&root);
        if (!leak)
            ctxshim_release(context);
        exit(0);
    }
    waitpid(child, NULL, 0);
    may_end = true;
    pthread_join(thread, NULL);
}
