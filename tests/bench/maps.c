/* Which map for a context's values? `make bench-maps` measures ours (ctxstore/values.h) beside what it might
 * have been, at the same work in one run: a flat array, sorted by the keys' numbers, and a hash array mapped
 * trie (32 ways, compressed by a bitmap, as CPython's hamt.c and Clojure's maps are).
 *
 * The others get every advantage that ours has: values and blocks from the same caches, a map of a scope
 * borrows from the one before (what is copied is not counted), and the trie has the processor's bit count.
 * Links the store's own files; what the store costs as a program sees it is store.c's matter.
 *
 * Rows: get of the keys by turns, in seven maps by turns; a map like another with one value replaced, made
 * and dropped; what such a map takes. Medians of ROUNDS rounds, in which each map has its turn. */
#include "bench.h"

#include "../../ctxstore/context.h"
#include "../../ctxstore/slab.h"
#include "../../ctxstore/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAPS = 7, MOST = 1000, ROUNDS = 15, WORK = 200000, SPREAD = 37 };

static struct key *map_keys[MOST];
static size_t key_count;

/* --- the kinds: what each can do ------------------------------------------------------------------- */

/* A map with `value` under its key: made of parts of `before` and of new ones, which `*made` remembers. */
struct made {
    void *block[12];
    size_t size[12];
    unsigned count;
    struct values_edit edit; /* ours */
};

struct kind {
    const char *name;
    void *(*with)(void *before, struct key *key, void *data, struct made *made);
    void (*drop)(struct made *made);
    void *(*get)(const void *map, const struct key *key);
};

/* The store maps what is larger than a page anew each time; the flat array shall not suffer from that. */
enum { PAGE_SIZE = 4096 };

static void *block_made(struct made *made, size_t size) {
    void *block = size <= PAGE_SIZE ? block_take(size) : malloc(size);
    if (block == NULL)
        complain("no memory");
    made->block[made->count] = block;
    made->size[made->count++] = size;
    return block;
}

static struct value *value_made(struct made *made, struct key *key, void *data) {
    made->edit.value = value_new(key, data);
    return made->edit.value;
}

static void blocks_drop(struct made *made) {
    while (made->count > 0) {
        made->count--;
        if (made->size[made->count] <= PAGE_SIZE)
            block_give(made->block[made->count], made->size[made->count]);
        else
            free(made->block[made->count]);
    }
    value_undo(made->edit.value);
}

/* --- ours ------------------------------------------------------------------------------------------ */

static void *ours_with(void *before, struct key *key, void *data, struct made *made) {
    if (values_edit(before, false, key, data, &made->edit) != VALUES_CHANGED)
        complain("ours: no change");
    return made->edit.values;
}

static void ours_drop(struct made *made) {
    values_release(made->edit.values);
}

static void *ours_get(const void *map, const struct key *key) {
    return values_get(map, key);
}

/* --- a flat array: the numbers, sorted, and then the values ------------------------------------------- */

struct flat {
    uint32_t count;
    uint32_t number[];
};

static struct value **flat_values(const struct flat *flat) {
    return (struct value **)((char *)(uintptr_t)flat + (sizeof *flat + flat->count * 4 + 7) / 8 * 8);
}

static size_t flat_size(uint32_t count) {
    return (sizeof(struct flat) + count * 4 + 7) / 8 * 8 + count * sizeof(struct value *);
}

