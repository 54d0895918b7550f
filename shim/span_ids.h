/* Ids of traces and spans, as the W3C and OpenTelemetry have them. They are made of a context's serial and a
 * number that its process drew at random: nothing is kept for them, and whoever reads the timeline (`ctxshim
 * trace --format=otlp`) finds the same ones as the process gave to its children and to profilers.
 *
 * A fork child draws a number of its own for what it makes from then on. What it inherited keeps its ids; so
 * there is a list of who drew which number, and from which serial on it holds. */
#ifndef SHIM_SPAN_IDS_H
#define SHIM_SPAN_IDS_H

#include <stdbool.h>
#include <stdint.h>

enum { ID_SEEDS = 8 };

struct id_seed {
    uint64_t from;   /* the first serial that it is for */
    uint64_t number; /* 0: there are no more */
};
/* The newest first; of a deeper family of forks, the oldest are forgotten. */
struct id_seeds {
    struct id_seed of[ID_SEEDS];
};

enum id_of { ID_OF_SPAN = 1, ID_OF_SLICE };

/* A number that looks random, and is the same each time (Stafford's variant 13). */
static inline uint64_t id_mix(uint64_t value) {
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

/* What was drawn by the process that made this serial; 0: it is not known. */
static inline uint64_t id_seed_of(const struct id_seeds *seeds, uint64_t serial) {
    for (int i = 0; i < ID_SEEDS; i++)
        if (serial >= seeds->of[i].from)
            return seeds->of[i].number;
    return 0;
}

/* The halves of the trace that a root begins; the second is the random one. */
static inline uint64_t id_trace_high(uint64_t seed) {
    return seed | 1;
}
static inline uint64_t id_trace_low(uint64_t seed, uint64_t root) {
    return id_mix(seed + root);
}

/* Never 0. */
static inline uint64_t id_span(uint64_t seed, enum id_of kind, uint64_t number) {
    return id_mix(seed ^ id_mix(number * 4 + kind)) | 1;
}

#endif
