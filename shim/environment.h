/* The environment as a carrier (F14): CTXSHIM_CONTEXT, and the W3C's TRACEPARENT and BAGGAGE.
 *
 * CTXSHIM_CONTEXT is the stack of operations, outermost first, separated by commas, percent-encoded as a
 * baggage's values are (w3c.h) and the question mark too; a `?` alone says that what stands before it is not
 * for sure.
 *
 *      CTXSHIM_CONTEXT=conn#3,req#2,%E2%82%AC%20rates,?
 *
 * At start-up it becomes a root at the base of the main thread. What is wrong in any way is as if it were not
 * there. Without it a TRACEPARENT makes a root of its own, `trace#` and the trace's id. */
#ifndef SHIM_ENVIRONMENT_H
#define SHIM_ENVIRONMENT_H

#include "../ctxstore/context.h"
#include "w3c.h"

enum { ENVIRONMENT_TEXT = 2048 }; /* of CTXSHIM_CONTEXT, with its NUL: outermost operations that fit */
#define CONTEXT_VARIABLE "CTXSHIM_CONTEXT="
#define TRACE_VARIABLE "TRACEPARENT="
#define BAGGAGE_VARIABLE "BAGGAGE="
#define PRELOAD_VARIABLE "LD_PRELOAD="

/* What came in at start-up; written once, before there is a second thread. */
struct incoming {
    struct context *root; /* a reference, for as long as the process lives; NULL: nothing came */
    bool traced;
    struct traceparent parent;
    const char *library;         /* the name of the shim's file, without its folder */
    char trace[TRACEPARENT + 1]; /* as it came */
    char baggage[sizeof BAGGAGE_VARIABLE - 1 + BAGGAGE_ROOM]; /* to be given on; "": none */
};
extern struct incoming incoming;

/* The value of a variable ("NAME=") in an environment, or NULL. We run before libc's own start-up (-z
 * initfirst), which is what makes getenv work. */
const char *environment_get(char *const *environment, const char *variable);

void environment_start(char *const *environment, const char *library);

/* The text for a context, or the context for a text (a reference; NULL: none, or not a right one). */
void environment_write(const struct context *context, char text[ENVIRONMENT_TEXT]);
struct context *environment_read(const char *text);

#endif
