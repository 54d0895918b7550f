/* A naive model of flows, and the walk that takes the same steps on it and on the store.
 *
 * The model copies everything it derives, so it can share nothing by mistake. After each step both must agree
 * on the stack as text, on every key's value and on what a close answers; now and then also on how many
 * contexts are alive and which values were destroyed. Where the steps come from is the caller's: a random
 * number (test_model.c), or a fuzzer's input (tests/fuzz/).
 *
 * Closing a scope from around a detour that was opened inside it is left to test_flow.c, which does it in
 * every order. */
#ifndef TESTS_UNIT_MODEL_H
#define TESTS_UNIT_MODEL_H

#include <stdint.h>

/* Begins a walk of so many steps at most. `draw` chooses a number below its argument. */
void model_begin(uint32_t steps, uint32_t (*draw)(uint32_t below));
/* One step, and whether both still agree. */
void model_step(void);
/* All flows end, all contexts are released: every value must have been destroyed, once. */
void model_end(void);
/* How many closes succeeded, were refused, and how many flows there were: a walk may get stuck. */
struct model_counts {
    uint32_t closed, refused, flows;
};
struct model_counts model_counts(void);

#endif
