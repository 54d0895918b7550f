/* A second thread that waits awake, so that both start within a cache line's way of each other. */
#include "two_threads.h"

#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static pthread_t second;
static two_threads_work *work;
static _Atomic uint64_t wanted; /* of how many turns; written by the first */
static _Atomic uint64_t done;   /* written by the second */
static uint64_t turn_count;     /* 0: end */

static void await(const _Atomic uint64_t *number, uint64_t value) {
    while (atomic_load_explicit(number, memory_order_acquire) != value)
        sched_yield();
}

static void *second_thread(void *arg) {
    for (uint64_t turn = 1;; turn++) {
        await(&wanted, turn);
        if (turn_count == 0)
            return arg;
        work(turn_count);
        atomic_store_explicit(&done, turn, memory_order_release);
    }
}

static uint64_t give_turn(uint64_t count) {
    turn_count = count;
    uint64_t turn = atomic_load_explicit(&wanted, memory_order_relaxed) + 1;
    atomic_store_explicit(&wanted, turn, memory_order_release);
    return turn;
}

void two_threads_begin(two_threads_work *wanted_work) {
    work = wanted_work;
    atomic_store(&wanted, 0);
    atomic_store(&done, 0);
    if (pthread_create(&second, NULL, second_thread, NULL) != 0)
        complain("no thread");
}

void two_threads_run(uint64_t count) {
    uint64_t turn = give_turn(count);
    work(count);
    await(&done, turn);
}

void two_threads_end(void) {
    (void)give_turn(0);
    pthread_join(second, NULL);
}
