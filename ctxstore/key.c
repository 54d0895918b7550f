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

void key_release(struct key *key) {
    if (atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) != 1)
        return;
    name_give(key->name);
    slab_give(&keys, key);
}

void key_destroy(struct key *key) {
    watch_remove_all(key);
    key_release(key);
}

const char *key_name(const struct key *key) {
    return key->name->text;
}
