/* What all ways of the logical-stack example (C28) have in common: how a line is written. */
#ifndef DEMO_LOGICAL_STACK_H
#define DEMO_LOGICAL_STACK_H

#include <ctxshim.h>
#include <stdio.h>

/* Nobody tells it whose line it is: it asks. */
static inline void say(const char *what) {
    char stack[64];
    ctxshim_stack(stack, sizeof stack);
    printf("%s: %s\n", stack, what);
}

#endif
