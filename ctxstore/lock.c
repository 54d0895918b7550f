/* The fork-proof lock: see lock.h for its states. */
#include "lock.h"

#include "kernel.h"

#include <linux/futex.h>

enum { FREE = 0, HELD = 1, CONTENDED = 2, STATE = 3, EPOCH_SHIFT = 2, SPINS = 100 };

uint32_t lock_epoch = 2;

static uint32_t lock_word(uint32_t state) {
    return lock_epoch << EPOCH_SHIFT | state;
}

static void lock_sleep(struct lock *lock, uint32_t seen) {
    kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}

/* One attempt. Sets `*clean` when it succeeds. */
static bool lock_try(struct lock *lock, uint32_t state, bool *clean, uint32_t *seen) {
    *seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    bool stale = *seen != FREE && *seen >> EPOCH_SHIFT != (lock_epoch & UINT32_MAX >> EPOCH_SHIFT);
    if (*seen != FREE && !stale)
        return false;
    *clean = !stale;
    return atomic_compare_exchange_strong_explicit(&lock->word, seen, lock_word(state), memory_order_acquire,
                                                   memory_order_relaxed);
}

static bool lock_wait(struct lock *lock) {
    bool clean = true;
    uint32_t seen = FREE;
    for (int spin = 0; spin < SPINS; spin++)
        if (lock_try(lock, HELD, &clean, &seen))
            return clean;
    while (!lock_try(lock, CONTENDED, &clean, &seen)) {
        if (seen == lock_word(HELD) &&
            !atomic_compare_exchange_strong_explicit(&lock->word, &seen, lock_word(CONTENDED),
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        if (seen != FREE)
            lock_sleep(lock, lock_word(CONTENDED));
    }
    return clean;
}

/* The locks that this thread holds, innermost last; they are few, and nest. */
enum { HELD_AT_MOST = 4 };
static _Thread_local struct {
    struct lock *lock[HELD_AT_MOST];
    unsigned count;
} held;

bool lock_take(struct lock *lock) {
    bool clean = lock_wait(lock);
    if (held.count < HELD_AT_MOST)
        held.lock[held.count] = lock;
    held.count++;
    return clean;
}

void lock_abandon_held(void) {
    uint32_t left = (lock_epoch - 1) << EPOCH_SHIFT | HELD;
    while (held.count > 0) {
        held.count--;
        if (held.count >= HELD_AT_MOST)
            continue;
        struct lock *lock = held.lock[held.count];
        uint32_t was = atomic_exchange_explicit(&lock->word, left, memory_order_release);
        if ((was & STATE) == CONTENDED)
            kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
    }
}

void lock_give(struct lock *lock) {
    if (held.count > 0)
        held.count--;
    atomic_signal_fence(memory_order_seq_cst);
    uint32_t was = atomic_exchange_explicit(&lock->word, FREE, memory_order_release);
    if ((was & STATE) == CONTENDED)
        kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
