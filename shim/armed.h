/* Callbacks that are armed (F6), for rules_callback.c and for whoever looks at them from outside (holders.h).
 */
#ifndef SHIM_ARMED_H
#define SHIM_ARMED_H

#include "rules.h"

struct armed {
    struct armed *next_call, *next_owner; /* in their rows */
    uint64_t serial;
    uintptr_t function;
    const void *value;
    enum callback_kind kind;
    uintptr_t owner;
    struct context *context; /* a reference */
    struct origin origin;    /* of whoever armed it */
};

enum { ARMED_ROWS = 256 };

/* Lists by `next_call`; type-stable. Under a lock there, but for looking at it as holders.h says. */
extern struct armed *armed_by_call[ARMED_ROWS];

#endif
