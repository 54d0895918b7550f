/* Values that are alive, kept with `leaks`, so that it can be said at the end which of them nothing reaches
 * any longer: no flow, and no carrier of work that goes on.
 *
 * States of a slot: NULL, free; a value, whose owner alone frees it again. `site` is written by whoever took
 * the slot. A full neighbourhood leaves a value out. */
#include "leaks.h"

#include "../ctxstore/kernel.h"
#include "census.h"
#include "text.h"

struct alive {
    _Atomic(const struct value *) value;
    uint16_t site;
    bool reached;
};
enum { ALIVE_MOST = 1 << 14, ALIVE_PROBES = 64, NAME_MOST = 200 };

static struct alive *alive;

static struct alive *slot_of(const struct value *value, unsigned probe) {
    uint64_t hash = (uint64_t)(uintptr_t)value * UINT64_C(0x9E3779B97F4A7C15) >> 40;
    return &alive[(hash + probe) % ALIVE_MOST];
}

static void taken(const struct value *value) {
    for (unsigned probe = 0; probe < ALIVE_PROBES; probe++) {
        struct alive *slot = slot_of(value, probe);
        const struct value *none = NULL;
        if (!atomic_compare_exchange_strong(&slot->value, &none, value))
            continue;
        slot->site = origin_here().site;
        slot->reached = false;
        return;
    }
}

static struct alive *alive_find(const struct value *value) {
    for (unsigned probe = 0; probe < ALIVE_PROBES; probe++)
        if (atomic_load(&slot_of(value, probe)->value) == value)
            return slot_of(value, probe);
    return NULL;
}

static void watch(const struct value *value, bool is_alive) {
    if (is_alive) {
        taken(value);
        return;
    }
    struct alive *slot = alive_find(value);
    if (slot != NULL)
        atomic_store(&slot->value, NULL);
}

void leaks_values_start(void) {
    alive = kernel_map(ALIVE_MOST * sizeof *alive);
    if (alive != NULL)
        value_watch = watch;
}

/* What the parent has, it has to destroy; and who held it there may not be here. */
void leaks_values_forked(void) {
    for (unsigned i = 0; alive != NULL && i < ALIVE_MOST; i++)
        if (atomic_load(&alive[i].value) != NULL)
            alive[i].reached = true;
}

/* --- what is reached ------------------------------------------------------------------------------- */

static void reach_value(const struct values *value) {
    struct alive *slot = value != NULL ? alive_find((const struct value *)(const void *)value) : NULL;
    if (slot != NULL)
        slot->reached = true;
}

/* A map is no deeper than its numbers have bits. */
static void reach_map(const struct memory *memory, const struct values *values, unsigned depth) {
    struct branch head;
    struct values *entries[BRANCH_MOST];
    if (!values_is_branch(values)) {
        reach_value(values);
        return;
    }
    const struct branch *branch = values_branch(values);
    if (depth == VALUES_DEEPEST || !memory_copy(memory, &head, branch, sizeof head) ||
        head.count > BRANCH_MOST ||
        !memory_copy(memory, entries, branch->entry, head.count * sizeof *entries))
        return;
    for (unsigned i = 0; i < head.count; i++)
        reach_map(memory, entries[i], depth + 1);
}

static bool reach_node(const struct context *at, const struct context *copy, void *arg) {
    (void)at;
    reach_map(arg, copy->values, 0);
    return true;
}

static void reach_holding(const struct holding *holding, void *arg) {
    const struct memory *memory = arg;
    struct request_view view;
    if (holding->gone != NULL || holding->kind == HOLDER_CAPTURE ||
        (!holding_works(holding->kind) && holding->kind != HOLDER_SEEN &&
         context_peek_request(memory, holding->at, &view) && view.since != 0))
        return;
    context_peek_path(memory, holding->at, reach_node, arg);
}

static void reach_frames(struct memory *memory) {
    const struct thread *record = atomic_load_explicit(&thread_records, memory_order_acquire);
    for (; record != NULL; record = record->next)
        for (unsigned i = 0; i < record->depth && i < FRAMES_DEEPEST && record->tid != 0; i++)
            context_peek_path(memory, &record->frames[i].before, reach_node, memory);
}

/* --- at the end ------------------------------------------------------------------------------------ */

static void note(const struct alive *slot) {
    const struct value *value = atomic_load(&slot->value);
    char about[NAME_MOST];
    struct text text = text_in(about, sizeof about);
    text_put(&text, "a value of key '");
    text_put(&text, key_name(value->key));
    text_put(&text, "', which nothing reaches any longer");
    text_end(&text);
    leaks_note(&(struct leak){.kind = LEAK_VALUE, .site = slot->site, .operations = "", .about = about});
}

void leaks_values_left(void) {
    struct memory memory = memory_of(process_pid());
    if (alive == NULL)
        return;
    holders_take(&memory, &census_mark.holders, reach_holding, &memory);
    reach_frames(&memory);
    for (const struct value *value = local.graveyard; value != NULL; value = value->next)
        reach_value((const struct values *)(const void *)value);
    for (unsigned i = 0; i < ALIVE_MOST; i++)
        if (atomic_load(&alive[i].value) != NULL && !alive[i].reached)
            note(&alive[i]);
}
