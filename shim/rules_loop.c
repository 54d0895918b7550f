/* Event loops, and what is learnt of each: E0.
 *
 * E0  A loop is changed only on proof that it mixes: after CONTRADICTIONS frames of it were contradicted by
 *     stronger evidence it turns exact; never if its epoll is itself waited for or shared by fork. A loop
 *     around poll or select, which is known by the place of the call, is never changed at all.
 * E3  What a loop waits for at most tells when its timers are due. */
#include "options.h"
#include "wait.h"

enum { CONTRADICTIONS = 8 };

static bool is_alive(const struct loop *loop) {
    return loop->epoll != NULL && cell_generation(&loop->epoll->cell) == loop->generation;
}

/* Which of them makes place for another: one that is not there any more, or has nothing to lose. */
static struct loop *loop_to_forget(struct thread *thread) {
    for (struct loop *loop = thread->loops; loop < thread->loops + thread->known_loops; loop++)
        if (!is_alive(loop) && (loop->epoll != NULL || loop->site == NULL))
            return loop;
    if (thread->known_loops < LOOPS)
        return &thread->loops[thread->known_loops++];
    for (struct loop *loop = thread->loops; loop < thread->loops + LOOPS; loop++)
        if (loop->epoll == NULL && !loop->many)
            return loop;
    return &thread->loops[thread->next_loop++ % LOOPS];
}

static bool is_loop(const struct loop *loop, const struct open_file *epoll, uint32_t generation,
                    const void *site) {
    return loop->site == site && loop->epoll == epoll && loop->generation == generation;
}

struct loop *loop_of(struct thread *thread, const struct open_file *epoll, struct here here) {
    uint32_t generation = epoll != NULL ? cell_generation(&epoll->cell) : 0;
    if (thread->last_loop < thread->known_loops &&
        is_loop(&thread->loops[thread->last_loop], epoll, generation, here.site))
        return &thread->loops[thread->last_loop];
    for (unsigned i = 0; i < thread->known_loops; i++)
        if (is_loop(&thread->loops[i], epoll, generation, here.site)) {
            thread->last_loop = i;
            return &thread->loops[i];
        }
    struct loop *loop = loop_to_forget(thread);
    *loop = (struct loop){.epoll = epoll,
                          .generation = generation,
                          .site = here.site,
                          .exact = options.dispatch == DISPATCH_EXACT};
    return loop;
}

uint64_t loop_clock(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A loop waits until its earliest timer at most. What is armed later belongs to who arms it. As long as that
 * matters little, a cheap clock will do: it may be some milliseconds late, and errs on the side of doubt. */
void loop_waits(struct loop *loop, long milliseconds) {
    if (milliseconds == 0)
        return;
    uint64_t now = milliseconds < 0 ? 0 : loop->timed ? loop_clock() : provenance_clock() / 1000000;
    loop->deadline = milliseconds < 0 ? 0 : now + (uint64_t)milliseconds;
}

/* Its clock may be a millisecond ahead of ours. */
static bool timers_due(const struct loop *loop) {
    return loop->deadline != 0 && loop_clock() + 1 >= loop->deadline;
}

bool loop_timers_due(const struct loop *loop) {
    return loop->timed && timers_due(loop);
}

/* An epoll that another one or another process waits for must answer as the kernel does: a reader that
 * drains it until it gets fewer events than it asked for would stop too early. */
bool loop_is_exact(const struct loop *loop) {
    return loop->exact && loop->epoll != NULL && !file_has(loop->epoll, FILE_NESTED) &&
           !file_is_shared(loop->epoll);
}

static void loop_contradicted(struct loop *loop) {
    if (options.dispatch == DISPATCH_AUTO && ++loop->contradictions >= CONTRADICTIONS)
        loop->exact = true;
}

void rules_contradicted(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->loop == NULL)
        return;
    frame->loop->timed |= timers_due(frame->loop);
    loop_contradicted(frame->loop);
}

bool rules_runs_loop(const struct thread *thread) {
    for (const struct loop *loop = thread->loops; loop < thread->loops + thread->known_loops; loop++)
        if (is_alive(loop) || loop->many)
            return true;
    return false;
}

/* A loop that does its work outside the frames of its wait (at a shallower depth, in a later phase) shows
 * that when it answers there. */
bool rules_answered_outside(struct thread *thread, struct open_file *file) {
    if (thread->ran_out != NULL)
        thread->ran_out->timed = true;
    for (struct loop *loop = thread->loops; thread->left_frame && loop < thread->loops + thread->known_loops;
         loop++) {
        if (!is_alive(loop) || loop->epoll->set == NULL || !interest_watches(loop->epoll->set, file))
            continue;
        bool exact = loop_is_exact(loop);
        loop_contradicted(loop);
        return !exact;
    }
    return false;
}
