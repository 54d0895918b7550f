/* The fork-proof lock: see lock.h for its states. */
#include "lock.h"

#include "kernel.h"

#include <linux/futex.h>
#include <time.h>

enum {
    FREE = 0,
    CONTENDED = 1,
    OWNER_SHIFT = 1,
    EPOCH_SHIFT = 24,
    EPOCH_MASK = 0xff,
    MADE_UP = 1 << 22,
    SPINS = 100
};

uint32_t lock_epoch = 2;

/* The locks that this thread holds or is about to, innermost last; they are few, and nest. Each is noted
 * before it is taken and forgotten after it is given: what a jump leaves behind is always among them. */
enum { HELD_AT_MOST = 4 };
static _Thread_local struct {
    struct lock *lock[HELD_AT_MOST];
    unsigned count;
    uint32_t word;  /* of a lock that this thread holds */
    uint32_t epoch; /* that this was so in; a fork child has another thread id */
} held;

static uint32_t word_of(uint32_t epoch, uint32_t owner) {
    return (epoch & EPOCH_MASK) << EPOCH_SHIFT | owner << OWNER_SHIFT;
}

/* The thread's id; where the kernel is not asked (H21), a number that is no thread's. */
__attribute__((noinline, cold)) static uint32_t own_name(void) {
    static _Atomic uint32_t made_up;
    int id = kernel_tid();
    return id > 0 ? (uint32_t)id
                  : MADE_UP | (atomic_fetch_add_explicit(&made_up, 1, memory_order_relaxed) & (MADE_UP - 1));
}

static void name_oneself(uint32_t name) {
    held.word = word_of(lock_epoch, name);
    held.epoch = lock_epoch;
}

static inline uint32_t own_word(void) {
    if (__builtin_expect(held.epoch != lock_epoch, 0))
        name_oneself(own_name());
    return held.word;
}

void lock_own_name(int tid) {
    if (tid > 0)
        name_oneself((uint32_t)tid);
}

/* One attempt. Sets `*clean` when it succeeds. */
static bool lock_try(struct lock *lock, uint32_t state, bool *clean, uint32_t *seen) {
    uint32_t own = own_word();
    *seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    bool stale = *seen != FREE && (*seen >> EPOCH_SHIFT != own >> EPOCH_SHIFT || (*seen & ~1U) == own);
    if (*seen != FREE && !stale)
        return false;
    *clean = !stale;
    return atomic_compare_exchange_strong_explicit(&lock->word, seen, own | state, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* A sleeper looks again after a while: whoever is to wake it may no longer ask the kernel to (H21). */
static const struct timespec sleep_at_most = {0, 10000000};

__attribute__((noinline)) static bool lock_wait(struct lock *lock) {
    bool clean = true;
    uint32_t seen = FREE;
    for (int spin = 0; spin < SPINS; spin++)
        if (lock_try(lock, 0, &clean, &seen))
            return clean;
    while (!lock_try(lock, CONTENDED, &clean, &seen)) {
        if (seen == FREE)
            continue;
        if ((seen & CONTENDED) == 0 &&
            !atomic_compare_exchange_strong_explicit(&lock->word, &seen, seen | CONTENDED,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAIT_PRIVATE, seen | CONTENDED, (long)&sleep_at_most,
                    0, 0);
    }
    return clean;
}

static void wake(struct lock *lock, int sleepers) {
    kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAKE_PRIVATE, sleepers, 0, 0, 0);
}

bool lock_take(struct lock *lock) {
    if (held.count < HELD_AT_MOST)
        held.lock[held.count] = lock;
    held.count++;
    atomic_signal_fence(memory_order_seq_cst);
    uint32_t seen = FREE; /* as it nearly always is */
    if (__builtin_expect(atomic_compare_exchange_strong_explicit(&lock->word, &seen, own_word(),
                                                                 memory_order_acquire, memory_order_relaxed),
                         1))
        return true;
    return lock_wait(lock);
}

static void lock_abandon(struct lock *lock) {
    uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed), own = own_word();
    while ((seen & ~1U) == own)
        if (atomic_compare_exchange_weak_explicit(&lock->word, &seen, word_of(lock_epoch - 1, 1),
                                                  memory_order_release, memory_order_relaxed)) {
            if ((seen & CONTENDED) != 0)
                wake(lock, INT32_MAX);
            return;
        }
}

void lock_abandon_held(void) {
    while (held.count > 0) {
        held.count--;
        if (held.count < HELD_AT_MOST)
            lock_abandon(held.lock[held.count]);
    }
}

void lock_give(struct lock *lock) {
    uint32_t was = atomic_exchange_explicit(&lock->word, FREE, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    if (held.count > 0)
        held.count--;
    if ((was & CONTENDED) != 0)
        wake(lock, 1);
}
