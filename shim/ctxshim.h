/* The public interface of libctxshim: a logical call context that follows the work (a request, a job)
 * and not the thread.
 *
 * Include it; nothing is linked. In a process started under libctxshim.so (`ctxshim run PROGRAM`, or
 * LD_PRELOAD) the calls reach the shim; in any other they do what each comment says after "Without the
 * shim", and cost a load and a branch. Programs, shared objects and static programs may include it, in C
 * from C99 and C++ from C++11, with gcc or clang, on ELF systems.
 *
 *     void handle(struct request *request)
 *     {
 *         CTXSHIM_SCOPE("handle");              // this block, and all work it starts, is "handle"
 *         ctxshim_set(user_key, request->user); // seen wherever that work goes
 *         submit(request);
 *     }
 *
 * The model. A context is an immutable stack of operations ("Main 1 A") and a map of key to value.
 * Whatever runs code one thing at a time, a thread or a coroutine, is a flow and has one current context.
 * Changing it makes a new context for this flow; no other flow ever sees the change. A scope is what opens
 * and, by ctxshim_pop, closes such a change. Work that is handed on (threads, descriptors, timers, queues)
 * carries the context that was current where it was handed on.
 *
 * Conventions. Any function may be called from any thread at any time. "Signals: safe" means
 * async-signal-safe; "Signals: inert" means that a handler may call it, but that a call which
 * interrupted the shim itself does nothing and returns what it would return without the shim; but set and
 * with fail with EAGAIN then, and the value stays the caller's. The same holds after a thread's end, in
 * destructors of thread-specific data, and in a vfork child. A handler runs in the context of the flow that
 * it interrupts; what it changes is undone when it ends, and what it starts inherits nothing, unless it
 * attaches a context by hand. No value is destroyed in a handler. Strings are NUL-terminated, copied during
 * the call, and never kept. Functions that return 0 or -1 set errno with -1 and leave it alone otherwise; the
 * scope {0} with errno set is a failure too (set errno to 0 first to tell it from a call without the shim).
 * Memory that runs out in the shim is ENOMEM: nothing changed, and the program may go on as if nothing had
 * been asked. */
#ifndef CTXSHIM_H
#define CTXSHIM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The shim's own build sees plain declarations; everybody else gets the wrappers at the end of this file. */
#ifdef CTXSHIM_BUILD
#    define CTXSHIM_API extern __attribute__((visibility("default")))
#else
/* Inline whatever the optimisation: a scope is reported by where the program's own line calls. */
#    define CTXSHIM_API static inline __attribute__((always_inline))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* An immutable, reference-counted context. NULL is the empty one. After .NET's ExecutionContext. */
typedef struct ctxshim_context ctxshim_context;

/* What a value is found by. Two keys of one name are two keys. After .NET's AsyncLocal<T>. */
typedef struct ctxshim_key ctxshim_key;

/* What a change of context is closed by: small, copied freely, owns nothing. {0} is no scope, and closes to
 * 0. A copy closes what the original does, once. The members are the shim's. After the tokens of Python's
 * contextvars and of OpenTelemetry C++. */
typedef struct ctxshim_scope {
    void *node;      /* what the scope names; its memory may serve another scope later */
    uint64_t serial; /* 64 bits, never used twice in a process: tells a stale scope */
    uint64_t flow;   /* the serial of the flow that opened it */
} ctxshim_scope;

/* Puts `operation` on top of the current stack until the scope is closed. Names show in ctxshim_stack
 * separated by one space. Fails with EINVAL (NULL) and ENOMEM. Without the shim: {0}.
 * Signals: inert. After .NET's CorrelationManager.StartLogicalOperation. */
CTXSHIM_API ctxshim_scope ctxshim_push(const char *operation);

