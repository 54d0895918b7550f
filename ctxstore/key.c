/* Keys, values, maps and the graveyard: see key.h. */
#include "key.h"

#include "slab.h"

#include <errno.h>
#include <string.h>

struct key {
    _Atomic uint32_t references; /* one of its creator, one of each value */
    uint64_t serial;
    void (*destroy)(void *value);
    size_t name_length;
    char name[];
};

struct value {
    struct value *next; /* in a graveyard */
    struct key *key;
    void *data;
    _Atomic uint32_t references;
};

struct values {
    _Atomic uint32_t references;
    uint32_t count;
    struct value *entry[];
};

static _Atomic uint64_t key_serials = 1;
static struct slab value_slab = SLAB(sizeof(struct value));
_Thread_local struct value *graveyard;

static size_t key_size(size_t name_length) {
    return sizeof(struct key) + name_length + 1;
}

struct key *key_create(const char *name, void (*destroy)(void *value)) {
    size_t length = strlen(name);
    struct key *key = block_take(key_size(length));
    if (key == NULL)
        return NULL;
    atomic_store_explicit(&key->references, 1, memory_order_relaxed);
    key->serial = atomic_fetch_add_explicit(&key_serials, 1, memory_order_relaxed);
    key->destroy = destroy;
    key->name_length = length;
    memcpy(key->name, name, length + 1);
    return key;
}

static void key_release(struct key *key) {
    if (atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) == 1)
        block_give(key, key_size(key->name_length));
}

void key_destroy(struct key *key) {
    watch_remove_all(key);
    key_release(key);
}

const char *key_name(const struct key *key) {
    return key->name;
}

static struct value *value_new(struct key *key, void *data) {
    struct value *value = slab_take(&value_slab);
    if (value == NULL)
        return NULL;
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
    value->key = key;
    value->data = data;
    atomic_store_explicit(&value->references, 1, memory_order_relaxed);
    return value;
}

static void value_free(struct value *value) {
    key_release(value->key);
    slab_give(&value_slab, value);
}

static void value_release(struct value *value) {
    if (atomic_fetch_sub_explicit(&value->references, 1, memory_order_acq_rel) != 1)
        return;
    if (value->key->destroy == NULL) {
        value_free(value);
        return;
    }
    value->next = graveyard;
    graveyard = value;
}

int (*host_code_begin)(void);
void (*host_code_end)(int kept);

static int host_begin(void) {
    return host_code_begin != NULL ? host_code_begin() : 0;
}

static void host_end(int kept) {
    if (host_code_end != NULL)
        host_code_end(kept);
}

/* A value is off the list before its destroy runs: that may call us again. */
void graveyard_bury(void) {
    while (graveyard != NULL) {
        struct value *value = graveyard;
        graveyard = value->next;
        int kept = host_begin();
        value->key->destroy(value->data);
        host_end(kept);
        value_free(value);
    }
}

void graveyard_forget(void) {
    while (graveyard != NULL) {
        struct value *value = graveyard;
        graveyard = value->next;
        value_free(value);
    }
}

static size_t values_size(uint32_t count) {
    return sizeof(struct values) + count * sizeof(struct value *);
}

