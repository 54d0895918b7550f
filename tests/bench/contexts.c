/* The contexts that the rows work on. A benchmark of wrong answers is worth nothing: each value is looked at
 * before a row is measured, and again afterwards. */
#include "bench.h"

enum { SKIPPED_LIMIT = 64 };

ctxshim_key *keys[KEYS_LIMIT];
ctxshim_context *contexts[CONTEXTS];
char value_cells[CONTEXTS + 1][KEYS_LIMIT];
static ctxshim_scope first;

static void check(size_t key_count) {
    for (size_t c = 0; c < CONTEXTS; c++) {
        ctxshim_scope scope = ctxshim_attach(contexts[c]);
        for (size_t k = 0; k < key_count; k++) {
            if (ctxshim_get(keys[k]) != &value_cells[c][k])
                complain("a context has lost a value");
        }
        ctxshim_pop(&scope);
    }
}

/* Which keys a program has, by number, and where they lie is chance: it shall not be the same in every run.
 */
static void skip_keys(void) {
    for (long i = random() % SKIPPED_LIMIT; i > 0; i--)
        ctxshim_key_destroy(ctxshim_key_create("other", NULL));
}

void contexts_make(size_t key_count) {
    skip_keys();
    for (size_t k = 0; k < key_count; k++) {
        keys[k] = ctxshim_key_create("key", NULL);
        if (keys[k] == NULL)
            complain("no key");
    }
    for (size_t c = 0; c < CONTEXTS; c++) {
        ctxshim_scope scope = ctxshim_push("request");
        for (size_t k = 0; k < key_count; k++) {
            if (ctxshim_set(keys[k], &value_cells[c][k]) != 0)
                complain("a key did not take its value");
        }
        contexts[c] = ctxshim_capture();
        ctxshim_pop(&scope);
    }
    check(key_count);
    first = ctxshim_attach(contexts[0]);
}

void contexts_drop(size_t key_count) {
    check(key_count);
    ctxshim_pop(&first);
    for (size_t c = 0; c < CONTEXTS; c++)
        ctxshim_release(contexts[c]);
    for (size_t k = 0; k < key_count; k++)
        ctxshim_key_destroy(keys[k]);
}
