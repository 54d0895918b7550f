/* Where requests' bytes lie: see forward.h.
 *
 * The notes are in buckets, by the page where their bytes begin. A note guards at most a page, so those that
 * a read may overwrite are in the buckets of the pages it touches and of the one before. Each bucket has a
 * lock; a full one forgets its oldest note. `used` may be read without the lock: who sees none used has
 * nothing to find there, and a note that is just being made by another thread is no earlier than this. */
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
    uintptr_t address; /* 0: free */
    struct open_file *file;
    uint64_t serial; /* of the request's context */
    uint32_t generation;
    struct sample sample;
};

struct bucket {
    struct lock lock;
    _Atomic uint32_t used;
    uint32_t next; /* to be overwritten when it is full */
    struct note note[NOTES];
};

_Atomic bool forward_on;
static _Atomic(struct bucket *) buckets; /* BUCKETS of them, mapped once */

void forward_begin(void) {
    if (atomic_load_explicit(&forward_on, memory_order_relaxed))
        return;
    size_t size = (BUCKETS * sizeof(struct bucket) + PAGE - 1) / PAGE * PAGE;
    struct bucket *none = NULL, *fresh = kernel_map(size);
    if (fresh != NULL && !atomic_compare_exchange_strong(&buckets, &none, fresh))
        kernel_unmap(fresh, size);
    if (fresh != NULL)
        atomic_store_explicit(&forward_on, true, memory_order_release);
}

static struct bucket *bucket_of(uintptr_t page) {
    struct bucket *all = atomic_load_explicit(&buckets, memory_order_acquire);
    return &all[(page * UINT64_C(0x9E3779B97F4A7C15)) >> 56];
}

/* In a fork child, what another thread was changing is forgotten. */
static void bucket_lock(struct bucket *bucket) {
    if (lock_take(&bucket->lock))
        return;
    memset(bucket->note, 0, sizeof bucket->note);
    atomic_store_explicit(&bucket->used, 0, memory_order_relaxed);
}

static void note_drop(struct bucket *bucket, struct note *note) {
    note->address = 0;
    atomic_fetch_sub_explicit(&bucket->used, 1, memory_order_relaxed);
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

/* Drops the notes of one bucket whose bytes lie in [first, end). */
static void bucket_clear(struct bucket *bucket, uintptr_t first, uintptr_t end) {
    if (atomic_load_explicit(&bucket->used, memory_order_relaxed) == 0)
        return;
    bucket_lock(bucket);
    for (struct note *note = bucket->note; note < bucket->note + NOTES; note++)
        if (note->address != 0 && note->address < end && first < note->address + note->sample.size)
            note_drop(bucket, note);
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
        bucket_clear(bucket_of(page), first, end);
}

void forward_note(const void *bytes, size_t size, struct open_file *file, uint32_t generation,
                  const struct context *request) {
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || size == 0 || request == NULL)
        return;
    struct bucket *bucket = bucket_of((uintptr_t)bytes >> PAGE_SHIFT);
    bucket_lock(bucket);
    struct note *note = bucket->note;
    while (note < bucket->note + NOTES && note->address != 0)
        note++;
    if (note == bucket->note + NOTES)
        note = &bucket->note[bucket->next++ % NOTES];
    else
        atomic_fetch_add_explicit(&bucket->used, 1, memory_order_relaxed);
    note->address = (uintptr_t)bytes;
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
    struct bucket *bucket = bucket_of(address >> PAGE_SHIFT);
    bool found = false;
    if (atomic_load_explicit(&bucket->used, memory_order_relaxed) == 0)
        return false;
    bucket_lock(bucket);
    for (const struct note *note = bucket->note; !found && note < bucket->note + NOTES; note++)
        if (note->address == address) {
            *copy = *note;
            found = true;
        }
    lock_give(&bucket->lock);
    return found;
}

/* Has another outstanding request the same bytes, wherever they lie? */
static bool another_has(const struct note *mine) {
    struct bucket *all = atomic_load_explicit(&buckets, memory_order_acquire);
    struct note others[NOTES];
    for (struct bucket *bucket = all; bucket < all + BUCKETS; bucket++) {
        if (atomic_load_explicit(&bucket->used, memory_order_relaxed) == 0)
            continue;
        bucket_lock(bucket);
        memcpy(others, bucket->note, sizeof others);
        lock_give(&bucket->lock);
        for (const struct note *other = others; other < others + NOTES; other++) {
            if (other->address == 0 || other->serial == mine->serial ||
                !sample_same(&other->sample, &mine->sample))
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