/* The first place whose key's serial is not below this key's. */
static uint32_t values_place(const struct values *values, const struct key *key) {
    uint32_t low = 0, high = values != NULL ? values->count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (values->entry[middle]->key->serial < key->serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct value *values_find(const struct values *values, const struct key *key) {
    uint32_t place = values_place(values, key);
    if (values == NULL || place == values->count || values->entry[place]->key != key)
        return NULL;
    return values->entry[place];
}

void *values_get(const struct values *values, const struct key *key) {
    struct value *value = values_find(values, key);
    return value != NULL ? value->data : NULL;
}

/* A copy of `values` in which the entry at `place` is left out (if `drop`) and `value` put in (if any). */
static struct values *values_copy(const struct values *values, uint32_t place, bool drop,
                                  struct value *value) {
    uint32_t old = values != NULL ? values->count : 0;
    uint32_t count = old - drop + (value != NULL);
    struct values *copy = block_take(values_size(count));
    if (copy == NULL)
        return NULL;
    atomic_store_explicit(&copy->references, 1, memory_order_relaxed);
    copy->count = count;
    uint32_t to = 0;
    for (uint32_t from = 0; from <= old; from++) {
        if (from == place && value != NULL)
            copy->entry[to++] = value;
        if (from == old || (from == place && drop))
            continue;
        struct value *kept = values->entry[from];
        atomic_fetch_add_explicit(&kept->references, 1, memory_order_relaxed);
        copy->entry[to++] = kept;
    }
    return copy;
}

enum values_change values_set(struct values *values, struct key *key, void *data, struct values **changed) {
    struct value *now = values_find(values, key);
    if ((now != NULL ? now->data : NULL) == data)
        return VALUES_SAME;
    *changed = NULL;
    if (data == NULL && values->count == 1)
        return VALUES_CHANGED;
    struct value *value = NULL;
    if (data != NULL && (value = value_new(key, data)) == NULL)
        return VALUES_NO_MEMORY;
    *changed = values_copy(values, values_place(values, key), now != NULL, value);
    if (*changed != NULL)
        return VALUES_CHANGED;
    if (value != NULL)
        value_free(value);
    return VALUES_NO_MEMORY;
}

void values_abandon(struct values *values, const struct key *key, bool value_is_new) {
    struct value *value = value_is_new ? values_find(values, key) : NULL;
    if (value != NULL)
        atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
    values_release(values);
    if (value != NULL)
        value_free(value);
}

struct values *values_retain(struct values *values) {
    if (values != NULL)
        atomic_fetch_add_explicit(&values->references, 1, memory_order_relaxed);
    return values;
}

void values_release(struct values *values) {
    if (values == NULL || atomic_fetch_sub_explicit(&values->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < values->count; i++)
        value_release(values->entry[i]);
    block_give(values, values_size(values->count));
}

/* --- watchers ------------------------------------------------------------------------------------ */

enum { WATCHES = 64, DEEPEST_NOTICE = 8 };

/* A row is free when its key is NULL. All of it is guarded by the lock; who gives notice takes a copy of
 * one row at a time, and calls with nothing held. */
static struct watch {
    struct key *key;
    void (*changed)(void *before, void *after, int switched, void *arg);
    void *arg;
} watches[WATCHES];
static struct lock watch_lock;
_Atomic uint32_t watch_count;

int watch_add(struct key *key, void (*changed)(void *before, void *after, int switched, void *arg),
              void *arg) {
    lock_take(&watch_lock);
    struct watch *row = watches;
    while (row < watches + WATCHES && row->key != NULL)
        row++;
    if (row < watches + WATCHES) {
        *row = (struct watch){key, changed, arg};
        atomic_fetch_add_explicit(&watch_count, 1, memory_order_relaxed);
    }
    lock_give(&watch_lock);
    return row < watches + WATCHES ? 0 : ENOMEM;
}

/* Empties each row of the key that has this `arg`, or any. Returns how many. */
static int watches_clear(const struct key *key, const void *arg, bool any) {
    int cleared = 0;
    if (!watch_any())
        return 0;
    lock_take(&watch_lock);
    for (struct watch *row = watches; row < watches + WATCHES; row++)
        if (row->key == key && (any || row->arg == arg)) {
            row->key = NULL;
            atomic_fetch_sub_explicit(&watch_count, 1, memory_order_relaxed);
            cleared++;
        }
    lock_give(&watch_lock);
    return cleared;
}

int watch_remove(const struct key *key, const void *arg) {
    return watches_clear(key, arg, false) > 0 ? 0 : ENOENT;
}

void watch_remove_all(const struct key *key) {
    watches_clear(key, NULL, true);
}

static struct watch watch_copy(const struct watch *row) {
    lock_take(&watch_lock);
    struct watch copy = *row;
    lock_give(&watch_lock);
    return copy;
}

void watch_notify(const struct values *before, const struct values *after, bool switched) {
    static _Thread_local unsigned depth; /* a watcher that sets its own key for ever is cut off */
    if (before == after || depth >= DEEPEST_NOTICE)
        return;
    depth++;
    for (const struct watch *row = watches; row < watches + WATCHES; row++) {
        struct watch watch = watch_copy(row);
        void *old = watch.key != NULL ? values_get(before, watch.key) : NULL;
        void *new = watch.key != NULL ? values_get(after, watch.key) : NULL;
        if (old == new)
            continue;
        int kept = host_begin();
        watch.changed(old, new, switched, watch.arg);
        host_end(kept);
    }
    depth--;
}
