/* Who holds which context: every carrier, thread and capture, seen from inside or from outside.
 *
 * As in census.h, nobody is stopped and no lock is taken: memory is type-stable, everything is copied
 * (peek.h) and believed for no longer than it stays what it was. Lists that change meanwhile may be seen in
 * part.
 *
 * A place that waits for ever lets go of a request that is over (cell_let_go); with `leaks` what that was is
 * kept here, as text, for as long as the place goes on. */
#ifndef SHIM_HOLDERS_H
#define SHIM_HOLDERS_H

#include "../ctxstore/origin.h"
#include "../ctxstore/peek.h"

#include <stddef.h>

struct context;

/* Kinds of holders, and their words. */
#define HOLDER_KINDS(ROW)                                                                                    \
    ROW(HOLDER_THREAD, "thread working for it")                                                              \
    ROW(HOLDER_STARTED, "thread started inside it")                                                          \
    ROW(HOLDER_SCOPE, "scope to go back from")                                                               \
    ROW(HOLDER_CONNECTION, "connection")                                                                     \
    ROW(HOLDER_OUTBOUND, "outbound connection")                                                              \
    ROW(HOLDER_TIMER, "timer")                                                                               \
    ROW(HOLDER_REPEATING, "repeating timer")                                                                 \
    ROW(HOLDER_QUEUED, "queued wake-up")                                                                     \
    ROW(HOLDER_SEEN, "wake-up that was seen")                                                                \
    ROW(HOLDER_ITEM, "item of a work queue")                                                                 \
    ROW(HOLDER_GUESS, "work queue that is not believed yet")                                                 \
    ROW(HOLDER_BYTES, "bytes that nobody has read")                                                          \
    ROW(HOLDER_CALLBACK, "callback that has not come")                                                       \
    ROW(HOLDER_COROUTINE, "coroutine started inside it")                                                     \
    ROW(HOLDER_PARKED, "coroutine working for it")                                                           \
    ROW(HOLDER_ASKED, "datagram that nobody has answered")                                                   \
    ROW(HOLDER_PEER, "peer of a datagram socket")                                                            \
    ROW(HOLDER_REGISTRATION, "registration that was not removed")                                            \
    ROW(HOLDER_CAPTURE, "capture that was not released")
enum holder_kind {
#define HOLDER_ROW(name, word) name,
    HOLDER_KINDS(HOLDER_ROW)
#undef HOLDER_ROW
};

/* Is a request that is over held too long by such a one? Not by its own connection, nor by its own datagram,
 * nor by who works for it. Nor by what makes room for the next by itself: an eventfd that nobody ever reads
 * (E7), a queue of which nobody knows whether it is one, the latest peers of a socket. */
static inline bool holding_retains(enum holder_kind kind) {
    switch (kind) {
    case HOLDER_CONNECTION:
    case HOLDER_THREAD:
    case HOLDER_SCOPE:
    case HOLDER_SEEN:
    case HOLDER_GUESS:
    case HOLDER_PARKED:
    case HOLDER_PEER:
        return false;
    default:
        return true;
    }
}
/* Who works for it, whether it is over or not. */
static inline bool holding_works(enum holder_kind kind) {
    return kind == HOLDER_THREAD || kind == HOLDER_SCOPE || kind == HOLDER_PARKED;
}
/* Was it left there, or started? */
static inline bool holding_starts(enum holder_kind kind) {
    return kind == HOLDER_STARTED || kind == HOLDER_COROUTINE;
}

static inline const char *holding_article(enum holder_kind kind) {
    if (kind == HOLDER_BYTES)
        return "";
    return kind == HOLDER_OUTBOUND || kind == HOLDER_ITEM ? "an " : "a ";
}

/* A capture of the API's that was not given back (captures.c). */
struct capture {
    _Atomic(struct context *) context; /* NULL: free */
    struct origin origin;
    uint32_t since; /* context_clock */
};
enum { CAPTURES_MOST = 1 << 12, CAPTURE_PROBES = 64 };

/* What a place that goes on has let go of. A ring: the place says which one, and that one says which place.
 */
enum { GONE_MOST = 1024, GONE_TEXT = 112 };
struct gone {
    const void *place;
    uint64_t request; /* the serial of its root */
    uint32_t since;   /* when it was over (context_clock) */
    char text[GONE_TEXT];
};

/* Where everything begins; in the census (census.h). */
#define HOLDERS_LAYOUT                                                                                       \
    ((uint64_t)sizeof(struct thread) << 40 | (uint64_t)sizeof(struct open_file) << 24 |                      \
     (uint64_t)offsetof(struct open_file, interests) << 8 | (uint64_t)sizeof(struct gone))
#define HOLDERS_WORK_LAYOUT                                                                                  \
    ((uint64_t)sizeof(struct queue) << 48 | (uint64_t)sizeof(struct queue_entry) << 40 |                     \
     (uint64_t)sizeof(struct bell) << 32 | (uint64_t)sizeof(struct armed) << 24 |                            \
     (uint64_t)sizeof(struct coroutine) << 12 | (uint64_t)sizeof(struct peer))
struct holders_map {
    uint64_t layout;
    const void *records, *slots, *directory;
    const void *captures, *gone, *stacks; /* where the pointers to these tables lie */
    const void *sites;                    /* site_table */
    uint64_t work_layout;
    const void *queues, *bells, *bell_kinds, *armed, *coroutines; /* tables, and where the tree's root lies */
};

struct holding {
    enum holder_kind kind;
    const void *at;          /* in that memory: where the context's address lies */
    const struct gone *gone; /* it was let go of, and this is left; NULL: it is held */
    int fd;                  /* -1: none */
    int tid;                 /* of a thread; 0: none */
    struct origin origin;
};

/* Calls `each` for everything that holds a context. Async-signal-safe, if `each` is. */
void holders_take(const struct memory *memory, const struct holders_map *map,
                  void (*each)(const struct holding *holding, void *arg), void *arg);

/* --- in this process (captures.c) --- */

extern __attribute__((visibility("hidden"))) struct capture *captures_table; /* NULL: not kept */
extern struct gone *gone_table;
/* Begins to keep both. False without memory. Once, at start-up. */
bool captures_start(void);
/* The caller has captured, or retained, the context: it holds a reference. NULL is allowed. */
void capture_add_slow(struct context *context, const void *site);
/* It is about to give one back. */
void capture_remove_slow(const struct context *context);
static inline void capture_add(struct context *context, const void *site) {
    if (__builtin_expect(captures_table != NULL, 0))
        capture_add_slow(context, site);
}
static inline void capture_remove(const struct context *context) {
    if (__builtin_expect(captures_table != NULL, 0))
        capture_remove_slow(context);
}

#endif
