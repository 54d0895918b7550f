/* Keys: what values are found by.
 *
 * A key has a small number, by which maps are ordered (values.h). Its memory keeps it for the next key that
 * is made in it, so numbers lie as close together as there ever were keys at once; and since that happens
 * only when the last value of this key is gone, no map ever holds two keys of one number. */
#ifndef CTXSTORE_KEY_H
#define CTXSTORE_KEY_H

#include <stdatomic.h>
#include <stdint.h>

struct key_name;

struct key {
    void (*destroy)(void *value);
    _Atomic uint32_t references; /* one of its creator, one of each value */
    uint32_t number;             /* from 1 */
    struct key_name *name;
};

/* A new key, or NULL without memory. `destroy` may be NULL. The name is copied. */
struct key *key_create(const char *name, void (*destroy)(void *value));
/* The caller's hold on the key ends; values that live keep theirs. */
void key_destroy(struct key *key);
const char *key_name(const struct key *key);

/* A value's hold on its key. */
static inline void key_retain(struct key *key) {
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
}
void key_release(struct key *key);

#endif
