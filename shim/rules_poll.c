/* poll and select: loops whose batches stay whole, known by the place of the call.
 *
 * What they report is looked at when the real call has succeeded, and only as far as it has reported: an
 * array or a set may be shorter than the program says. A descriptor has no registration here (F2), so one
 * that carries nothing of its own says nothing.
 *
 * With zero timeout, inside other work, they are no wait: a look at whether a pooled connection is still
 * alive, say. And a wait for one descriptor with its read in a function of their own is a read with a time
 * limit: what was read goes on in their caller (frame.c). */
#include "../ctxstore/kernel.h"
#include "wait.h"

/* The guard may not be taken yet, or be another's: a handler that comes in between finds the bounds of the
 * stack half changed. */
static bool peek(void *to, const void *from, size_t size) {
    return guard_is_free(local.guard) ? thread_peek(to, from, size) : kernel_peek(to, from, size);
}

/* Less than nothing is an error, and the kernel's to tell: it is no poll. */
static long milliseconds_of(const void *time, long parts_in_one) {
    long parts[2]; /* seconds, and parts of one */
    if (time == NULL || !peek(parts, time, sizeof parts) || parts[0] < 0 || parts[1] < 0)
        return -1;
    return parts[0] * 1000 + (parts[1] + parts_in_one - 1) / parts_in_one;
}

long rules_milliseconds(const struct timespec *time) {
    return milliseconds_of(time, 1000000);
}

long rules_milliseconds_of(const struct timeval *time) {
    return milliseconds_of(time, 1000);
}

struct wait rules_poll_begin(long milliseconds, struct here here) {
    struct wait wait = {0};
    frame_settle(here);
    if (milliseconds != 0)
        thread_bury();
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return wait;
    wait = (struct wait){.thread = thread, .here = here, .loop = loop_of(thread, NULL, here)};
    wait_begins(thread, &wait, milliseconds);
    const struct frame *top = frame_top(thread);
    if (wait.poll && top != NULL &&
        (top->wait.address == FRAME_OPEN_ENDED || !frame_same_wait(thread, top, here)))
        wait.thread = NULL;
    thread_leave();
    return wait;
}

/* A descriptor may be listed several times, for one thing each. */
static void poll_see(struct thread *thread, struct batch *batch, int fd, uint32_t events) {
    struct open_file *file = file_at(fd);
    struct sighting sighting = {.file = file};
    if (file != NULL) {
        sighting.generation = cell_generation(&file->cell);
        if (atomic_load_explicit(&file->waited, memory_order_relaxed) == thread->waits)
            return;
        if (file_kind(file) == FILE_EPOLL)
            file_mark(file, FILE_NESTED, true);
    }
    batch_see(thread, batch, &sighting, events);
}

/* After the real call. NULL: there is nothing to look at, or to do. */
static inline struct thread *poll_over(const struct wait *wait, int result, struct rest *rest) {
    struct thread *thread = wait->thread != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return NULL;
    *rest = wait_continues(thread, wait, result);
    if (result > 0) {
        wait_reports(thread);
        return thread;
    }
    thread_leave();
    return NULL;
}

/* A thread that has nothing to do with contexts gets no frame. */
static void poll_dispatch(struct thread *thread, const struct wait *wait, struct batch *batch,
                          struct rest rest) {
    if (batch->tracked > 0 || thread->depth > 0 || rest.any)
        wait_dispatch(thread, wait, batch, rest);
    thread_leave();
}

void rules_poll_end(const struct wait *wait, const struct pollfd *fds, unsigned long count, int result) {
    struct rest rest;
    struct thread *thread = poll_over(wait, result, &rest);
    if (thread == NULL)
        return;
    struct batch batch = {0};
    for (unsigned long i = 0; result > 0 && i < count; i++)
        if (fds[i].revents != 0) {
            result--;
            poll_see(thread, &batch, fds[i].fd, (uint32_t)fds[i].revents);
        }
    poll_dispatch(thread, wait, &batch, rest);
}

/* What select said of the descriptors of one word of its sets. */
struct word {
    unsigned long reads, writes, errors;
};
enum { WORD_BITS = 8 * sizeof(unsigned long) };

static unsigned long word_at(const fd_set *set, int index) {
    return set != NULL ? ((const unsigned long *)(const void *)set)[index] : 0;
}

/* Returns how many of the call's results these are. */
static int word_see(struct thread *thread, struct batch *batch, int index, struct word word) {
    int found = 0;
    for (unsigned long any = word.reads | word.writes | word.errors; any != 0; any &= any - 1) {
        unsigned long bit = any & -any;
        uint32_t events = ((word.reads & bit) ? EPOLLIN : 0U) | ((word.writes & bit) ? EPOLLOUT : 0U) |
                          ((word.errors & bit) ? EPOLLPRI : 0U);
        found += __builtin_popcount(events);
        poll_see(thread, batch, index * WORD_BITS + __builtin_ctzl(any), events);
    }
    return found;
}

void rules_select_end(const struct wait *wait, const struct selection *selection, int result) {
    struct rest rest;
    struct thread *thread = poll_over(wait, result, &rest);
    if (thread == NULL)
        return;
    struct batch batch = {0};
    for (int i = 0; result > 0 && i <= (selection->count - 1) / WORD_BITS; i++) {
        struct word word = {word_at(selection->reads, i), word_at(selection->writes, i),
                            word_at(selection->errors, i)};
        result -= word_see(thread, &batch, i, word);
    }
    poll_dispatch(thread, wait, &batch, rest);
}

void rules_futex_waits(struct here here) {
    frame_settle(here);
    struct thread *thread = local.thread != NULL && local.thread->inherited ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    rules_thread_waits(thread, here);
    thread_leave();
}
