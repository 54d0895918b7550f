/* Threads and what is between them: mutexes, semaphores, coroutines; and signal handlers. */
#include "hooks.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, queue = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static unsigned waits;
static sem_t semaphore;
static ucontext_t here, there;
static char stack[256 * 1024];

/* A consumer, as a pool has them: it waits at the bottom of its loop, and what it waits for never comes. */
static void *consume(void *nothing) {
    pthread_mutex_lock(&queue);
    while (1) {
        waits++;
        pthread_cond_wait(&condition, &queue);
    }
    return nothing;
}

static void wake_consumer(void) {
    unsigned before = waits;
    for (int tries = 0; tries < 1000000; tries++) {
        pthread_mutex_lock(&queue);
        if (tries == 0)
            pthread_cond_signal(&condition);
        unsigned now = waits;
        pthread_mutex_unlock(&queue);
        if (now != before)
            return;
        sched_yield();
    }
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
    for (int i = 0; i < 8; i++)
        wake_consumer();
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
static void lock_queue(void) {
    pthread_mutex_lock(&queue);
    pthread_mutex_unlock(&queue);
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
    {"mutex of a queue, lock and unlock", NULL, lock_queue, 0},
    {"semaphore, post and wait", NULL, post_and_wait, 0},
    {"signal handler", NULL, handled, 0},
    {"swapcontext, there and back", NULL, swap, 0},
    {"pthread_create and join", NULL, create_and_join, 0},
    {0},
};