/* Closes a scope, whatever opened it: the flow returns to the context before it. Any flow that is inside
 * the scope may close it, in a later callback or on another thread as well as where it was opened. Scopes
 * still open inside it are closed with it, and reported. A scope that was closed before, and {0}, close
 * to 0 and nothing happens. Fails with EPERM, reported and without any change, when the caller's flow is not
 * inside the scope, and with EINVAL when `scope` is NULL. Without the shim: 0.
 * Signals: inert. After OpenTelemetry C++'s tokens; that a `using` may close behind an `await`, from .NET. */
CTXSHIM_API int ctxshim_pop(ctxshim_scope *scope);

/* Begins a request of a protocol that the shim does not see: a context named `name` that starts clean,
 * inheriting from the event loop's base and from no request served before. Ends when popped.
 * Fails with EINVAL (NULL) and ENOMEM. Without the shim: {0}.
 * Signals: inert. After ExecutionContext.SuppressFlow around ingress, and OpenTelemetry's root spans. */
CTXSHIM_API ctxshim_scope ctxshim_root(const char *name);

/* Names the request that the current context belongs to, "GET /x": for all who hold it. Each name that it had
 * takes memory until the last context of the request goes. Returns 0, or -1 with EINVAL (NULL), ENOENT (no
 * request is current) or ENOMEM. Without the shim: 0. Signals: inert. After OpenTelemetry's Span.UpdateName.
 */
CTXSHIM_API int ctxshim_rename(const char *name);

/* Makes a key. The key owns its values: `destroy`, unless it is NULL, runs once for each value taken, after
 * the last context that holds it is gone: in some thread, at an API call, a blocking wait or the thread's
 * end, with no lock of the shim held, never in a signal handler. `name` is for people and may be NULL.
 * The caller owns the key. Returns NULL only with ENOMEM. Without the shim: a stub that keeps `destroy`.
 * Signals: not safe. After AsyncLocal<T>'s constructor and pthread_key_create. */
CTXSHIM_API ctxshim_key *ctxshim_key_create(const char *name, void (*destroy)(void *value));

/* Sets the key's value for the rest of this flow, up to the end of the scope it is in; NULL removes it.
 * The value must not change while it is held. Returns 0 when the key took the value; 1 when an equal one
 * (the same pointer) was there already and nothing was taken; -1 with EINVAL (no key) or ENOMEM: the value
 * stays the caller's. Without the shim: the value is destroyed at once, 0.
 * Signals: inert. After AsyncLocal<T>.Value and CallContext.LogicalSetData. */
CTXSHIM_API int ctxshim_set(ctxshim_key *key, void *value);

/* As ctxshim_set, until the scope is closed. On failure, {0} with errno as for ctxshim_set, the value stays
 * the caller's. Without the shim: the value is destroyed at once, {0}.
 * Signals: inert. After Python's ContextVar.set and its token. */
CTXSHIM_API ctxshim_scope ctxshim_with(ctxshim_key *key, void *value);

/* The key's value in the current context, or NULL. Borrowed: it lives as long as a context that holds it;
 * capture the context to keep it longer. Without the shim: NULL.
 * Signals: safe. After AsyncLocal<T>.Value. */
CTXSHIM_API void *ctxshim_get(ctxshim_key *key);

/* Gives the key up. Its values live, and are destroyed, as their contexts go; nobody can read them any
 * longer, and a key created later never sees them. Returns 0, or -1 with EINVAL (NULL). The key must not be
 * used afterwards. Without the shim: frees the stub, 0.
 * Signals: not safe. After pthread_key_delete, without its reuse of numbers. */
CTXSHIM_API int ctxshim_key_destroy(ctxshim_key *key);

/* Calls `changed` whenever the key's value in a flow becomes another: with `switched` 0 for a set, with,
 * pop or removal by that flow itself, with 1 when another context became current. It runs in that flow at
 * once, possibly inside a call of libc: it must keep to what is async-signal-safe. `before` and `after` are
 * borrowed for the call; `arg` is the caller's, and with the key it names the registration. Returns 0, or -1
 * with EINVAL or ENOMEM. Without the shim: 0, and nothing is called.
 * Signals: not safe. After AsyncLocal<T>'s value-changed handler and its ThreadContextChanged. */
