/* Where requests' bytes lie: see forward.h.
 *
 * The notes are in buckets, by the page where their bytes begin. A note guards at most a page, so those that
 * a read may overwrite are in the buckets of the pages it touches and of the one before. Each bucket has a
 * lock; a full one forgets its oldest note. How many of a bucket are used may be read without the lock: who
 * sees none has nothing to find there, and a note that is just being made by another thread is no earlier
 * than this. These numbers lie side by side, and so do the places of a bucket's notes, since most looks find
 * nothing. */
#include "forward.h"

#include "../ctxstore/kernel.h"

#include <string.h>

enum { PAGE_SHIFT = 12, PAGE = 1 << PAGE_SHIFT, BUCKETS = 256, NOTES = 4, SAMPLE = 64 };

/* How a range of bytes begins and ends. */
struct sample {
    uint32_t size; /* of the range, at most a page */
    unsigned char head[SAMPLE], tail[SAMPLE];
};

struct note {
    struct open_file *file;
    uint64_t serial; /* of the request's context */
    uint32_t generation;
    struct sample sample;
};

struct bucket {
    struct lock lock;
    uint32_t next;                    /* to be overwritten when it is full */
    _Atomic uintptr_t address[NOTES]; /* 0: free; changed with the lock */
    struct note note[NOTES];
};

struct table {
    _Atomic uint8_t used[BUCKETS]; /* changed with the bucket's lock */
    struct bucket bucket[BUCKETS];
};

_Atomic bool forward_on;
static _Atomic(struct table *) table; /* mapped once */

void forward_begin(void) {
    if (atomic_load_explicit(&forward_on, memory_order_relaxed))
        return;
    size_t size = (sizeof(struct table) + PAGE - 1) / PAGE * PAGE;
    struct table *none = NULL, *fresh = kernel_map(size);
    if (fresh != NULL && !atomic_compare_exchange_strong(&table, &none, fresh))
        kernel_unmap(fresh, size);
    if (fresh != NULL)
        atomic_store_explicit(&forward_on, true, memory_order_release);
}

