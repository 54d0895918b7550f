/* Which trace and span a context belongs to (span_ids.h). A root begins a trace, unless the process was
 * started in one (TRACEPARENT): then all of its work is part of that. The span is that of the innermost
 * operation, or of its request.
 *
 * What is in doubt has none: unknown rather than wrong. Written at start-up and in a fork child, constant
 * otherwise; all of it may be called from anywhere, a vfork child included. */
#ifndef SHIM_IDENTITY_H
#define SHIM_IDENTITY_H

#include "../ctxstore/context.h"
#include "span_ids.h"
#include "w3c.h"

struct identity {
    uint64_t trace_high, trace_low, span;
    unsigned flags; /* of a traceparent */
};

/* What this process and those before it drew; all zero when nobody asks for ids. */
extern struct id_seeds identity_seeds;

/* After environment_start. */
void identity_start(void);
/* In a fork child: what it makes from now on has ids of its own. */
void identity_forked(void);

/* False: it has none. */
bool identity_of(const struct context *context, struct identity *identity);
void identity_format(const struct identity *identity, struct traceparent *parent);

#endif
