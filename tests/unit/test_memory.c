/* The lock that survives fork, and type-stable memory. */
#include "../../ctxstore/kernel.h"
#include "../../ctxstore/slab.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(memory, .timeout = 60);

Test(memory, a_lock_is_clean_when_it_was_given) {
    struct lock lock = {0};
    for (int i = 0; i < 3; i++) {
        cr_expect(lock_take(&lock));
        lock_give(&lock);
    }
    cr_expect_eq(atomic_load(&lock.word), 0);
}

Test(memory, a_lock_of_an_older_epoch_is_stale) {
    struct lock lock = {0};
    cr_expect(lock_take(&lock));
    lock_epoch++;
    cr_expect_not(lock_take(&lock), "its holder is not in this process");
    lock_give(&lock);
    cr_expect(lock_take(&lock));
    lock_give(&lock);
}

Test(memory, a_fork_child_takes_what_another_thread_held) {
    static struct lock lock;
    lock_take(&lock);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        lock_epoch++;
        bool clean = lock_take(&lock);
        lock_give(&lock);
        _exit(clean ? 1 : lock_take(&lock) ? 0 : 2);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    lock_give(&lock);
}

/* A handler leaves by siglongjmp: whatever it interrupted, nobody waits for this thread for ever. */
static struct lock left;

static void *take_left(void *clean) {
    *(bool *)clean = lock_take(&left);
    lock_give(&left);
    return NULL;
}

Test(memory, a_lock_left_by_a_jump_is_taken_again, .timeout = 20) {
    bool clean = true;
    pthread_t thread;
    lock_take(&left);
    cr_expect_not(lock_take(&left), "it is this thread's, which is not inside");
    lock_give(&left);
    lock_take(&left);
    pthread_create(&thread, NULL, take_left, &clean);
    usleep(20000); /* until it sleeps */
    lock_abandon_held();
    pthread_join(thread, NULL);
    cr_expect_not(clean);
    cr_expect(lock_take(&left));
    lock_give(&left);
}

static struct lock counter_lock;
static long counter;

static void *count(void *unused) {
    (void)unused;
    for (int i = 0; i < 50000; i++) {
        lock_take(&counter_lock);
        counter++;
        lock_give(&counter_lock);
    }
    return NULL;
}

Test(memory, a_lock_lets_one_in_at_a_time) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(counter, 400000);
    cr_expect_eq(atomic_load(&counter_lock.word), 0);
}

static struct slab things = SLAB(72);

Test(memory, slab_objects_do_not_overlap) {
    enum { OBJECTS = 5000 };
    static char *objects[OBJECTS];
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = slab_take(&things);
        cr_assert_neq(objects[i], NULL);
        for (int at = 0; at < 72; at++)
            cr_assert_eq(objects[i][at], 0, "a fresh object is zero");
        memset(objects[i], i % 251 + 1, 72);
    }
    cr_expect_eq(things.out, OBJECTS);
    for (int i = 0; i < OBJECTS; i++)
        for (int at = 0; at < 72; at++)
            cr_assert_eq((unsigned char)objects[i][at], i % 251 + 1);
    for (int i = 0; i < OBJECTS; i++)
        slab_give(&things, objects[i]);
    cr_expect_eq(things.out, 0);
    char *again = slab_take(&things);
    cr_expect_eq(again, objects[OBJECTS - 1]);
    for (int at = 8; at < 72; at++)
        cr_assert_eq((unsigned char)again[at], (OBJECTS - 1) % 251 + 1, "a used one is as it was left");
}

Test(memory, slab_chains) {
    unsigned count_taken = 0;
    void *chain = slab_take_chain(&things, 100, &count_taken);
    cr_assert_eq(count_taken, 100);
    unsigned length = 0;
    void *last = NULL;
    for (void *at = chain; at != NULL; at = *(void **)at, length++)
        last = at;
    cr_expect_eq(length, 100);
    cr_expect_eq(things.out, 100);
    slab_give_chain(&things, chain, last, 100);
    cr_expect_eq(things.out, 0);
}

Test(memory, a_slab_left_behind_by_fork_starts_anew) {
    static struct slab slab = SLAB(64);
    char *before = slab_take(&slab);
    slab_give(&slab, slab_take(&slab));
    lock_take(&slab.lock);
    lock_epoch++;
    char *after = slab_take(&slab);
    cr_assert(after != NULL && after != before);
    memset(after, 1, 64);
}

static void *churn(void *unused) {
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        char *first = slab_take(&things), *second = slab_take(&things);
        if (first == NULL || second == NULL || first == second)
            return &things;
        memset(first + 8, 1, 64);
        memset(second + 8, 2, 64);
        if (first[8] != 1 || first[71] != 1)
            return &things;
        slab_give(&things, first);
        slab_give(&things, second);
    }
    return NULL;
}

Test(memory, many_threads_share_a_slab) {
    pthread_t threads[8];
    void *wrong;
    for (int i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &wrong);
        cr_expect_eq(wrong, NULL, "an object was with two threads at once");
    }
    cr_expect_eq(things.out, 0);
}

Test(memory, blocks_of_every_size) {
    for (size_t size = 1; size <= 20000; size += size < 64 ? 1 : 61) {
        char *one = block_take(size), *two = block_take(size);
        cr_assert(one != NULL && two != NULL && one != two);
        memset(one, 1, size);
        memset(two, 2, size);
        cr_assert(one[0] == 1 && one[size - 1] == 1, "blocks of %zu bytes overlap", size);
        block_give(one, size);
        block_give(two, size);
    }
}

Test(memory, a_bad_address_is_only_refused) {
    char *page = kernel_map(4096), bytes[16] = "0123456789abcde", copy[16] = "";
    errno = 12345;
    cr_expect(kernel_peek(copy, bytes, sizeof copy));
    cr_expect_str_eq(copy, bytes);
    cr_expect_not(kernel_peek(copy, (void *)8, 1));
    cr_expect_not(kernel_peek(copy, NULL, 1));
    cr_expect_not(kernel_peek(copy, (void *)(UINTPTR_MAX - 3), 8), "it ends behind the last address");
    cr_assert_neq(page, NULL);
    cr_expect(kernel_peek(copy, page + 4090, 6));
    kernel_unmap(page, 4096);
    cr_expect_not(kernel_peek(copy, page + 4090, 6));
    cr_expect_eq(errno, 12345);
}

Test(memory, a_range_that_begins_well_and_ends_badly_is_refused) {
    char *pages = kernel_map(8192), copy[16];
    cr_assert_neq(pages, NULL);
    kernel_unmap(pages + 4096, 4096);
    cr_expect(kernel_peek(copy, pages + 4080, 16));
    cr_expect_not(kernel_peek(copy, pages + 4088, 16));
    kernel_unmap(pages, 4096);
}
