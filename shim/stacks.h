/* Stacks that coroutines run on, found by any address inside: a search tree (a treap: as a binary tree by
 * address, as a heap by a hash of it, so that it stays shallow whatever the order). Ranges never overlap.
 *
 * Nothing here locks: who calls holds the lock that guards the root. */
#ifndef SHIM_STACKS_H
#define SHIM_STACKS_H

#include <stdint.h>

struct stack_range {
    struct stack_range *left, *right;
    uintptr_t low, high; /* [low, high) */
};

void stacks_add(struct stack_range **root, struct stack_range *stack);
/* Does nothing when it is not in the tree. */
void stacks_remove(struct stack_range **root, struct stack_range *stack);
/* The one with the highest addresses among those that begin below `address`; NULL: none does. */
struct stack_range *stacks_below(struct stack_range *root, uintptr_t address);
/* The lowest that begins at `address` or above. */
struct stack_range *stacks_from(struct stack_range *root, uintptr_t address);

#endif
