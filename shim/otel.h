/* The option `otel`: OpenTelemetry's thread context (OTEP 4947) and process context (OTEP 4719), from which a
 * profiler reads, from outside, which trace and span each thread of an unmodified program works for.
 *
 * A thread's record belongs to it alone. Readers look only while the thread is stopped or interrupted, so
 * compilers' fences are enough. States of the thread's pointer: NULL: in no context, in one that is in doubt,
 * or about to be in another; else its record, whole. `valid` is always 1: the pointer tells. */
#ifndef SHIM_OTEL_H
#define SHIM_OTEL_H

#include "thread.h"

enum { OTEL_TEXT = 255 };

/* As the OTEP has it: packed, in the machine's own byte order; 2-byte aligned. */
struct otel_record {
    uint8_t trace_id[16], span_id[8]; /* as in a traceparent, most significant byte first */
    uint8_t valid, flags;
    uint16_t attributes_size; /* bytes, of what follows: one attribute */
    uint8_t key, length;
    char text[OTEL_TEXT]; /* the stack of operations, UTF-8 */
};

/* Attributes by their keys: the process context lists the names. */
#define OTEL_ATTRIBUTE "ctxshim.context"

/* Publishes the process context: at start-up, and in a fork child, which has not inherited that. */
void otel_publish(void);

/* What is current may have changed. */
void otel_show(struct thread *thread);
/* The thread ends. */
void otel_thread_end(struct thread *thread);

/* Sets this thread's pointer (otel_slot.c). */
void otel_attach(const struct otel_record *record);

#endif
