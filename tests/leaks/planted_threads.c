/* Threads, coroutines and captures: see planted.h. */
#include "planted.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <threads.h>
#include <ucontext.h>

/* --- threads ---------------------------------------------------------------------------------------------
 */

static int linger_c11(void *nothing) {
    linger(nothing);
    return 0;
}
void thread_started(bool leak) {
    pthread_t thread;
    struct served served = serve();
    pthread_create(&thread, NULL, linger, NULL); /* HERE thread_started */
    wait_started();
    finish(&served);
    may_end = !leak;
    if (!leak)
        pthread_join(thread, NULL);
}

void thread_of_c11(bool leak) {
    thrd_t thread;
    struct served served = serve();
    thrd_create(&thread, linger_c11, NULL); /* HERE thread_of_c11 */
    wait_started();
    finish(&served);
    may_end = !leak;
    if (!leak)
        thrd_join(thread, NULL);
}

void thread_of_fork(bool leak) {
    struct served served = serve();
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, linger, NULL); /* HERE thread_of_fork */
        wait_started();
        finish(&served);
        may_end = !leak;
        if (!leak)
            pthread_join(thread, NULL);
        exit(0);
    }
    waitpid(child, NULL, 0);
    close(served.connection);
}

/* --- coroutines ------------------------------------------------------------------------------------------
 */

static ucontext_t main_context, coroutine;

static void sleep_in_coroutine(void) {
    swapcontext(&coroutine, &main_context);
}

void coroutine_parked(bool leak) {
    static char stack[65536];
    struct served served = serve();
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    coroutine.uc_link = &main_context;
    makecontext(&coroutine, sleep_in_coroutine, 0); /* HERE coroutine_parked */
    swapcontext(&main_context, &coroutine);
    finish(&served);
    if (!leak)
        swapcontext(&main_context, &coroutine);
}

/* --- captures --------------------------------------------------------------------------------------------
 */

void capture_forgotten(bool leak) {
    struct served served = serve();
    ctxshim_context *context = ctxshim_capture(); /* HERE capture_forgotten */
    finish(&served);
    if (!leak)
        ctxshim_release(context);
}

static void *capture_in_thread(void *context) {
    *(ctxshim_context **)context = ctxshim_capture(); /* HERE capture_of_thread */
    return NULL;
}

void capture_of_thread(bool leak) {
    pthread_t thread;
    ctxshim_context *context = NULL;
    struct served served = serve();
    pthread_create(&thread, NULL, capture_in_thread, &context);
    pthread_join(thread, NULL);
    finish(&served);
    if (!leak)
        ctxshim_release(context);
}

void capture_of_root(bool leak) {
    ctxshim_scope root = ctxshim_root("request");
    ctxshim_context *context = ctxshim_retain(ctxshim_capture()); /* HERE capture_of_root */
    ctxshim_release(context);
    ctxshim_pop(&root);
    if (!leak)
        ctxshim_release(context);
}
