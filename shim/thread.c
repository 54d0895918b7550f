/* Threads: see thread.h. */
#include "thread.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/slab.h"
#include "connection.h"
#include "coroutine.h"
#include "frame.h"
#include "interruption.h"
#include "openfile.h"
#include "rules.h"
#include "trace.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>

enum { MAIN_STACK_AT_LEAST = 8 << 20, MAIN_STACK_AT_MOST = 1 << 30 };

static struct slab threads = SLAB(sizeof(struct thread));

_Atomic(struct thread *) thread_records;

_Thread_local uintptr_t frame_limit = UINTPTR_MAX;

_Thread_local uintptr_t thread_handler;
static _Thread_local bool ended;

/* A record keeps its place in the list for ever; it is somebody's while it has a tid, which is written last
 * and taken away first. */
static void record_list(struct thread *record) {
    record->listed = true;
    record->next = atomic_load_explicit(&thread_records, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&thread_records, &record->next, record,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

static void thread_free(struct thread *thread) {
    atomic_store_explicit(&thread->tid, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    slab_give(&threads, thread);
}

/* A thread that makes others has some records in reserve: for each it would take the lock from the one that
 * has ended last, on another processor. They are few, for they are large. */
enum { RESERVE = 4 };
static _Thread_local struct slab_cache reserve;

/* Not in a handler: it may have interrupted this. Nor after the thread's end: nobody would give it back. */
struct thread *thread_prepare(void) {
    if (thread_handler != 0 || ended)
        return slab_take(&threads);
    if (reserve.free == NULL)
        reserve.free = slab_take_chain(&threads, RESERVE, &reserve.count);
    return reserve.free != NULL ? slab_cache_take(&reserve, &threads) : NULL;
}

void thread_unprepare(struct thread *record) {
    slab_give(&threads, record);
}

/* The record becomes this thread's. */
static void thread_take(struct thread *thread, int tid) {
    memset(&thread->flow, 0, /* its place in the list stays */
           offsetof(struct thread, frames) - offsetof(struct thread, flow));
    flow_begin(&thread->flow, NULL);
    if (!thread->listed)
        record_list(thread);
    atomic_store_explicit(&thread->tid, tid, memory_order_release);
    local.tid = tid;
    local.thread = thread;
    frame_limit = UINTPTR_MAX;
}

static struct thread *thread_new(void) {
    struct thread *thread = slab_take(&threads);
    if (thread == NULL)
        return NULL;
    thread->start_with = (struct start){0};
    thread_take(thread, kernel_tid());
    return thread;
}

/* Deeper addresses are lower on every machine we know. */
bool thread_on_own_stack(const struct thread *thread, uintptr_t address) {
    return address >= thread->stack_low && address < thread->stack_high;
}

static void end_of_helper(void *nothing) {
    (void)nothing;
    thread_end();
}

/* Is the guard held by something that is still on the stack? Only a signal handler comes in between, and a
 * signal's own frame, with the machine's registers in it, is larger than this. */
enum { SIGNAL_FRAME = 512 };
static bool guard_holds(uintptr_t here) {
    if (guard_is_free(local.guard) || local.guard == GUARD_HANDLER)
        return false;
    bool comparable = local.thread != NULL && thread_on_own_stack(local.thread, here) &&
                      thread_on_own_stack(local.thread, local.guard);
    return !comparable || here + SIGNAL_FRAME <= local.guard;
}

/* Threads that libc starts for itself (timers, asynchronous I/O) end unseen by our hooks: libc is asked to
 * tell, as it tells thread-local destructors of C++. */
static void manage_end(struct thread *thread) {
    extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
    extern void *__dso_handle;
    thread->managed = __cxa_thread_atexit_impl(end_of_helper, NULL, &__dso_handle) == 0;
}

struct thread *thread_enter_slow(uintptr_t here) {
    if (ended || (local.guard == GUARD_BORROWED && process_is_borrowed()) || guard_holds(here) ||
        !process_check())
        return NULL;
    bool in_handler = local.guard == GUARD_HANDLER;
    if (in_handler && local.thread == NULL) /* to be told of this thread's end takes memory from malloc */
        return NULL;
    if (!guard_is_free(local.guard) && !in_handler)
        lock_abandon_held(); /* whoever had it left by a jump */
    local.guard = here;
    atomic_signal_fence(memory_order_seq_cst);
    struct thread *thread = local.thread != NULL ? local.thread : thread_new();
    if (thread == NULL)
        thread_leave_slow();
    else if (!thread->managed)
        manage_end(thread);
    if (in_handler && thread != NULL && !interruption_open(thread, here)) {
        local.guard = GUARD_HANDLER;
        return NULL;
    }
    return thread;
}

void thread_leave_slow(void) {
    if (local.thread != NULL) {
        thread_leave();
        return;
    }
    atomic_signal_fence(memory_order_seq_cst);
    local.guard = GUARD_NO_RECORD;
}

int thread_pause(void) {
    int kept = errno;
    thread_leave_slow();
    return kept;
}

void thread_resume(int kept) {
    local.guard = (uintptr_t)__builtin_frame_address(0);
    atomic_signal_fence(memory_order_seq_cst);
    errno = kept;
}

void thread_bury_slow(void) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    interruption_settle(thread, (uintptr_t)__builtin_frame_address(0));
    if (thread_handler == 0)
        graveyard_bury();
    thread_leave();
}

bool thread_enter_ended(void) {
    if (!ended || !guard_is_free(local.guard))
        return false;
    local.guard = (uintptr_t)__builtin_frame_address(0);
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

void thread_leave_ended(void) {
    if (!graveyard_empty())
        graveyard_bury();
    local_end();
    slab_cache_end(&reserve, &threads);
    thread_leave_slow();
}

void thread_inherit(struct thread *thread, struct context *start) {
    thread->inherited = start != NULL;
    thread->start = start;
    thread->start_serial = start != NULL ? atomic_load_explicit(&start->serial, memory_order_relaxed) : 0;
    flow_become(&thread->flow, start, true);
    if (start != NULL)
        trace_adopt(thread, start, EVIDENCE_START);
}

/* The kernel's number of this thread, which pthread_create has just made: libc knows it, and tells it in the
 * number of the thread's clock, as the kernel makes those. To ask the kernel would be a tenth of what hooks
 * add to a thread. */
static int tid_of_new(void) {
    enum { CLOCK_BITS = 3 };
    clockid_t clock;
    int tid = pthread_getcpuclockid(pthread_self(), &clock) == 0 ? ~(clock >> CLOCK_BITS) : 0;
    return tid > 0 ? tid : kernel_tid();
}

void thread_begin(struct thread *record, uintptr_t top) {
    const struct start *start = &record->start_with;
    if (!process_check()) { /* it can't be: then this record is lost */
        context_release(start->context);
        return;
    }
    local.guard = (uintptr_t)__builtin_frame_address(0);
    int tid = tid_of_new();
    lock_own_name(tid);
    thread_take(record, tid);
    record->managed = true;
    record->own_high = record->stack_high = start->stack_size != 0 ? top + 1 : 0;
    record->own_low = record->stack_low = start->stack_size < top ? top - start->stack_size : 0;
    thread_inherit(record, start->context);
    thread_leave();
}

/* What is destroyed here may open scopes and drop values of its own: so it ends twice. */
void thread_end(void) {
    struct thread *thread = thread_enter();
    ended = thread == NULL;
    if (thread == NULL)
        return;
    rules_reservations_end(thread);
    rules_queue_thread_ends(thread);
    file_drop(thread->closing);
    thread->closing = NULL;
    interruption_end_all(thread);
    coroutine_thread_end(thread);
    frame_end_all(thread);
    flow_end(&thread->flow);
    if (!graveyard_empty())
        graveyard_bury();
    frame_end_all(thread);
    flow_end(&thread->flow);
    connection_thread_end(thread);
    trace_thread_end(thread);
    local.thread = NULL;
    frame_limit = UINTPTR_MAX;
    thread_free(thread);
    ended = true;
    thread_leave_ended();
}

/* The main thread's stack ends above the file name that the kernel put there, and may grow down as far
 * as its limit. */
void thread_begin_main(void) {
    struct thread *thread = thread_new();
    if (thread == NULL)
        return;
    struct rlimit limit = {0};
    uintptr_t top = getauxval(AT_EXECFN);
    size_t size = MAIN_STACK_AT_LEAST;
    if (kernel_call(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit, 0, 0) == 0 && limit.rlim_cur > size)
        size = limit.rlim_cur < MAIN_STACK_AT_MOST ? limit.rlim_cur : MAIN_STACK_AT_MOST;
    thread->managed = true;
    if (top > size) {
        thread->own_high = thread->stack_high = top;
        thread->own_low = thread->stack_low = top - size;
    }
}

/* The records of threads that fork did not copy are dropped as they are, without destroy (F13): what
 * they held is the parent's. */
bool thread_forked(void) {
    struct thread *record = atomic_load_explicit(&thread_records, memory_order_relaxed);
    bool alone = true;
    for (; record != NULL; record = record->next) {
        if (record == local.thread)
            continue;
        alone &= atomic_load_explicit(&record->tid, memory_order_relaxed) == 0;
        atomic_store_explicit(&record->tid, 0, memory_order_relaxed);
    }
    local.tid = kernel_tid();
    if (local.thread != NULL)
        atomic_store_explicit(&local.thread->tid, local.tid, memory_order_relaxed);
    graveyard_forget();
    return alone;
}
