/* Values and the graveyard: see value.h. */
#include "value.h"

#include "slab.h"

static struct slab values = SLAB(sizeof(struct value));

void (*value_watch)(const struct value *value, bool alive);

struct value *value_new(struct key *key, void *data) {
    struct value *value = slab_cache_take(&local.values, &values);
    if (value == NULL)
        return NULL;
    key_retain(key);
    value->key = key;
    value->data = data;
    atomic_store_explicit(&value->references, 1, memory_order_relaxed);
    if (__builtin_expect(value_watch != NULL, 0))
        value_watch(value, true);
    return value;
}

void value_undo(struct value *value) {
    if (__builtin_expect(value_watch != NULL, 0))
        value_watch(value, false);
    key_release(value->key);
    slab_cache_give(&local.values, &values, value);
}

/* Who sees 1 is the only holder, and nobody else can gain a reference from nothing. */
void value_release(struct value *value) {
    if (atomic_load_explicit(&value->references, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&value->references, 1, memory_order_acq_rel) != 1)
        return;
    if (value->key->destroy == NULL) {
        value_undo(value);
        return;
    }
    value->next = local.graveyard;
    local.graveyard = value;
}

int (*host_code_begin)(void);
void (*host_code_end)(int kept);

/* A value is off the list before its destroy runs: that may call us again. */
void graveyard_bury(void) {
    while (local.graveyard != NULL && local.graveyard->key != NULL) {
        struct value *value = local.graveyard;
        local.graveyard = value->next;
        int kept = host_code_begin != NULL ? host_code_begin() : 0;
        value->key->destroy(value->data);
        if (host_code_end != NULL)
            host_code_end(kept);
        value_undo(value);
    }
}

void graveyard_forget(void) {
    struct value **place = &local.graveyard;
    while (*place != NULL) {
        struct value *value = *place;
        if (value->key == NULL) {
            place = &value->next;
            continue;
        }
        *place = value->next;
        value_undo(value);
    }
}

void graveyard_stone_set(struct value *stone) {
    stone->key = NULL;
    stone->next = local.graveyard;
    local.graveyard = stone;
}

void graveyard_stone_take(struct value *stone) {
    struct value **place = &local.graveyard;
    while (*place != NULL && *place != stone)
        place = &(*place)->next;
    if (*place != NULL)
        *place = stone->next;
}

void value_thread_end(void) {
    slab_cache_end(&local.values, &values);
}
