/* Threads and what is between them: mutexes, semaphores, coroutines; and signal handlers. */
#include "hooks.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, queue = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static unsigned items, put;
static volatile unsigned taken;
static sem_t semaphore;
static ucontext_t here, there;
static char stack[256 * 1024];

/* A consumer, as a pool has them: it waits at the bottom of its loop. */
static void *consume(void *nothing) {
    while (1) {
        pthread_mutex_lock(&queue);
        while (items == 0)
            pthread_cond_wait(&condition, &queue);
        items--;
        pthread_mutex_unlock(&queue);
        taken++;
    }
    return nothing;
}

/* Until the consumer is back at its wait: nothing is left of the last item. */
static void await_consumer(void) {
    while (taken != put)
        raw_call(SYS_sched_yield, 0, 0, 0, 0);
    for (int i = 0; i < 4; i++)
        raw_call(SYS_sched_yield, 0, 0, 0, 0);
}
static void hand_over(void) {
    pthread_mutex_lock(&queue);
    items++;
    put++;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&queue);
}

static void handle(int signal) {
    (void)signal;
}

static void bounce(void) {
    while (1)
        swapcontext(&there, &here);
}

void hooks_prepare_threads(void) {
    pthread_t consumer;
    sure(sem_init(&semaphore, 0, 1), "sem_init");
    sure(-pthread_create(&consumer, NULL, consume, NULL), "pthread_create");
    for (int i = 0; i < 8; i++) { /* from here on one queue is known */
        await_consumer();
        hand_over();
    }
    await_consumer();
    sure(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handle}, NULL), "sigaction");
    sure(getcontext(&there), "getcontext");
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, bounce, 0);
}

static void lock_plain(void) {
    pthread_mutex_lock(&plain);
    pthread_mutex_unlock(&plain);
}
static void post_and_wait(void) {
    sem_post(&semaphore);
    sem_wait(&semaphore);
}
static void handled(void) {
    raw_call(SYS_tgkill, getpid(), gettid(), SIGUSR1, 0);
}
static void swap(void) {
    swapcontext(&here, &there);
}
static void *nothing(void *argument) {
    return argument;
}
static void create_and_join(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, nothing, NULL);
    pthread_join(thread, NULL);
}

const struct hook_case hook_cases_threads[] = {
    {"mutex, lock and unlock", NULL, lock_plain, 0},
    {"queue, an item handed over", await_consumer, hand_over, 0},
    {"semaphore, post and wait", NULL, post_and_wait, 0},
    {"signal handler", NULL, handled, 0},
    {"swapcontext, there and back", NULL, swap, 0},
    {"pthread_create and join", NULL, create_and_join, 0},
    {0},
};
