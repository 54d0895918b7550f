/* The file of a trace, as the shim maps it and `ctxshim trace` reads it: while the process runs, after it
 * ended, crashed or was killed.
 *
 *      header (a page) | ring of thread A | ring of thread B | ...
 *
 * A ring is one thread's; it keeps the latest `slots` of what that did, and the position of the next tells
 * how much was overwritten. Slot states, which only its thread changes: number 0: being written; number and
 * check of position P (P + 1, and its low half): whole. The check lies at the end and is cleared first, so
 * that whoever copies a slot from its beginning to its end sees that it was changed meanwhile. A thread that
 * ends gives its ring to the next that begins, and each slot says whose it is.
 *
 * A context is an event's serial; TRACE_NAME says once, and again before that is overwritten, what it is
 * called. Everything is host-endian; a reader believes nothing: sizes and numbers are checked there. */
#ifndef SHIM_TRACEFILE_H
#define SHIM_TRACEFILE_H

#include "span_ids.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MARK "ctxshim trace"
enum {
    TRACE_VERSION = 2,
    TRACE_HEADER = 4096,
    TRACE_RINGS = 128,
    TRACE_SLOTS_LEAST = 256,
    TRACE_SLOTS_MOST = 1 << 20,
    TRACE_EXE = 256,
    TRACE_PARENT = 56,
    TRACE_TEXT = 12, /* of a name, in its event; the rest follows in TRACE_MORE */
    TRACE_MORE_TEXT = 44,
    TRACE_MORE_MOST = 6,
    TRACE_NAME_MOST = TRACE_TEXT + TRACE_MORE_MOST * TRACE_MORE_TEXT
};

struct trace_header {
    char mark[16];
    uint32_t version;
    int32_t pid;
    uint32_t slots;                     /* of each ring; a power of two */
    _Atomic uint32_t rings;             /* handed out so far */
    uint64_t realtime;                  /* nanoseconds of CLOCK_REALTIME and... */
    uint64_t monotonic;                 /* ... of CLOCK_MONOTONIC, at the same moment */
    _Atomic uint64_t missed;            /* events of threads that found no ring */
    char exe[TRACE_EXE];                /* ends with NUL */
    char traceparent[TRACE_PARENT];     /* what the process was started with, or "" */
    struct id_seeds seeds;              /* of which ids are made */
    _Atomic uint64_t next[TRACE_RINGS]; /* position of each ring's next event */
};

enum trace_type {
    TRACE_MORE = 1, /* more of the text before it */
    TRACE_THREAD,   /* text: the thread's name */
    TRACE_NAME,     /* context: is called text, and belongs to the root `other` (0: none) */
    TRACE_ROOT,     /* context: a request or connection begins; text; `other`: the root around it */
    TRACE_ANSWER,   /* context: an answer to this request was written */
    TRACE_END,      /* context: a root is over, or a scope that was left open */
    TRACE_PUSH,     /* context: a scope begins; text; `other`: its root */
    TRACE_POP,      /* context: it ends */
    TRACE_ADOPT,    /* context is current now; evidence */
    TRACE_FROM,     /* what it came from: carrier, fd, by */
    TRACE_LEAVE,    /* a frame ends: context is current again */
    TRACE_CAPTURE,  /* context is left with a carrier; carrier, fd */
    TRACE_ATTACH,   /* the program itself made context current */
    TRACE_LINK,     /* context is in doubt: it may belong to the root `other`, too */
};

enum { TRACE_NO_CARRIER = 255 };

struct trace_slot {
    _Atomic uint64_t number;
    uint8_t type;     /* enum trace_type */
    uint8_t evidence; /* enum evidence */
    uint8_t carrier;  /* enum file_kind */
    uint8_t more;     /* how many TRACE_MORE follow */
    int32_t tid;
    union {
        struct __attribute__((packed, aligned(4))) {
            uint64_t time; /* nanoseconds of CLOCK_MONOTONIC */
            uint64_t context, other;
            int32_t fd, by;
            char text[TRACE_TEXT]; /* the rest is zero; without an end mark when it is full */
        };
        char more_text[TRACE_MORE_TEXT];
    };
    _Atomic uint32_t check;
};

static_assert(sizeof(struct trace_slot) == 64, "a slot is a cache line");
static_assert(sizeof(struct trace_header) <= TRACE_HEADER, "the header is a page");

#endif
