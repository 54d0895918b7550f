/* Keys: see key.h. */
#include "key.h"

#include "slab.h"
#include "watch.h"

#include <string.h>

struct key_name {
    size_t length;
    char text[];
};

static struct slab keys = SLAB(sizeof(struct key));
static _Atomic uint32_t numbers;

static struct key_name *name_new(const char *text) {
    size_t length = strlen(text);
    struct key_name *name = block_take(sizeof *name + length + 1);
    if (name != NULL) {
        name->length = length;
        memcpy(name->text, text, length + 1);
    }
    return name;
}

static void name_give(struct key_name *name) {
    block_give(name, sizeof *name + name->length + 1);
}

/* A key's memory keeps its number when it serves as another key later. */
struct key *key_create(const char *name, void (*destroy)(void *value)) {
    struct key_name *copy = name_new(name);
    if (copy == NULL)
        return NULL;
    struct key *key = slab_take(&keys);
    if (key == NULL) {
        name_give(copy);
        return NULL;
    }
    if (key->number == 0)
        key->number = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
    atomic_store_explicit(&key->references, 1, memory_order_relaxed);
    key->destroy = destroy;
    key->name = copy;
    return key;
}

static void drop(struct key *key, uint32_t count) {
    if (count == 0 || atomic_fetch_sub_explicit(&key->references, count, memory_order_acq_rel) != count)
        return;
    name_give(key->name);
    slab_give(&keys, key);
}

static void stock_return(struct key_stock *stock) {
    struct key_stock had = *stock;
    *stock = (struct key_stock){0};
    if (had.key != NULL)
        drop(had.key, had.count);
}

/* The caller has a hold on the key. */
void key_retain_slow(struct key *key) {
    (void)local_beside();
    struct key_stock *stock = key_stock_of(key);
    uint32_t count = stock != NULL ? KEY_STOCK : 1;
    atomic_fetch_add_explicit(&key->references, count, memory_order_relaxed);
    if (stock == NULL)
        return;
    if (stock->key != key)
        stock_return(stock);
    *stock = (struct key_stock){key, stock->count + count - 1};
}

void key_release_slow(struct key *key) {
    drop(key, 1);
}

void key_destroy(struct key *key) {
    struct key_stock *stock = key_stock_of(key);
    watch_remove_all(key);
    if (stock != NULL && stock->key == key)
        stock_return(stock);
    drop(key, 1);
}

void key_thread_end(void) {
    for (unsigned i = 0; i < KEY_STOCKS; i++)
        stock_return(&local.beside->keys[i]);
}

const char *key_name(const struct key *key) {
    return key->name->text;
}
