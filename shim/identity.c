/* Ids: see identity.h. */
#include "identity.h"

#include "../ctxstore/kernel.h"
#include "environment.h"
#include "options.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { SAMPLED = 1, RANDOM = 2 };

struct id_seeds identity_seeds;
static uint64_t incoming_high, incoming_low;

/* Random, or what comes near in a sandbox that has nothing so. */
static uint64_t draw(void) {
    uint64_t number = 0;
    struct timespec now = {0};
    if (kernel_call(SYS_getrandom, (long)&number, sizeof number, GRND_NONBLOCK, 0, 0, 0) != sizeof number) {
        kernel_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
        number = id_mix((uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec ^ (uint64_t)kernel_pid() << 44);
    }
    return number != 0 ? number : 1;
}

static uint64_t number_of(const char digits[16]) {
    uint64_t number = 0;
    for (int i = 0; i < 16; i++)
        number = number << 4 | (uint64_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
    return number;
}

static void digits_of(uint64_t number, char digits[16]) {
    for (int i = 15; i >= 0; i--, number >>= 4)
        digits[i] = "0123456789abcdef"[number & 15];
}

void identity_start(void) {
    if (!options.otel && options.trace[0] == '\0' && !incoming.traced)
        return;
    identity_seeds.of[0] = (struct id_seed){0, draw()};
    if (incoming.traced) {
        incoming_high = number_of(incoming.parent.trace_id);
        incoming_low = number_of(incoming.parent.trace_id + 16);
    }
}

void identity_forked(void) {
    struct id_seed *seeds = identity_seeds.of;
    if (seeds[0].number == 0)
        return;
    memmove(seeds + 1, seeds, (ID_SEEDS - 1) * sizeof *seeds);
    seeds[0] = (struct id_seed){context_serials_anew(), draw()};
}

/* What has a span of its own on the timeline: roots, and operations that were pushed. */
static bool has_span(const struct context *node) {
    return node->kind == CONTEXT_ROOT || (node->kind == CONTEXT_OPERATION && node->scoped);
}

static uint64_t serial_of(const struct context *context) {
    return atomic_load_explicit(&context->serial, memory_order_relaxed);
}

bool identity_of(const struct context *context, struct identity *identity) {
    const struct context *span = context;
    while (span != NULL && !has_span(span))
        span = span->parent;
    if (span == NULL || context_certainty(context) == CONTEXT_IS_AMBIGUOUS)
        return false;
    const struct context *root = context_root_of(span);
    uint64_t serial = serial_of(span), trace = root != NULL ? serial_of(root) : serial;
    uint64_t seed = id_seed_of(&identity_seeds, serial), trace_seed = id_seed_of(&identity_seeds, trace);
    if (seed == 0 || trace_seed == 0)
        return false;
    *identity = (struct identity){id_trace_high(trace_seed), id_trace_low(trace_seed, trace),
                                  id_span(seed, ID_OF_SPAN, serial), SAMPLED | RANDOM};
    if (incoming.traced) {
        identity->trace_high = incoming_high;
        identity->trace_low = incoming_low;
        identity->flags = incoming.parent.flags;
    }
    return true;
}

void identity_format(const struct identity *identity, struct traceparent *parent) {
    digits_of(identity->trace_high, parent->trace_id);
    digits_of(identity->trace_low, parent->trace_id + 16);
    digits_of(identity->span, parent->span_id);
    parent->flags = identity->flags;
}
