/* Where a flow's context came from: which evidence gave it (design, "which evidence wins"), over what
 * carrier, and since when. Kept for the latest adoption of each dispatch frame, and read from outside
 * (census.h). */
#ifndef SHIM_PROVENANCE_H
#define SHIM_PROVENANCE_H

#include <stdint.h>
#include <time.h>

/* Why a frame's context is what it is, weakest first. The words are those of `ctxshim ps`. */
#define EVIDENCES(ROW)                                                                                       \
    ROW(EVIDENCE_NONE, "nothing")    /* nothing is known: the loop's base */                                 \
    ROW(EVIDENCE_START, "start")     /* F1: inherited when the thread was started */                         \
    ROW(EVIDENCE_PENDING, "pending") /* F8: a write that goes on with what this descriptor's owner began */  \
    ROW(EVIDENCE_EVENT, "event")     /* the event that opened the frame */                                   \
    ROW(EVIDENCE_READ, "read")       /* bytes that were read */                                              \
    ROW(EVIDENCE_RESPONSE, "response") /* E4: a write to a connection that waits for its answer */           \
    ROW(EVIDENCE_BYTES, "bytes")       /* E10: the very bytes of a request are sent on */
enum evidence {
#define EVIDENCE_ROW(name, word) name,
    EVIDENCES(EVIDENCE_ROW)
#undef EVIDENCE_ROW
};

struct provenance {
    enum evidence evidence;
    int carrier;    /* enum file_kind of what it came over; -1: no descriptor */
    int fd;         /* its first descriptor */
    int by;         /* the thread that handed it over; 0: not known */
    uint64_t since; /* nanoseconds of CLOCK_MONOTONIC_COARSE */
};

/* Some milliseconds coarse and some nanoseconds cheap: it is read from memory that the kernel shares. */
static inline uint64_t provenance_clock(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
