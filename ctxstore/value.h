/* Values, and when they are destroyed.
 *
 * A key owns its values: each value taken is destroyed once, after the last context that holds it is
 * gone. *When* that runs is a promise (design: "nothing leaks", duty 4): a dying value goes to the
 * graveyard of the thread that dropped it, and graveyard_bury destroys it from a place where the
 * program's code may run: an API call, a blocking wait, the thread's end; never inside another hook. */
#ifndef CTXSTORE_VALUE_H
#define CTXSTORE_VALUE_H

#include "key.h"
#include "local.h"

#include <stdbool.h>
#include <stddef.h>

/* 24 bytes: with the node of the context that it was set in, 64. */
struct value {
    union {
        _Atomic uint32_t references;
        struct value *next; /* in a graveyard: nobody refers to it any longer */
    };
    struct key *key; /* a reference */
    void *data;
};

/* A new value with one reference, or NULL without memory. */
struct value *value_new(struct key *key, void *data);
/* Takes back a value that nobody has seen: `data` stays the caller's. */
void value_undo(struct value *value);
static inline void value_retain(struct value *value) {
    atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
}
void value_release(struct value *value);

/* Told of each value that is taken (alive), and of each that has been destroyed or was never seen. NULL:
 * nobody wants to know. Set once at start-up. */
extern void (*value_watch)(const struct value *value, bool alive);

/* Called around each call of the program's code (destroy, changed) that the store makes; what the first
 * returns, the second gets. NULL: nothing to do. Set once at start-up. */
extern int (*host_code_begin)(void);
extern void (*host_code_end)(int kept);

/* Destroys what this thread has dropped. Runs the program's code: no lock of ours may be held. */
void graveyard_bury(void);
static inline bool graveyard_empty(void) {
    return local.graveyard == NULL;
}
/* In a fork child: what the copied thread had dropped is the parent's to destroy. */
void graveyard_forget(void);
/* A stone is a value without a key. While it lies there, nothing that was dropped before is destroyed; and
 * the graveyard is not empty, so that whoever comes by in this thread looks why (shim/interruption.h). */
void graveyard_stone_set(struct value *stone);
void graveyard_stone_take(struct value *stone);

void value_thread_end(void);

#endif
