/* A search tree of stacks: see stacks.h. */
#include "stacks.h"

#include <stddef.h>

static uint64_t weight_of(const struct stack_range *stack) {
    return (uint64_t)stack->low * UINT64_C(0x9E3779B97F4A7C15);
}

/* The new one takes the place of the first on its way that is lighter, and divides what was below it. */
void stacks_add(struct stack_range **root, struct stack_range *stack) {
    while (*root != NULL && weight_of(*root) >= weight_of(stack))
        root = stack->low < (*root)->low ? &(*root)->left : &(*root)->right;
    struct stack_range *rest = *root, **lower = &stack->left, **higher = &stack->right;
    *root = stack;
    while (rest != NULL) {
        if (rest->low < stack->low) {
            *lower = rest;
            lower = &rest->right;
            rest = rest->right;
        } else {
            *higher = rest;
            higher = &rest->left;
            rest = rest->left;
        }
    }
    *lower = *higher = NULL;
}

void stacks_remove(struct stack_range **root, struct stack_range *stack) {
    while (*root != NULL && *root != stack)
        root = stack->low < (*root)->low ? &(*root)->left : &(*root)->right;
    if (*root == NULL)
        return;
    struct stack_range *lower = stack->left, *higher = stack->right;
    while (lower != NULL && higher != NULL) {
        if (weight_of(lower) > weight_of(higher)) {
            *root = lower;
            root = &lower->right;
            lower = lower->right;
        } else {
            *root = higher;
            root = &higher->left;
            higher = higher->left;
        }
    }
    *root = lower != NULL ? lower : higher;
}

struct stack_range *stacks_below(struct stack_range *root, uintptr_t address) {
    struct stack_range *found = NULL;
    while (root != NULL) {
        if (root->low < address) {
            found = root;
            root = root->right;
        } else {
            root = root->left;
        }
    }
    return found;
}

struct stack_range *stacks_from(struct stack_range *root, uintptr_t address) {
    struct stack_range *found = NULL;
    while (root != NULL) {
        if (root->low >= address) {
            found = root;
            root = root->left;
        } else {
            root = root->right;
        }
    }
    return found;
}
