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

/* How a range of bytes begins and ends. One that is no longer than its head has no tail. */
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

static void use(struct table *all, unsigned which, unsigned notes) {
    atomic_store_explicit(&all->used[which], (uint8_t)notes, memory_order_relaxed);
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
    if (size <= SAMPLE) {
        memcpy(sample->head, bytes, size);
        return;
    }
    memcpy(sample->head, bytes, SAMPLE);
    memcpy(sample->tail, bytes + sample->size - SAMPLE, SAMPLE);
}

static bool sample_same(const struct sample *a, const struct sample *b) {
    size_t length = a->size < SAMPLE ? a->size : SAMPLE;
    return a->size == b->size && memcmp(a->head, b->head, length) == 0 &&
           (a->size <= SAMPLE || memcmp(a->tail, b->tail, SAMPLE) == 0);
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

/* Drops the notes of a locked bucket whose bytes lie in [first, end). Returns how many stay; `*free`: a place
 * where there is none. */
static unsigned notes_drop(struct bucket *bucket, uintptr_t first, uintptr_t end, unsigned *free) {
    unsigned kept = 0;
    for (unsigned i = 0; i < NOTES; i++) {
        uintptr_t address = note_place(bucket, i);
        if (address != 0 && (address >= end || first >= address + bucket->note[i].sample.size)) {
            kept++;
            continue;
        }
        if (address != 0)
            note_place_set(bucket, i, 0);
        *free = i;
    }
    return kept;
}

static void bucket_clear(struct table *all, unsigned which, uintptr_t first, uintptr_t end) {
    unsigned free;
    if (!may_guard(all, which, first, end))
        return;
    struct bucket *bucket = bucket_lock(all, which);
    use(all, which, notes_drop(bucket, first, end, &free));
    lock_give(&bucket->lock);
}

/* In all buckets where there may be any, but for that of the page where the bytes begin. */
static void clear_around(struct table *all, uintptr_t first, uintptr_t end) {
    uintptr_t own = first >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
    if (own > 0)
        bucket_clear(all, bucket_of(own - 1), first, end);
    if (last - own >= BUCKETS) /* it touches them all */
        last = own + BUCKETS;
    for (uintptr_t page = own + 1; page <= last; page++)
        bucket_clear(all, bucket_of(page), first, end);
}

void forward_overwritten(const void *bytes, size_t size) {
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || size == 0)
        return;
    uintptr_t first = (uintptr_t)bytes, end = first + size;
    clear_around(table_now(), first, end);
    bucket_clear(table_now(), bucket_of(first >> PAGE_SHIFT), first, end);
}

void forward_note(const void *bytes, size_t size, struct open_file *file, uint32_t generation,
                  const struct context *request) {
    if (request == NULL)
        forward_overwritten(bytes, size);
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || size == 0 || request == NULL)
        return;
    struct table *all = table_now();
    uintptr_t first = (uintptr_t)bytes, end = first + size;
    unsigned which = bucket_of(first >> PAGE_SHIFT), free;
    clear_around(all, first, end);
    struct bucket *bucket = bucket_lock(all, which);
    unsigned kept = notes_drop(bucket, first, end, &free);
    if (kept == NOTES)
        free = bucket->next++ % NOTES;
    else
        use(all, which, kept + 1);
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

/* Is it, surely, what is current here, or above that? */
static bool is_current(const struct context *current, uint64_t serial) {
    while (current != NULL && !context_is(current, serial) && current->kind != CONTEXT_AMBIGUOUS)
        current = current->parent;
    return current != NULL && context_is(current, serial);
}

/* Copies the note of what lies there, unless that is current anyway. */
static bool note_at(uintptr_t address, const struct context *current, struct note *copy) {
    struct table *all = table_now();
    unsigned which = bucket_of(address >> PAGE_SHIFT);
    bool found = false;
    if (used(all, which) == 0)
        return false;
    struct bucket *bucket = bucket_lock(all, which);
    for (unsigned i = 0; i < NOTES; i++) {
        if (note_place(bucket, i) != address)
            continue;
        found = !is_current(current, bucket->note[i].serial);
        if (found)
            *copy = bucket->note[i];
        break;
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

static bool has_another(struct table *all, unsigned which, const struct note *mine) {
    struct note others[NOTES];
    unsigned count = notes_of(all, which, others);
    for (const struct note *other = others; other < others + count; other++) {
        if (other->serial == mine->serial || !sample_same(&other->sample, &mine->sample))
            continue;
        struct context *request = note_request(other);
        context_release(request);
        if (request != NULL)
            return true;
    }
    return false;
}

/* Has another outstanding request the same bytes, wherever they lie? Most buckets have no note: eight of
 * these numbers are looked at at once, each as atomic as by itself. */
static bool another_has(const struct note *mine) {
    typedef uint64_t __attribute__((may_alias)) eight;
    struct table *all = table_now();
    for (unsigned which = 0; which < BUCKETS; which++) {
        if (which % sizeof(eight) == 0 &&
            __atomic_load_n((const eight *)(const void *)&all->used[which], __ATOMIC_RELAXED) == 0)
            which += sizeof(eight) - 1;
        else if (has_another(all, which, mine))
            return true;
    }
    return false;
}

/* Where the bytes that go out first lie; false: not known. */
static bool first_buffer(const struct outgoing *outgoing, struct iovec *first) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)outgoing->vector, .msg_iovlen = 1};
    *first = (struct iovec){(void *)(uintptr_t)outgoing->buffer, outgoing->size};
    if (outgoing->buffer != NULL)
        return true;
    if (outgoing->message != NULL && !thread_peek(&message, outgoing->message, sizeof message))
        return false;
    return message.msg_iovlen > 0 && message.msg_iov != NULL &&
           thread_peek(first, message.msg_iov, sizeof *first);
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
    if (sample->size <= SAMPLE || first->iov_len < sample->size)
        return true;
    return kernel_peek(tail, bytes + sample->size - SAMPLE, SAMPLE) &&
           memcmp(tail, sample->tail, SAMPLE) == 0;
}

struct context *forward_find(const struct thread *thread, const struct outgoing *outgoing, bool *doubtful) {
    struct iovec first;
    struct note note;
    *doubtful = false;
    if (!atomic_load_explicit(&forward_on, memory_order_acquire) || !first_buffer(outgoing, &first) ||
        first.iov_len == 0 || !note_at((uintptr_t)first.iov_base, thread->flow.current, &note))
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
