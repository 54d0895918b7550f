/* Keys: what values are found by.
 *
 * A key has a small number, by which maps are ordered (values.h). Its memory keeps it for the next key that
 * is made in it, so numbers lie as close together as there ever were keys at once; and since that happens
 * only when the last value of this key is gone, no map ever holds two keys of one number. */
#ifndef CTXSTORE_KEY_H
#define CTXSTORE_KEY_H

#include "local.h"

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

/* A value's hold on its key. Values of a few keys come and go all the time, on all threads: so each thread
 * takes references to a key KEY_STOCK at a time, as a flow does with a context (flow.h), and hands them out
 * and takes them back without an atomic operation. A key that was given up meanwhile keeps its memory for as
 * long. */
enum { KEY_STOCK = 1 << 8, KEY_STOCK_MOST = 1 << 12 };
void key_retain_slow(struct key *key);
void key_release_slow(struct key *key);
/* The place for a key's stock; NULL: this thread has none. */
static inline struct key_stock *key_stock_of(const struct key *key) {
    return local.beside != NULL ? &local.beside->keys[key->number % KEY_STOCKS] : NULL;
}
static inline void key_retain(struct key *key) {
    struct key_stock *stock = key_stock_of(key);
    if (stock != NULL && stock->key == key && stock->count > 0)
        stock->count--;
    else
        key_retain_slow(key);
}
static inline void key_release(struct key *key) {
    struct key_stock *stock = key_stock_of(key);
    if (stock != NULL && stock->key == key && stock->count < KEY_STOCK_MOST)
        stock->count++;
    else
        key_release_slow(key);
}
/* Gives back what this thread has in stock; it has some. */
void key_thread_end(void);

#endif
