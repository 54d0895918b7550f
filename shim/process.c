/* The process: start, fork, vfork. See process.h. */
#include "process.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/lock.h"
#include "identity.h"
#include "leaks.h"
#include "otel.h"
#include "rules.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

static _Atomic uint32_t not_started;
_Atomic uint32_t *process_mine = &not_started;
_Atomic uint32_t process_forks;
_Atomic bool process_serves;
static int pid;

bool process_start(void) {
    _Atomic uint32_t *page = kernel_map(PAGE);
    if (page == NULL || kernel_call(SYS_madvise, (long)page, PAGE, MADV_WIPEONFORK, 0, 0, 0) != 0)
        return false;
    pid = kernel_pid();
    atomic_store_explicit(page, 1, memory_order_relaxed);
    process_mine = page;
    return true;
}

bool process_started(void) {
    return process_mine != &not_started;
}

bool process_is_borrowed(void) {
    process_check();
#if defined(__x86_64__) /* elsewhere vfork has no hook, and the kernel is asked each time */
    if (local.guard != GUARD_BORROWED)
        return false;
#endif
    if (kernel_shut || kernel_pid() != pid)
        return true;
    if (local.guard == GUARD_BORROWED && thread_handler != 0)
        local.guard = thread_handler; /* it may have been taken before: nothing is done up to its end */
    else if (local.guard == GUARD_BORROWED)
        thread_leave_slow();
    return false;
}

int process_pid(void) {
    return pid;
}

void process_did_fork(void) {
    atomic_fetch_add_explicit(&process_forks, 1, memory_order_relaxed);
}

bool process_shut(bool shut) {
    bool open_before = !kernel_shut;
    kernel_shut = shut;
    return open_before;
}

/* The first of our code to run in a fork child, which has one thread: the copy of the one that forked. */
bool process_set_right(void) {
    if (!process_started())
        return false;
    lock_epoch++;
    pid = kernel_shut ? 0 : kernel_pid();
    atomic_store_explicit(process_mine, 1, memory_order_relaxed);
    process_did_fork();
    unwind_forked(thread_forked());
    rules_forked();
    leaks_forked();
    identity_forked();
    trace_forked();
    otel_publish();
    return true;
}