static unsigned bucket_of(uintptr_t page) {
    return (unsigned)((page * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static struct table *table_now(void) {
    return atomic_load_explicit(&table, memory_order_acquire);
}

static unsigned used(const struct table *all, unsigned which) {
    return atomic_load_explicit(&all->used[which], memory_order_relaxed);
}

static void use(struct table *all, unsigned which, int more) {
    atomic_store_explicit(&all->used[which], (uint8_t)((int)used(all, which) + more), memory_order_relaxed);
}

static uintptr_t note_place(const struct bucket *bucket, unsigned i) {
    return atomic_load_explicit(&bucket->address[i], memory_order_relaxed);
}

static void note_place_set(struct bucket *bucket, unsigned i, uintptr_t address) {
    atomic_store_explicit(&bucket->address[i], address, memory_order_relaxed);
}

/* In a fork child, what another thread was changing is forgotten. */
static struct bucket *bucket_lock(struct table *all, unsigned which) {
    struct bucket *bucket = &all->bucket[which];
    if (!lock_take(&bucket->lock)) {
        for (unsigned i = 0; i < NOTES; i++)
            note_place_set(bucket, i, 0);
        atomic_store_explicit(&all->used[which], 0, memory_order_relaxed);
    }
    return bucket;
}

/* With the bytes readable. */
static void sample_take(struct sample *sample, const unsigned char *bytes, size_t size) {
    sample->size = (uint32_t)(size < PAGE ? size : PAGE);
    size_t length = size < SAMPLE ? size : SAMPLE;
    memcpy(sample->head, bytes, length);
    memcpy(sample->tail, bytes + sample->size - length, length);
}

static bool sample_same(const struct sample *a, const struct sample *b) {
    size_t length = a->size < SAMPLE ? a->size : SAMPLE;
    return a->size == b->size && memcmp(a->head, b->head, length) == 0 &&
           memcmp(a->tail, b->tail, length) == 0;
}

/* Without the lock: is there a note that may guard bytes in [first, end)? */
static bool may_guard(const struct table *all, unsigned which, uintptr_t first, uintptr_t end) {
    if (used(all, which) == 0)
        return false;
    for (unsigned i = 0; i < NOTES; i++) {
        uintptr_t address = note_place(&all->bucket[which], i);
        if (address != 0 && address < end && first < address + PAGE)
            return true;
    }
    return false;
}

/* Drops the notes of one bucket whose bytes lie in [first, end). */
static void bucket_clear(struct table *all, unsigned which, uintptr_t first, uintptr_t end) {
    if (!may_guard(all, which, first, end))
        return;
    struct bucket *bucket = bucket_lock(all, which);
    for (unsigned i = 0; i < NOTES; i++) {
        uintptr_t address = note_place(bucket, i);
        if (address == 0 || address >= end || first >= address + bucket->note[i].sample.size)
            continue;
        note_place_set(bucket, i, 0);
        use(all, which, -1);
    }
    lock_give(&bucket->lock);
}

void forward_overwritten(const void *bytes, size_t size) {
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || size == 0)
        return;
    uintptr_t first = (uintptr_t)bytes, end = first + size;
    uintptr_t pages = (end - 1) >> PAGE_SHIFT, page = first >> PAGE_SHIFT;
    if (pages - page >= BUCKETS) /* it touches them all */
        pages = page + BUCKETS;
    for (page = page > 0 ? page - 1 : 0; page <= pages; page++)
        bucket_clear(table_now(), bucket_of(page), first, end);
}

void forward_note(const void *bytes, size_t size, struct open_file *file, uint32_t generation,
                  const struct context *request) {
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || size == 0 || request == NULL)
        return;
    struct table *all = table_now();
    unsigned which = bucket_of((uintptr_t)bytes >> PAGE_SHIFT), free = 0;
    struct bucket *bucket = bucket_lock(all, which);
    while (free < NOTES && note_place(bucket, free) != 0)
        free++;
    if (free == NOTES)
        free = bucket->next++ % NOTES;
    else
        use(all, which, 1);
    struct note *note = &bucket->note[free];
    note_place_set(bucket, free, (uintptr_t)bytes);
    note->file = file;
    note->generation = generation;
    note->serial = atomic_load_explicit(&request->serial, memory_order_relaxed);
    sample_take(&note->sample, bytes, size);
    lock_give(&bucket->lock);
}

/* The note's request, while that is outstanding: a new reference, else NULL. */
static struct context *note_request(const struct note *note) {
    if (!file_has(note->file, FILE_OUTSTANDING))
        return NULL;
    struct context *request = cell_copy(&note->file->cell, note->generation);
    if (request == NULL || context_is(request, note->serial))
        return request;
    context_release(request);
    return NULL;
}

static bool note_at(uintptr_t address, struct note *copy) {
    struct table *all = table_now();
    unsigned which = bucket_of(address >> PAGE_SHIFT);
    bool found = false;
    if (used(all, which) == 0)
        return false;
    struct bucket *bucket = bucket_lock(all, which);
    for (unsigned i = 0; !found && i < NOTES; i++)
        if (note_place(bucket, i) == address) {
            *copy = bucket->note[i];
            found = true;
        }
    lock_give(&bucket->lock);
    return found;
}

/* Copies the notes of one bucket, and returns how many there are. */
static unsigned notes_of(struct table *all, unsigned which, struct note copies[NOTES]) {
    unsigned count = 0;
    if (used(all, which) == 0)
        return 0;
    struct bucket *bucket = bucket_lock(all, which);
    for (unsigned i = 0; i < NOTES; i++)
        if (note_place(bucket, i) != 0)
            copies[count++] = bucket->note[i];
    lock_give(&bucket->lock);
    return count;
}

/* Has another outstanding request the same bytes, wherever they lie? */
static bool another_has(const struct note *mine) {
    struct note others[NOTES];
    for (unsigned which = 0; which < BUCKETS; which++) {
        unsigned count = notes_of(table_now(), which, others);
        for (const struct note *other = others; other < others + count; other++) {
            if (other->serial == mine->serial || !sample_same(&other->sample, &mine->sample))
                continue;
            struct context *request = note_request(other);
            context_release(request);
            if (request != NULL)
                return true;
        }
    }
    return false;
}

/* What lies in the thread's own frames above ours can be read; anything else the kernel is asked about. */
static bool peek_near(const struct thread *thread, void *to, const void *from, size_t size) {
    uintptr_t address = (uintptr_t)from, here = (uintptr_t)__builtin_frame_address(0);
    if (address <= here || !thread_on_own_stack(thread, here) || address + size > thread->stack_high)
        return kernel_peek(to, from, size);
    memcpy(to, from, size);
    return true;
}

/* Where the bytes that go out first lie; false: not known. */
static bool first_buffer(const struct thread *thread, const struct outgoing *outgoing, struct iovec *first) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)outgoing->vector, .msg_iovlen = 1};
    *first = (struct iovec){(void *)(uintptr_t)outgoing->buffer, outgoing->size};
    if (outgoing->buffer != NULL)
        return true;
    if (outgoing->message != NULL && !peek_near(thread, &message, outgoing->message, sizeof message))
        return false;
    return message.msg_iovlen > 0 && message.msg_iov != NULL &&
           peek_near(thread, first, message.msg_iov, sizeof *first);
}

/* Do these bytes begin as those that were read, and end so, if that many go out? Fewer than that say nothing.
 */
static bool bytes_are(const struct note *note, const struct iovec *first) {
    unsigned char head[SAMPLE], tail[SAMPLE];
    const struct sample *sample = &note->sample;
    size_t length = sample->size < SAMPLE ? sample->size : SAMPLE;
    const unsigned char *bytes = first->iov_base;
    if (length > first->iov_len || !kernel_peek(head, bytes, length) ||
        memcmp(head, sample->head, length) != 0)
        return false;
    if (first->iov_len < sample->size)
        return true;
    return kernel_peek(tail, bytes + sample->size - length, length) &&
           memcmp(tail, sample->tail, length) == 0;
}

struct context *forward_find(const struct thread *thread, const struct outgoing *outgoing, bool *doubtful) {
    struct iovec first;
    struct note note;
    *doubtful = false;
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || !first_buffer(thread, outgoing, &first) ||
        first.iov_len == 0 || !note_at((uintptr_t)first.iov_base, &note))
        return NULL;
    struct context *request = note_request(&note);
    if (request == NULL)
        return NULL;
    if (context_descends_surely(thread->flow.current, request) || !bytes_are(&note, &first)) {
        context_release(request);
        return NULL;
    }
    *doubtful = another_has(&note);
    return request;
}
