/* The public functions (ctxshim.h): arguments checked, the guard taken, errno set, the store called.
 *
 * Each is one call of the store in between `enter` and `leave`. Dropped values are destroyed at both
 * ends of it, where the program's code may run (design: duty 4). */
#define CTXSHIM_BUILD
#include "ctxshim.h"

#include "../ctxstore/long_name.h"
#include "activity.h"
#include "frame.h"
#include "holders.h"
#include "interruption.h"
#include "leaks.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(ctxshim_scope) == sizeof(struct scope), "the public scope is the store's");

static ctxshim_scope public_scope(struct scope scope) {
    return (ctxshim_scope){scope.node, scope.serial, scope.flow};
}

static struct context *inner(ctxshim_context *context) {
    return (struct context *)context;
}

static struct thread *enter(void) {
    thread_bury();
    return thread_enter();
}

/* After a jump out of a signal handler that used the shim the thread is in the handler's flow still (F12),
 * until somebody looks: whoever opens or closes something does so on his way in (thread_bury), and questions
 * do it here. */
static __attribute__((noinline)) void leave_handlers(uintptr_t here) {
    struct thread *thread =
        local.thread != NULL && local.thread->interruption != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    interruption_settle(thread, here);
    thread_leave();
}

static inline __attribute__((always_inline)) void asked(uintptr_t here) {
    if (__builtin_expect(thread_handler != 0, 0))
        leave_handlers(here);
}

static void leave(void) {
    thread_leave();
    thread_bury();
}

