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
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>

enum { MAIN_STACK_AT_LEAST = 8 << 20, MAIN_STACK_AT_MOST = 1 << 30 };

static struct slab threads = SLAB(sizeof(struct thread));

_Atomic(struct thread *) thread_records;

_Thread_local struct thread *thread_self;
_Thread_local uintptr_t frame_limit = UINTPTR_MAX;

/* A handler that leaves by siglongjmp never gives the guard back; a later entry from a shallower address
 * shows that. */
_Thread_local uintptr_t thread_guard;
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

static struct thread *thread_new(void) {
    struct thread *thread = slab_take(&threads);
    if (thread == NULL)
        return NULL;
    memset(&thread->flow, 0,
           sizeof *thread - offsetof(struct thread, flow)); /* its place in the list stays */
    flow_begin(&thread->flow, NULL);
    if (!thread->listed)
        record_list(thread);
    atomic_store_explicit(&thread->tid, kernel_tid(), memory_order_release);
    local.tid = atomic_load_explicit(&thread->tid, memory_order_relaxed);
    thread_self = thread;
    frame_limit = UINTPTR_MAX;
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
    if (thread_guard == 0 || thread_guard == GUARD_HANDLER)
        return false;
    bool comparable = thread_self != NULL && thread_on_own_stack(thread_self, here) &&
                      thread_on_own_stack(thread_self, thread_guard);
    return !comparable || here + SIGNAL_FRAME <= thread_guard;
}

/* Threads that libc starts for itself (timers, asynchronous I/O) end unseen by our hooks: libc is asked to
 * tell, as it tells thread-local destructors of C++. */
static void manage_end(struct thread *thread) {
    extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
    extern void *__dso_handle;
    thread->managed = __cxa_thread_atexit_impl(end_of_helper, NULL, &__dso_handle) == 0;
}

struct thread *thread_enter_slow(uintptr_t here) {
    if (ended || (thread_guard == GUARD_BORROWED && process_is_borrowed()) || guard_holds(here) ||
        !process_check())
        return NULL;
    bool in_handler = thread_guard == GUARD_HANDLER;
    if (in_handler && thread_self == NULL) /* to be told of this thread's end takes memory from malloc */
        return NULL;
    if (thread_guard != 0 && !in_handler)
        lock_abandon_held(); /* whoever had it left by a jump */
    thread_guard = here;
    atomic_signal_fence(memory_order_seq_cst);
    struct thread *thread = thread_self != NULL ? thread_self : thread_new();
    if (thread == NULL)
        thread_leave();
    else if (!thread->managed)
        manage_end(thread);
    if (in_handler && thread != NULL && !interruption_open(thread, here)) {
        thread_guard = GUARD_HANDLER;
        return NULL;
    }
    return thread;
}

int thread_pause(void) {
    int kept = errno;
    thread_leave();
    return kept;
}

void thread_resume(int kept) {
    thread_guard = (uintptr_t)__builtin_frame_address(0);
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
    if (!ended || thread_guard != 0)
        return false;
    thread_guard = (uintptr_t)__builtin_frame_address(0);
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

void thread_leave_ended(void) {
    graveyard_bury();
    local_end();
    thread_leave();
}

void thread_inherit(struct thread *thread, struct context *start) {
    thread->inherited = start != NULL;
    thread->start = start;
    thread->start_serial = start != NULL ? atomic_load_explicit(&start->serial, memory_order_relaxed) : 0;
    flow_become(&thread->flow, start, true);
    if (start != NULL)
        trace_adopt(thread, start, EVIDENCE_START);
}

void thread_begin(struct context *start, struct origin origin, uintptr_t top, size_t stack_size) {
    if (!process_check()) {
        context_release(start);
        return;
    }
    thread_guard = (uintptr_t)__builtin_frame_address(0);
    struct thread *thread = thread_new();
    if (thread != NULL) {
        thread->managed = true;
        thread->start_origin = origin;
        thread->own_high = thread->stack_high = stack_size != 0 ? top + 1 : 0;
        thread->own_low = thread->stack_low = stack_size < top ? top - stack_size : 0;
        thread_inherit(thread, start);
    } else {
        context_release(start);
    }
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
    graveyard_bury();
    frame_end_all(thread);
    flow_end(&thread->flow);
    connection_thread_end(thread);
    trace_thread_end(thread);
    thread_self = NULL;
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
        if (record == thread_self)
            continue;
        alone &= atomic_load_explicit(&record->tid, memory_order_relaxed) == 0;
        atomic_store_explicit(&record->tid, 0, memory_order_relaxed);
    }
    local.tid = kernel_tid();
    if (thread_self != NULL)
        atomic_store_explicit(&thread_self->tid, local.tid, memory_order_relaxed);
    graveyard_forget();
    return alone;
}
