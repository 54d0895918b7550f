/* What happens to contexts, told to whoever wants to know: the timeline (option `trace`, tracefile.h), the
 * names of threads (option `comm`), and probes (USDT) for perf and bpftrace. One function here for each thing
 * that happens, called at one place each, inside the guard.
 *
 * With both options off that is a load and a branch; a probe that nobody listens to is a no-operation. The
 * writer never waits, allocates nothing and keeps no descriptor: a thread has a ring of its own, which only
 * it writes. A fork child writes to a file of its own. */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include "openfile.h"
#include "thread.h"
#include "tracefile.h"

#if __has_include(<sys/sdt.h>)
#    include <sys/sdt.h>
#    ifdef __clang__ /* its macros end in an empty list */
#        pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#    endif
#    define PROBE(name, a, b, c, d) DTRACE_PROBE4(ctxshim, name, a, b, c, d)
#else
#    define PROBE(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

/* Is there a timeline, or are threads named? Written at start-up, constant afterwards but in a fork child. */
extern __attribute__((visibility("hidden"))) bool trace_on;
/* Is more to be kept of a scope than its node: for the timeline, or a call stack (unwind.h)? Then the quick
 * ways to open and close one leave it to the others. Set at start-up. */
extern __attribute__((visibility("hidden"))) bool trace_scopes;

void trace_start(void);
/* In a fork child. */
void trace_forked(void);
/* The thread is about to end. */
void trace_thread_end(struct thread *thread);

void trace_note(struct thread *thread, enum trace_type type, const struct context *context, uint64_t serial);
void trace_write_push(struct thread *thread, const struct context *scope);
void trace_write_from(struct thread *thread, const struct provenance *provenance);
void trace_write_adopt(struct thread *thread, const struct context *context, enum evidence evidence);
void trace_write_capture(struct thread *thread, const struct open_file *file);

static inline uint64_t trace_serial(const struct context *context) {
    return context != NULL ? atomic_load_explicit(&context->serial, memory_order_relaxed) : 0;
}
static inline bool trace_wanted(void) {
    return __builtin_expect(trace_on, 0);
}

/* A scope was opened. push(serial, name, thread). The quick path has the probe alone. */
static inline __attribute__((always_inline)) void trace_push_probe(const struct context *scope,
                                                                   const char *name) {
    PROBE(push, trace_serial(scope), name, local.tid, 0);
}
static inline void trace_push(struct thread *thread, const struct context *scope, const char *name) {
    trace_push_probe(scope, name);
    if (trace_wanted())
        trace_write_push(thread, scope);
}
/* A scope was closed. pop(serial, thread). The quick path has the probe alone. */
static inline __attribute__((always_inline)) void trace_pop_probe(uint64_t serial) {
    PROBE(pop, serial, local.tid, 0, 0);
}
static inline void trace_pop(struct thread *thread, uint64_t serial) {
    trace_pop_probe(serial);
    if (trace_wanted())
        trace_note(thread, TRACE_POP, NULL, serial);
}
/* A context has become current. adopt(serial, evidence, thread) */
static inline void trace_adopt(struct thread *thread, const struct context *context, enum evidence evidence) {
    PROBE(adopt, trace_serial(context), evidence, local.tid, 0);
    if (trace_wanted())
        trace_write_adopt(thread, context, evidence);
}
/* What it came from. */
static inline void trace_from(struct thread *thread, const struct provenance *provenance) {
    if (trace_wanted())
        trace_write_from(thread, provenance);
}
/* The flow's current context is the one that it went back to. */
static inline void trace_leave(struct thread *thread) {
    if (trace_wanted())
        trace_note(thread, TRACE_LEAVE, thread->flow.current, 0);
}
/* The program itself has made another context current, or gone back from one. */
static inline void trace_attach(struct thread *thread) {
    if (trace_wanted())
        trace_note(thread, TRACE_ATTACH, thread->flow.current, 0);
}
/* The same for any kind: what is current may be another's now. */
static inline void trace_closed(struct thread *thread, uint64_t serial) {
    trace_pop(thread, serial);
    trace_attach(thread);
}
/* What is current is left with a carrier (NULL: not a descriptor). capture(serial, kind, descriptor, thread)
 */
static inline void trace_capture(struct thread *thread, const struct open_file *file) {
    PROBE(capture, trace_serial(thread->flow.current), file != NULL ? (int)file_kind(file) : -1,
          file != NULL ? file->fd : -1, local.tid);
    if (trace_wanted())
        trace_write_capture(thread, file);
}
/* A root begins. root(serial, parent's serial, number, thread) */
static inline void trace_root(struct thread *thread, const struct context *root) {
    if (root == NULL)
        return;
    PROBE(root, trace_serial(root), trace_serial(root->parent), root->root.number, local.tid);
    if (trace_wanted())
        trace_note(thread, TRACE_ROOT, root, 0);
}
/* The root has another name. */
static inline void trace_rename(struct thread *thread, const struct context *context) {
    if (trace_wanted())
        trace_note(thread, TRACE_NAME, context, 0);
}
/* An answer to the request was written. */
static inline void trace_answer(struct thread *thread, struct open_file *file, uint32_t generation) {
    if (!trace_wanted())
        return;
    struct context *request = cell_copy(&file->cell, generation);
    trace_note(thread, TRACE_ANSWER, request, 0);
    context_release(request);
}

#endif