CTXSHIM_API int ctxshim_on_change(ctxshim_key *key,
                                  void (*changed)(void *before, void *after, int switched, void *arg),
                                  void *arg);

/* Ends what ctxshim_on_change began with this key and `arg`; a call already under way on another thread may
 * still be. Returns 0, or -1 with EINVAL (NULL) or ENOENT (no such registration). Without the shim: 0.
 * Signals: not safe. */
CTXSHIM_API int ctxshim_on_change_remove(ctxshim_key *key, void *arg);

/* The current context, with one reference for the caller to release. NULL, the empty context, while flow is
 * suppressed, and without the shim.
 * Signals: safe. After ExecutionContext.Capture. */
CTXSHIM_API ctxshim_context *ctxshim_capture(void);

/* Adds a reference and returns its argument; NULL is fine. Signals: safe. */
CTXSHIM_API ctxshim_context *ctxshim_retain(ctxshim_context *context);

/* Gives one reference back; NULL is fine. The last one frees the context, and may destroy values here or at
 * this flow's next API call. Signals: inert (the reference is then not given back). */
CTXSHIM_API void ctxshim_release(ctxshim_context *context);

/* Makes a captured context current until the scope is closed; NULL hides what is current. The scope holds
 * its own reference: the caller's stays the caller's. Fails with ENOMEM. Without the shim: {0}.
 * Signals: inert. After OpenTelemetry's Context.attach. */
CTXSHIM_API ctxshim_scope ctxshim_attach(ctxshim_context *context);

/* Calls fn(arg) inside the context and returns to the one before, however fn ends (exception, cancellation);
 * what fn changes in its context stays inside (C: build with -fexceptions for the last two). Returns 0, or -1
 * with EINVAL (no fn) or ENOMEM: fn was not called. Without the shim: fn is called, 0. Signals: inert (fn is
 * called). After ExecutionContext.Run. */
CTXSHIM_API int ctxshim_run(ctxshim_context *context, void (*fn)(void *arg), void *arg);

/* Until the scope is closed, nothing that this flow starts or hands on carries its context. Values stay
 * visible here; inside ctxshim_run flow is on again. Fails with ENOMEM. Without the shim: {0}.
 * Signals: inert. After ExecutionContext.SuppressFlow. */
CTXSHIM_API ctxshim_scope ctxshim_suppress_flow(void);

/* Writes the current stack, outermost first, "Main 1 A", into buffer[size], always NUL-terminated when size
 * is not 0. Returns the length in bytes that the whole has, without the NUL, as snprintf does; size 0 asks
 * for just that, and then `buffer` may be NULL. A context that is not certain ends in "?".
 * Without the shim: "" and 0.
 * Signals: safe. After CorrelationManager.LogicalOperationStack. */
CTXSHIM_API size_t ctxshim_stack(char *buffer, size_t size);

/* 1 when the shim is loaded, else 0. Signals: safe. */
CTXSHIM_API int ctxshim_active(void);

/* What CTXSHIM_SCOPE enters a block by: ctxshim_push, for a scope that cannot outlive the caller's stack
 * frame. */
CTXSHIM_API ctxshim_scope ctxshim_push_block(const char *operation);

/* What CTXSHIM_SCOPE leaves a block by. An error that is on its way out keeps its errno. */
static inline void ctxshim_header_close(ctxshim_scope *scope) {
    int saved = errno;
    (void)ctxshim_pop(scope);
    errno = saved;
}

#ifdef __cplusplus
} /* extern "C" */

/* Unnamed, for it calls functions that each translation unit has its own copy of. */
namespace {
class ctxshim_header_scope {
  public:
    __attribute__((always_inline)) explicit ctxshim_header_scope(const char *operation)
        : scope(ctxshim_push_block(operation)) {
    }
    ~ctxshim_header_scope() {
        ctxshim_header_close(&scope);
    }
    ctxshim_header_scope(const ctxshim_header_scope &) = delete;
    ctxshim_header_scope &operator=(const ctxshim_header_scope &) = delete;

