/* Scopes: the public functions, which without the shim do nothing. */
#include "ctxshim.h"
#include "hooks.h"

static void push_and_pop(const char *name) {
    ctxshim_scope scope = ctxshim_push(name);
    ctxshim_pop(&scope);
}
static void short_name(void) {
    push_and_pop("twenty-four bytes of one");
}
static void long_name(void) {
    push_and_pop(
        "a name of two hundred bytes, which is what is left of a request line where its parameters are "
        "taken in, too: /search?first=0123456789&second=0123456789&third=0123456789&fourth=0123456789 "
        "0123456789abc");
}

const struct hook_case hook_cases_scopes[] = {
    {"push and pop, name of 24 bytes", NULL, short_name, 0},
    {"push and pop, name of 200 bytes", NULL, long_name, 0},
    {0},
};
