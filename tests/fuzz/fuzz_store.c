/* Fuzzes the context store, alone (`make fuzz-store`): the input chooses the steps of the walk that the unit
 * tests take at random (tests/unit/model.h), and a model that copies everything says what each must lead to.
 */
#include "../unit/model.h"
#include "../unit/unit.h"

#include <stdlib.h>

enum { STEPS_AT_MOST = 4096 };

static const uint8_t *at, *end;

/* Two bytes a choice; behind the input's end always the first. */
static uint32_t draw_input(uint32_t below) {
    uint32_t number = 0;
    for (int i = 0; i < 2 && at < end; i++)
        number = number << 8 | *at++;
    return number % below;
}

void plain_add(struct plain_entry *entry) {
    (void)entry;
}

void plain_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    at = data;
    end = data + size;
    model_begin(STEPS_AT_MOST, draw_input);
    for (int i = 0; i < STEPS_AT_MOST && at < end; i++)
        model_step();
    model_end();
    return 0;
}
