/* A random walk against a naive model (model.h). UNIT_STEPS sets the number of steps, UNIT_SEED the seed; the
 * seed is printed. `make check-model` takes ten million steps. */
#include "model.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state;

static uint32_t draw_random(uint32_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % below;
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

Test(model, a_random_walk_agrees_with_the_naive_model, .timeout = 1800, .fini = expect_no_contexts) {
    uint32_t steps = (uint32_t)setting("UNIT_STEPS", 1000000);
    uint64_t seed = setting("UNIT_SEED", (uint64_t)time(NULL));
    random_state = seed * 2 + 1;
    fprintf(stderr, "model: UNIT_SEED=%" PRIu64 " UNIT_STEPS=%" PRIu32 "\n", seed, steps);
    model_begin(steps, draw_random);
    for (uint32_t i = 0; i < steps; i++)
        model_step();
    struct model_counts counts = model_counts();
    cr_expect(counts.closed > steps / 10 && counts.refused > steps / 1000 && counts.flows > steps / 1000,
              "the walk got stuck: %u closes, %u refused, %u flows", counts.closed, counts.refused,
              counts.flows);
    model_end();
}