/* -1 with errno, or 0. */
static int failed(int error) {
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

static ctxshim_scope opened(struct scope scope, const int *error) {
    leave();
    (void)failed(*error);
    return public_scope(scope);
}

/* Whatever is not the usual push. The node's block bit is set when it is whole: a handler that comes in
 * between takes it for one of push. */
static __attribute__((noinline)) ctxshim_scope push_slow(const char *operation, struct here here,
                                                         bool block) {
    struct thread *thread = operation != NULL ? enter() : NULL;
    int error = 0;
    if (thread == NULL) {
        (void)failed(operation == NULL ? EINVAL : 0);
        return (ctxshim_scope){0};
    }
    struct scope scope = flow_push(&thread->flow, operation, unwind_here(here), &error);
    if (block && scope.node != NULL)
        flow_block(&scope);
    if (scope.node != NULL)
        trace_push(thread, scope.node, operation);
    return opened(scope, &error);
}

/* The guard is taken, and it is not the usual push. */
static __attribute__((noinline)) ctxshim_scope push_inside(struct thread *thread, const char *operation,
                                                           struct here here, bool block) {
    int error = 0;
    struct scope scope = {0};
    if (process_is_right())
        scope = flow_push(&thread->flow, operation, here, &error);
    if (scope.node == NULL) {
        thread_leave();
        return push_slow(operation, here, block);
    }
    if (block)
        flow_block(&scope);
    trace_push_probe(scope.node, operation);
    leave();
    return public_scope(scope);
}

/* The usual push of a long name. */
static __attribute__((noinline)) ctxshim_scope push_long(const char *operation, struct here here,
                                                         bool block) {
    struct thread *thread = thread_enter_known();
    if (__builtin_expect(thread == NULL, 0))
        return push_slow(operation, here, block);
    struct scope scope = flow_push_long(&thread->flow, operation, here);
    if (__builtin_expect(scope.node == NULL, 0))
        return push_inside(thread, operation, here, block);
    if (block)
        flow_block(&scope);
    trace_push_probe(scope.node, operation);
    thread_leave_known();
    return public_scope(scope);
}

/* Part of a public function: HERE is that one's. */
static inline __attribute__((always_inline)) ctxshim_scope push(const char *operation, bool block) {
    if (__builtin_expect(operation == NULL || trace_scopes, 0))
        return push_slow(operation, HERE, block);
    struct name_look examined = name_look(operation);
    if (__builtin_expect(examined.fit != NAME_FITS, 0))
        return examined.fit == NAME_LONG ? push_long(operation, HERE, block)
                                         : push_slow(operation, HERE, block);
    struct thread *thread = thread_enter_known();
    if (__builtin_expect(thread == NULL, 0))
        return push_slow(operation, HERE, block);
    struct scope scope = flow_push_quick(&thread->flow, operation, examined, __builtin_return_address(0));
    if (__builtin_expect(scope.node == NULL, 0))
        return push_inside(thread, operation, HERE, block);
    if (block)
        flow_block(&scope);
    trace_push_probe(scope.node, operation);
    thread_leave_known();
    return public_scope(scope);
}

ctxshim_scope ctxshim_push(const char *operation) {
    return push(operation, false);
}

ctxshim_scope ctxshim_push_block(const char *operation) {
    return push(operation, true);
}

static __attribute__((noinline)) int pop_slow(const ctxshim_scope *scope) {
    struct thread *thread = scope->node != NULL ? enter() : NULL;
    if (thread == NULL)
        return 0;
    struct scope named = {scope->node, scope->serial, scope->flow};
    int error = flow_close(&thread->flow, &named);
    frame_scope_closed(thread);
    trace_closed(thread, named.serial);
    leave();
    return failed(error);
}

static __attribute__((noinline)) int pop_detour(const ctxshim_scope *scope) {
    struct thread *thread = thread_enter_known();
    if (thread == NULL)
        return pop_slow(scope);
    bool closed = flow_detach_quick(&thread->flow, scope->node, scope->serial);
    if (closed) {
        frame_scope_closed(thread);
        trace_attach(thread);
    }
    thread_leave();
    if (!closed)
        return pop_slow(scope);
    thread_bury();
    return 0;
}

/* The usual close, and the timeline is told. */
static __attribute__((noinline)) int pop_traced(const ctxshim_scope *scope) {
    struct thread *thread = thread_enter_known();
    if (thread == NULL)
        return pop_slow(scope);
    bool closed = flow_close_quick(&thread->flow, scope->node, scope->serial);
    if (closed)
        trace_pop(thread, scope->serial);
    thread_leave();
    return closed ? 0 : pop_slow(scope);
}

/* The guard is taken, and it is not the usual close. */
static __attribute__((noinline)) int pop_inside(struct thread *thread, const ctxshim_scope *scope) {
    bool closed = process_is_right() && flow_close_innermost(&thread->flow, scope->node, scope->serial);
    if (closed)
        trace_pop_probe(scope->serial);
    thread_leave();
    if (!closed)
        return pop_slow(scope);
    thread_bury();
    return 0;
}

/* The guard is taken, and it is not the usual close: mostly the name is long. */
static __attribute__((noinline)) int pop_long(struct thread *thread, const ctxshim_scope *scope) {
    if (!flow_close_long(&thread->flow, scope->node, scope->serial))
        return pop_inside(thread, scope);
    trace_pop_probe(scope->serial);
    thread_leave_known();
    return 0;
}

static inline __attribute__((always_inline)) int pop(const ctxshim_scope *scope) {
    uint64_t serial = scope->serial;
    if (__builtin_expect((serial & DETOUR_SERIAL) != 0, 0))
        return pop_detour(scope);
    if (__builtin_expect(trace_scopes, 0))
        return pop_traced(scope);
    struct thread *thread = thread_enter_known();
    if (__builtin_expect(thread == NULL, 0))
        return pop_slow(scope);
    if (__builtin_expect(!flow_close_quick(&thread->flow, scope->node, serial), 0))
        return pop_long(thread, scope);
    trace_pop_probe(serial);
    thread_leave_known();
    return 0;
}

int ctxshim_pop(ctxshim_scope *scope) {
    return __builtin_expect(scope != NULL, 1) ? pop(scope) : failed(EINVAL);
}

ctxshim_scope ctxshim_root(const char *name) {
    struct thread *thread = name != NULL ? enter() : NULL;
    int error = 0;
    if (thread == NULL) {
        (void)failed(name == NULL ? EINVAL : 0);
        return (ctxshim_scope){0};
    }
    leaks_root(thread, HERE);
    struct scope scope = flow_root(&thread->flow, frame_base_clean(thread), name, unwind_here(HERE), &error);
    activity_note(thread->flow.current);
    if (scope.node != NULL) {
        trace_root(thread, scope.node);
        trace_attach(thread);
    }
    activity_note(thread->flow.current);
    return opened(scope, &error);
}

int ctxshim_rename(const char *name) {
    if (name == NULL)
        return failed(EINVAL);
    struct thread *thread = enter();
    if (thread == NULL)
        return 0;
    int error = context_rename(thread->flow.current, name);
    trace_rename(thread, thread->flow.current);
    leave();
    return failed(error);
}

ctxshim_key *ctxshim_key_create(const char *name, void (*destroy)(void *value)) {
    struct thread *thread = enter();
    ctxshim_key *key = (ctxshim_key *)key_create(name != NULL ? name : "", destroy);
    if (thread != NULL)
        leave();
    if (key == NULL)
        errno = ENOMEM;
    return key;
}

int ctxshim_key_destroy(ctxshim_key *key) {
    if (key == NULL)
        return failed(EINVAL);
    struct thread *thread = enter();
    key_destroy((struct key *)key);
    if (thread != NULL)
        leave();
    return 0;
}

int ctxshim_set(ctxshim_key *key, void *value) {
    if (key == NULL)
        return failed(EINVAL);
    struct thread *thread = enter();
    if (thread == NULL)
        return failed(EAGAIN);
    int error = 0;
    local.site = __builtin_return_address(0);
    int result = flow_set(&thread->flow, (struct key *)key, value, &error);
    leave();
    return error != 0 ? failed(error) : result;
}

ctxshim_scope ctxshim_with(ctxshim_key *key, void *value) {
    struct thread *thread = key != NULL ? enter() : NULL;
    int error = 0;
    local.site = __builtin_return_address(0);
    if (thread != NULL)
        return opened(flow_with(&thread->flow, (struct key *)key, value, unwind_here(HERE), &error), &error);
    (void)failed(key == NULL ? EINVAL : EAGAIN);
    return (ctxshim_scope){0};
}

void *ctxshim_get(ctxshim_key *key) {
    asked((uintptr_t)__builtin_frame_address(0));
    struct context *current = local.thread != NULL ? local.thread->flow.current : NULL;
    return key == NULL || current == NULL ? NULL : values_get(current->values, (struct key *)key);
}

int ctxshim_on_change(ctxshim_key *key, void (*changed)(void *before, void *after, int switched, void *arg),
                      void *arg) {
    if (key == NULL || changed == NULL)
        return failed(EINVAL);
    struct thread *thread = enter();
    int error = watch_add((struct key *)key, changed, arg);
    if (thread != NULL)
        leave();
    return failed(error);
}

int ctxshim_on_change_remove(ctxshim_key *key, void *arg) {
    if (key == NULL)
        return failed(EINVAL);
    struct thread *thread = enter();
    int error = watch_remove((struct key *)key, arg);
    if (thread != NULL)
        leave();
    return failed(error);
}

static __attribute__((noinline)) ctxshim_context *capture_slow(const void *site) {
    thread_bury(); /* or looks whether a handler was left by a jump */
    struct thread *thread = thread_handler == 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return local.thread != NULL ? (ctxshim_context *)flow_capture_inside(&local.thread->flow) : NULL;
    struct context *context = flow_capture(&thread->flow);
    capture_add(context, site);
    thread_leave();
    return (ctxshim_context *)context;
}

ctxshim_context *ctxshim_capture(void) {
    struct thread *thread = thread_enter_known();
    const void *site = __builtin_return_address(0);
    if (thread == NULL)
        return capture_slow(site);
    struct context *context = flow_capture_quick(&thread->flow);
    capture_add(context, site);
    thread_leave_known();
    return context != NULL ? (ctxshim_context *)context : capture_slow(site);
}

ctxshim_context *ctxshim_retain(ctxshim_context *context) {
    capture_add(inner(context), __builtin_return_address(0));
    return (ctxshim_context *)context_retain(inner(context));
}

static __attribute__((noinline)) void release_slow(ctxshim_context *context) {
    struct thread *thread = context != NULL ? enter() : NULL;
    if (thread == NULL && context != NULL && thread_enter_ended()) {
        context_release(inner(context));
        thread_leave_ended();
    }
    if (thread == NULL)
        return;
    flow_release(&thread->flow, inner(context));
    leave();
}

void ctxshim_release(ctxshim_context *context) {
    capture_remove(inner(context));
    struct thread *thread = thread_enter_known();
    if (thread == NULL) {
        release_slow(context);
        return;
    }
    bool released = flow_release_quick(&thread->flow, inner(context));
    thread_leave_known();
    if (!released)
        release_slow(context);
}

static __attribute__((noinline)) ctxshim_scope attach_slow(ctxshim_context *context, struct here here,
                                                           int *error) {
    struct thread *thread = enter();
    if (thread == NULL)
        return (ctxshim_scope){0};
    struct scope scope = flow_attach(&thread->flow, inner(context), unwind_here(here), error);
    trace_attach(thread);
    leave();
    return public_scope(scope);
}

static inline __attribute__((always_inline)) ctxshim_scope attach(ctxshim_context *context, struct here here,
                                                                  int *error) {
    struct thread *thread = trace_scopes ? NULL : thread_enter_known();
    activity_note(inner(context));
    if (thread == NULL)
        return attach_slow(context, here, error);
    struct scope scope = flow_attach_quick(&thread->flow, inner(context), here);
    thread_leave_known();
    return scope.node != NULL ? public_scope(scope) : attach_slow(context, here, error);
}

ctxshim_scope ctxshim_attach(ctxshim_context *context) {
    int error = 0;
    ctxshim_scope scope = attach(context, HERE, &error);
    (void)failed(error);
    return scope;
}

int ctxshim_run(ctxshim_context *context, void (*fn)(void *), void *arg) {
    if (fn == NULL)
        return failed(EINVAL);
    int error = 0;
    ctxshim_scope scope = attach(context, HERE, &error);
    if (error != 0)
        return failed(error);
    fn(arg);
    return pop(&scope);
}

ctxshim_scope ctxshim_suppress_flow(void) {
    struct thread *thread = enter();
    int error = 0;
    if (thread == NULL)
        return (ctxshim_scope){0};
    return opened(flow_suppress(&thread->flow, unwind_here(HERE), &error), &error);
}

size_t ctxshim_stack(char *buffer, size_t size) {
    asked((uintptr_t)__builtin_frame_address(0));
    frame_asked(HERE);
    return context_format(local.thread != NULL ? local.thread->flow.current : NULL, buffer, size);
}

int ctxshim_active(void) {
    return process_started();
}