  private:
    ctxshim_scope scope;
};
} // namespace
#endif

/* CTXSHIM_SCOPE("name"); pushes an operation that is popped when the enclosing block ends, by whatever way:
 * its end, return, break, goto, a C++ exception. For pthread_exit and pthread_cancel build C with
 * -fexceptions. longjmp does not pop; the shim sees at the next wait that the frame is gone. As many as you
 * like in one block: they close in reverse order. errno is kept. */
#define CTXSHIM_HEADER_PASTE(a, b) a##b
#define CTXSHIM_HEADER_NAME(number) CTXSHIM_HEADER_PASTE(ctxshim_scope_, number)
#ifdef __cplusplus
#    define CTXSHIM_SCOPE(operation)                                                                         \
        const ctxshim_header_scope CTXSHIM_HEADER_NAME(__COUNTER__) {                                        \
            operation                                                                                        \
        }
#else
#    define CTXSHIM_SCOPE(operation)                                                                         \
        ctxshim_scope CTXSHIM_HEADER_NAME(__COUNTER__)                                                       \
            __attribute__((cleanup(ctxshim_header_close), unused)) = ctxshim_push_block(operation)
#endif

#ifndef CTXSHIM_BUILD
/* ---- From here on: how the calls reach the shim, or do without it. --------------------------------------
 *
 * Weak references to the functions would do in a PIE and in a shared object, but in a -no-pie program the
 * linker settles them as NULL for good. So each linked object has one table of pointers, shared by its
 * translation units (weak and hidden), and a constructor fills it through dlsym. dlsym itself is a weakref:
 * it pulls nothing into a static program, where it is NULL and the table stays empty, and unlike a weak
 * declaration it leaves the program's own use of dlsym alone. The table never changes after the constructor,
 * so reading it is async-signal-safe, and a stub key can never meet the shim. */

