/* What is known of bells (bell.h), for bell.c and for whoever looks at it from outside (holders.h). */
#ifndef SHIM_BELL_INSIDE_H
#define SHIM_BELL_INSIDE_H

#include "bell.h"

enum { BELLS = 1024, BELL_KINDS = 32, BELLS_AGREED = 16 };

struct bell {
    _Atomic(const void *) condition; /* NULL: free */
    struct lock lock;
    uint64_t waiter; /* the serial of its flow */
    struct here here;
    uint8_t kind; /* from 1 */
    bool asleep, none, twice;
    struct context *given; /* a reference */
    struct origin origin;  /* of whoever left it there */
};

struct bell_kind {
    _Atomic(const void *) mutex; /* NULL: free */
    struct queue_place wait;     /* constant */
    _Atomic unsigned bells, agreed, strikes;
    _Atomic bool dropped;
    _Atomic(const void *) exit;   /* where sections end in which work is taken, asleep before or not, */
    _Atomic uintptr_t exit_depth; /* and how deep on the stack */
};

extern struct bell bells[BELLS];
extern struct bell_kind bell_kinds[BELL_KINDS];

static inline bool bell_is_believed(const struct bell_kind *kind) {
    return !atomic_load_explicit(&kind->dropped, memory_order_relaxed) &&
           atomic_load_explicit(&kind->agreed, memory_order_relaxed) >= BELLS_AGREED;
}

#endif