/* Where the number is or belongs: a few are gone through, more are halved. */
static inline uint32_t flat_place(const struct flat *flat, uint32_t number) {
    uint32_t low = 0, high = flat->count;
    while (high - low > 8) {
        uint32_t middle = (low + high) / 2;
        if (flat->number[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    while (low < high && flat->number[low] < number)
        low++;
    return low;
}

static void *flat_with(void *before, struct key *key, void *data, struct made *made) {
    static const struct flat none;
    const struct flat *from = before != NULL ? before : &none;
    uint32_t place = flat_place(from, key->number);
    bool there = place < from->count && from->number[place] == key->number;
    uint32_t rest = from->count - place - there;
    struct flat *flat = block_made(made, flat_size(from->count + !there));
    flat->count = from->count + !there;
    memcpy(flat->number, from->number, place * 4);
    memcpy(flat->number + place + 1, from->number + place + there, rest * 4);
    flat->number[place] = key->number;
    struct value **to = flat_values(flat), **old = flat_values(from);
    memcpy(to, old, place * sizeof *to);
    memcpy(to + place + 1, old + place + there, rest * sizeof *to);
    to[place] = value_made(made, key, data);
    return flat;
}

static void *flat_get(const void *map, const struct key *key) {
    const struct flat *flat = map;
    uint32_t place = flat != NULL ? flat_place(flat, key->number) : 0;
    bool there = flat != NULL && place < flat->count && flat->number[place] == key->number;
    return there ? flat_values(flat)[place]->data : NULL;
}

/* --- a hash array mapped trie --------------------------------------------------------------------- */

enum { TRIE_BITS = 5, TRIE_NODE = 1 };

struct trie {
    uint32_t bitmap;
    uintptr_t entry[]; /* a value, or a trie with TRIE_NODE added */
};

#if defined(__x86_64__)
#    define BIT_COUNT __attribute__((target("popcnt")))
#else
#    define BIT_COUNT
#endif

/* Of different numbers always different: no collisions to be dealt with. */
static inline uint32_t hash_of(uint32_t number) {
    return number * UINT32_C(0x9E3779B1) ^ (number * UINT32_C(0x9E3779B1)) >> 15;
}

static size_t trie_size(int count) {
    return sizeof(struct trie) + 4 + (size_t)count * sizeof(uintptr_t);
}

BIT_COUNT static void *trie_get(const void *map, const struct key *key) {
    uint32_t hash = hash_of(key->number);
    for (uintptr_t at = (uintptr_t)map; at & TRIE_NODE; hash >>= TRIE_BITS) {
        const struct trie *trie = (const struct trie *)(at - TRIE_NODE);
        uint32_t bit = UINT32_C(1) << (hash & 31);
        if (!(trie->bitmap & bit))
            return NULL;
        at = trie->entry[__builtin_popcount(trie->bitmap & (bit - 1))];
        if (!(at & TRIE_NODE)) {
            const struct value *value = (const struct value *)at;
            return value->key == key ? value->data : NULL;
        }
    }
    return NULL;
}

/* A trie for a value that is there and one that comes, whose hashes agree so far. */
BIT_COUNT static uintptr_t trie_pair(struct made *made, uintptr_t old, uint32_t old_hash, uintptr_t new,
                                     uint32_t new_hash) {
    uint32_t old_bit = UINT32_C(1) << (old_hash & 31), new_bit = UINT32_C(1) << (new_hash & 31);
    struct trie *trie = block_made(made, trie_size(old_bit == new_bit ? 1 : 2));
    trie->bitmap = old_bit | new_bit;
    if (old_bit == new_bit) {
        trie->entry[0] = trie_pair(made, old, old_hash >> TRIE_BITS, new, new_hash >> TRIE_BITS);
    } else {
        trie->entry[old_bit > new_bit] = old;
        trie->entry[old_bit < new_bit] = new;
    }
    return (uintptr_t)trie + TRIE_NODE;
}

BIT_COUNT static uintptr_t trie_put(struct made *made, const struct trie *from, unsigned shift, uint32_t hash,
                                    uintptr_t new) {
    uint32_t bit = UINT32_C(1) << (hash >> shift & 31);
    int count = __builtin_popcount(from->bitmap), place = __builtin_popcount(from->bitmap & (bit - 1));
    bool there = (from->bitmap & bit) != 0;
    struct trie *trie = block_made(made, trie_size(count + !there));
    trie->bitmap = from->bitmap | bit;
    memcpy(trie->entry, from->entry, (size_t)place * sizeof *from->entry);
    memcpy(trie->entry + place + 1, from->entry + place + there,
           (size_t)(count - place - there) * sizeof *from->entry);
    uintptr_t old = there ? from->entry[place] : 0;
    if (old & TRIE_NODE) {
        new = trie_put(made, (const struct trie *)(old - TRIE_NODE), shift + TRIE_BITS, hash, new);
    } else if (there && ((struct value *)old)->key != ((struct value *)new)->key) {
        unsigned next = shift + TRIE_BITS;
        uint32_t old_hash = hash_of(((struct value *)old)->key->number);
        new = trie_pair(made, old, old_hash >> next, new, hash >> next);
    }
    trie->entry[place] = new;
    return (uintptr_t)trie + TRIE_NODE;
}

static void *trie_with(void *before, struct key *key, void *data, struct made *made) {
    static const struct trie none;
    const struct trie *from = before != NULL ? (const struct trie *)((uintptr_t)before - TRIE_NODE) : &none;
    uintptr_t value = (uintptr_t)value_made(made, key, data);
    return (void *)trie_put(made, from, 0, hash_of(key->number), value);
}

static const struct kind kinds[] = {
    {"radix tree (ours)", ours_with, ours_drop, ours_get},
    {"flat array", flat_with, blocks_drop, flat_get},
    {"hash array mapped trie", trie_with, blocks_drop, trie_get},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* --- the work -------------------------------------------------------------------------------------- */

static void *maps[MAPS];
static char datas[MAPS + 1][MOST];

/* Never taken down: what lies under a map lives as long as the program. */
static void maps_make(const struct kind *kind) {
    for (size_t m = 0; m < MAPS; m++) {
        maps[m] = NULL;
        for (size_t k = 0; k < key_count; k++) {
            struct made made = {.count = 0};
            maps[m] = kind->with(maps[m], map_keys[k], &datas[m][k], &made);
        }
        for (size_t k = 0; k < key_count; k++)
            if (kind->get(maps[m], map_keys[k]) != &datas[m][k])
                complain(kind->name);
    }
}

/* Of this thread's own time: others may have the processor meanwhile. */
static double own_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double time_get(const struct kind *kind) {
    size_t m = 0, k = 0;
    double began = own_time();
    for (size_t i = 0; i < WORK; i++) {
        keep(kind->get(maps[m], map_keys[k]));
        m = m + 1 < MAPS ? m + 1 : 0;
        k = k + 1 < key_count ? k + 1 : 0;
    }
    return (own_time() - began) / WORK;
}

static double time_with(const struct kind *kind) {
    size_t k = 0;
    double began = own_time();
    for (size_t i = 0; i < WORK / 4; i++) {
        struct made made;
        made.count = 0;
        keep(kind->with(maps[0], map_keys[k], &datas[MAPS][k], &made));
        kind->drop(&made);
        k = k + 1 < key_count ? k + 1 : 0;
    }
    return (own_time() - began) / (WORK / 4);
}

static size_t rounded(size_t size) {
    return size <= BLOCK_FINE ? (size + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP : size;
}

/* Of a context: its node, the value, and the blocks of its map; the mean of all keys. */
static double bytes_with(const struct kind *kind) {
    double sum = 0;
    for (size_t k = 0; k < key_count; k++) {
        struct made made = {.count = 0};
        kind->with(maps[0], map_keys[k], &datas[MAPS][k], &made);
        sum += CONTEXT_VALUE_SIZE + sizeof(struct value);
        for (unsigned i = 0; i < made.count; i++)
            sum += (double)rounded(made.size[i]);
        for (unsigned i = 0; kind == kinds && i < made.edit.count; i++)
            sum += (double)rounded(sizeof(struct branch) + made.edit.made[i]->count * sizeof(void *));
        kind->drop(&made);
    }
    return sum / (double)key_count;
}

static void measure_kinds(size_t count, const char *layout) {
    double gets[KINDS][ROUNDS], withs[KINDS][ROUNDS], bytes[KINDS];
    key_count = count;
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < KINDS; kind++) {
            maps_make(&kinds[kind]);
            bytes[kind] = bytes_with(&kinds[kind]);
            gets[kind][round] = time_get(&kinds[kind]);
            withs[kind][round] = time_with(&kinds[kind]);
        }
    for (int kind = 0; kind < KINDS; kind++)
        printf("| %-22s | %4zu %-8s | %6.1f | %7.1f | %6.0f |\n", kinds[kind].name, count, layout,
               median(gets[kind], ROUNDS), median(withs[kind], ROUNDS), bytes[kind]);
}

/* Keys made one after the other have numbers that lie close; in a program with many modules, a module's lie
 * apart from each other. */
static void keys_make(unsigned apart) {
    for (size_t k = 0; k < MOST; k++) {
        for (unsigned skipped = 1; skipped < apart; skipped++)
            (void)key_create("other", NULL);
        map_keys[k] = key_create("key", NULL);
        if (map_keys[k] == NULL)
            complain("no key");
    }
}

int main(void) {
    static const size_t counts[] = {1, 10, 100, MOST};
    printf("| map                    | keys          | get ns | with ns |  bytes |\n");
    printf("|------------------------|---------------|--------|---------|--------|\n");
    for (unsigned apart = 1; apart <= SPREAD; apart += SPREAD - 1) {
        keys_make(apart);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            measure_kinds(counts[i], apart == 1 ? "close" : "apart");
    }
    return 0;
}