#    ifdef __cplusplus
extern "C" {
#    endif

struct ctxshim_header_table {
    int resolved;
    ctxshim_scope (*push)(const char *operation);
    ctxshim_scope (*push_block)(const char *operation);
    int (*pop)(ctxshim_scope *scope);
    ctxshim_scope (*root)(const char *name);
    int (*rename)(const char *name);
    ctxshim_key *(*key_create)(const char *name, void (*destroy)(void *value));
    int (*set)(ctxshim_key *key, void *value);
    ctxshim_scope (*with)(ctxshim_key *key, void *value);
    void *(*get)(ctxshim_key *key);
    int (*key_destroy)(ctxshim_key *key);
    int (*on_change)(ctxshim_key *key, void (*changed)(void *before, void *after, int switched, void *arg),
                     void *arg);
    int (*on_change_remove)(ctxshim_key *key, void *arg);
    ctxshim_context *(*capture)(void);
    ctxshim_context *(*retain)(ctxshim_context *context);
    void (*release)(ctxshim_context *context);
    ctxshim_scope (*attach)(ctxshim_context *context);
    ctxshim_scope (*suppress_flow)(void);
    size_t (*stack)(char *buffer, size_t size);
    int (*active)(void);
};

/* The name ends in the layout's version: objects that mix headers must not share a table. */
extern struct ctxshim_header_table ctxshim_header_table_2 __attribute__((weak, visibility("hidden")));
struct ctxshim_header_table ctxshim_header_table_2;

static void *ctxshim_header_dlsym(void *handle, const char *name) __attribute__((weakref("dlsym")));
static char *ctxshim_header_dlerror(void) __attribute__((weakref("dlerror")));

/* `slot` is the address of a function pointer; ISO C has no cast from void * to one. Handle NULL is
 * RTLD_DEFAULT, which <dlfcn.h> names only for _GNU_SOURCE. */
static inline int ctxshim_header_find(void *slot, const char *name) {
    void *address = ctxshim_header_dlsym(NULL, name);
    __builtin_memcpy(slot, &address, sizeof address);
    return address != NULL;
}

static inline void ctxshim_header_find_all(struct ctxshim_header_table *table) {
    ctxshim_header_find(&table->push, "ctxshim_push");
    ctxshim_header_find(&table->push_block, "ctxshim_push_block");
    ctxshim_header_find(&table->pop, "ctxshim_pop");
    ctxshim_header_find(&table->root, "ctxshim_root");
    ctxshim_header_find(&table->rename, "ctxshim_rename");
    ctxshim_header_find(&table->key_create, "ctxshim_key_create");
    ctxshim_header_find(&table->set, "ctxshim_set");
    ctxshim_header_find(&table->with, "ctxshim_with");
    ctxshim_header_find(&table->get, "ctxshim_get");
    ctxshim_header_find(&table->key_destroy, "ctxshim_key_destroy");
    ctxshim_header_find(&table->on_change, "ctxshim_on_change");
    ctxshim_header_find(&table->on_change_remove, "ctxshim_on_change_remove");
    ctxshim_header_find(&table->capture, "ctxshim_capture");
    ctxshim_header_find(&table->retain, "ctxshim_retain");
    ctxshim_header_find(&table->release, "ctxshim_release");
    ctxshim_header_find(&table->attach, "ctxshim_attach");
    ctxshim_header_find(&table->suppress_flow, "ctxshim_suppress_flow");
    ctxshim_header_find(&table->stack, "ctxshim_stack");
}

/* The earliest priority that is not the system's: before the constructors of the object that includes this.
 * A name that is missing makes libc keep an error message; dlerror takes it back. */
__attribute__((constructor(101))) static void ctxshim_header_resolve(void) {
    struct ctxshim_header_table *table = &ctxshim_header_table_2;
    if (table->resolved)
        return;
    table->resolved = 1;
    if (!ctxshim_header_dlsym)
        return;
    if (ctxshim_header_find(&table->active, "ctxshim_active"))
        ctxshim_header_find_all(table);
    if (ctxshim_header_dlerror)
        (void)ctxshim_header_dlerror();
}

static inline ctxshim_scope ctxshim_header_none(void) {
    ctxshim_scope none = {NULL, 0, 0};
    return none;
}

/* A key of a process without the shim: all it can do is to keep the promise to destroy values. */
struct ctxshim_header_stub {
    void (*destroy)(void *value);
};

static inline int ctxshim_header_discard(ctxshim_key *key, void *value) {
    struct ctxshim_header_stub *stub = (struct ctxshim_header_stub *)key;
    if (!stub) {
        errno = EINVAL;
        return -1;
    }
    if (value && stub->destroy)
        stub->destroy(value);
    return 0;
}

CTXSHIM_API ctxshim_scope ctxshim_push(const char *operation) {
    return ctxshim_header_table_2.push ? ctxshim_header_table_2.push(operation) : ctxshim_header_none();
}

CTXSHIM_API ctxshim_scope ctxshim_push_block(const char *operation) {
    return ctxshim_header_table_2.push_block ? ctxshim_header_table_2.push_block(operation)
                                             : ctxshim_header_none();
}

CTXSHIM_API int ctxshim_pop(ctxshim_scope *scope) {
    return ctxshim_header_table_2.pop ? ctxshim_header_table_2.pop(scope) : 0;
}

CTXSHIM_API ctxshim_scope ctxshim_root(const char *name) {
    return ctxshim_header_table_2.root ? ctxshim_header_table_2.root(name) : ctxshim_header_none();
}

CTXSHIM_API int ctxshim_rename(const char *name) {
    return ctxshim_header_table_2.rename ? ctxshim_header_table_2.rename(name) : 0;
}

/* Resolves, should another constructor be here first: a stub made then would be taken for a real key later.
 */
CTXSHIM_API ctxshim_key *ctxshim_key_create(const char *name, void (*destroy)(void *value)) {
    ctxshim_header_resolve();
    if (ctxshim_header_table_2.key_create)
        return ctxshim_header_table_2.key_create(name, destroy);
    struct ctxshim_header_stub *stub = (struct ctxshim_header_stub *)malloc(sizeof *stub);
    if (stub)
        stub->destroy = destroy;
    return (ctxshim_key *)stub;
}

CTXSHIM_API int ctxshim_set(ctxshim_key *key, void *value) {
    return ctxshim_header_table_2.set ? ctxshim_header_table_2.set(key, value)
                                      : ctxshim_header_discard(key, value);
}

CTXSHIM_API ctxshim_scope ctxshim_with(ctxshim_key *key, void *value) {
    if (ctxshim_header_table_2.with)
        return ctxshim_header_table_2.with(key, value);
    (void)ctxshim_header_discard(key, value);
    return ctxshim_header_none();
}

CTXSHIM_API void *ctxshim_get(ctxshim_key *key) {
    return ctxshim_header_table_2.get ? ctxshim_header_table_2.get(key) : NULL;
}

CTXSHIM_API int ctxshim_key_destroy(ctxshim_key *key) {
    if (ctxshim_header_table_2.key_destroy)
        return ctxshim_header_table_2.key_destroy(key);
    free(key);
    return 0;
}

CTXSHIM_API int ctxshim_on_change(ctxshim_key *key,
                                  void (*changed)(void *before, void *after, int switched, void *arg),
                                  void *arg) {
    return ctxshim_header_table_2.on_change ? ctxshim_header_table_2.on_change(key, changed, arg) : 0;
}

CTXSHIM_API int ctxshim_on_change_remove(ctxshim_key *key, void *arg) {
    return ctxshim_header_table_2.on_change_remove ? ctxshim_header_table_2.on_change_remove(key, arg) : 0;
}

CTXSHIM_API ctxshim_context *ctxshim_capture(void) {
    return ctxshim_header_table_2.capture ? ctxshim_header_table_2.capture() : NULL;
}

CTXSHIM_API ctxshim_context *ctxshim_retain(ctxshim_context *context) {
    return ctxshim_header_table_2.retain ? ctxshim_header_table_2.retain(context) : context;
}

CTXSHIM_API void ctxshim_release(ctxshim_context *context) {
    if (ctxshim_header_table_2.release)
        ctxshim_header_table_2.release(context);
}

CTXSHIM_API ctxshim_scope ctxshim_attach(ctxshim_context *context) {
    return ctxshim_header_table_2.attach ? ctxshim_header_table_2.attach(context) : ctxshim_header_none();
}

/* Here and not in the shim, so that the caller's own unwinding closes the scope on an exception. */
CTXSHIM_API int ctxshim_run(ctxshim_context *context, void (*fn)(void *arg), void *arg) {
    int saved = errno;
    errno = fn ? 0 : EINVAL;
    if (!fn)
        return -1;
    ctxshim_scope scope __attribute__((cleanup(ctxshim_header_close))) = ctxshim_attach(context);
    if (!scope.node && errno)
        return -1;
    errno = saved;
    fn(arg);
    return 0;
}

CTXSHIM_API ctxshim_scope ctxshim_suppress_flow(void) {
    return ctxshim_header_table_2.suppress_flow ? ctxshim_header_table_2.suppress_flow()
                                                : ctxshim_header_none();
}

CTXSHIM_API size_t ctxshim_stack(char *buffer, size_t size) {
    if (ctxshim_header_table_2.stack)
        return ctxshim_header_table_2.stack(buffer, size);
    if (size > 0)
        buffer[0] = '\0';
    return 0;
}

CTXSHIM_API int ctxshim_active(void) {
    return ctxshim_header_table_2.active ? ctxshim_header_table_2.active() : 0;
}

#    ifdef __cplusplus
} /* extern "C" */
#    endif
#endif /* CTXSHIM_BUILD */

#endif /* CTXSHIM_H */
