/* The map: see values.h.
 *
 * References of a branch: one of the context or branch that made it, one more of each that inherited it.
 * Who holds one may read it and count it up; nobody writes a branch once its context is current. */
#include "values.h"

#include "slab.h"

#include <string.h>

/* A map, and whether the one who gets it holds a reference. */
struct part {
    struct values *values;
    bool owned;
};
static const struct part NO_MEMORY = {(struct values *)UINTPTR_MAX, false};

static bool failed(struct part part) {
    return part.values == NO_MEMORY.values;
}

static size_t branch_size(unsigned count) {
    return sizeof(struct branch) + count * sizeof(struct values *);
}

static struct values *values_of(struct branch *branch) {
    return (struct values *)((uintptr_t)branch + VALUES_BRANCH);
}

/* The lowest number below this part, which is not empty. */
static uint32_t values_first(const struct values *values) {
    return values_is_branch(values) ? values_branch(values)->first
                                    : ((const struct value *)(uintptr_t)values)->key->number;
}

/* Would a branch of this shift that covers one of the numbers have a place for the other? */
static bool same_branch(uint32_t a, uint32_t b, unsigned shift) {
    return shift + BRANCH_BITS >= 32 || (a ^ b) >> (shift + BRANCH_BITS) == 0;
}

static struct branch *branch_new(struct values_edit *edit, uint32_t first, unsigned shift, unsigned count) {
    struct branch *branch = block_take(branch_size(count));
    if (branch == NULL)
        return NULL;
    atomic_store_explicit(&branch->references, 1, memory_order_relaxed);
    branch->first = first >> shift << shift;
    branch->shift = (uint8_t)shift;
    branch->count = (uint8_t)count;
    branch->owned = 0;
    edit->made[edit->count++] = branch;
    return branch;
}

static void branch_put(struct branch *branch, uint32_t place, struct part part) {
    branch->entry[place] = part.values;
    branch->owned = (uint16_t)((branch->owned & ~(1U << place)) | (unsigned)part.owned << place);
}

/* A branch for two parts that have none in common yet. */
static struct part pair(struct values_edit *edit, struct part old, struct part new, uint32_t number) {
    uint32_t other = values_first(old.values);
    unsigned shift = values_is_branch(old.values) ? values_branch(old.values)->shift + BRANCH_BITS : 0;
    while (!same_branch(number, other, shift))
        shift += BRANCH_BITS;
    uint32_t low = number < other ? number : other, high = number < other ? other : number;
    unsigned count = (high >> shift) - (low >> shift) + 1;
    struct branch *branch = branch_new(edit, low, shift, count);
    if (branch == NULL)
        return NO_MEMORY;
    memset(branch->entry, 0, count * sizeof *branch->entry);
    branch_put(branch, branch_place(branch, other), old);
    branch_put(branch, branch_place(branch, number), new);
    return (struct part){values_of(branch), true};
}

/* A copy of a branch that has a place for `number` also. */
static struct branch *branch_copy(struct values_edit *edit, const struct branch *from, bool inherits,
                                  uint32_t number) {
    uint32_t place = number >> from->shift, first = from->first >> from->shift;
    uint32_t low = place < first ? place : first;
    uint32_t end = place >= first + from->count ? place + 1 : first + from->count;
    struct branch *copy = branch_new(edit, low << from->shift, from->shift, end - low);
    if (copy == NULL)
        return NULL;
    uint32_t before = first - low, behind = end - first - from->count;
    for (uint32_t i = 0; i < before; i++)
        copy->entry[i] = NULL;
    for (uint32_t i = 0; i < from->count; i++) /* a few words: no call */
        copy->entry[before + i] = from->entry[i];
    for (uint32_t i = 0; i < behind; i++)
        copy->entry[before + from->count + i] = NULL;
    copy->owned = inherits ? (uint16_t)(from->owned << before) : 0;
    return copy;
}

static struct part insert(struct values_edit *edit, struct part old, struct part new, uint32_t number) {
    if (old.values == NULL)
        return new;
    if (!values_is_branch(old.values))
        return values_first(old.values) == number ? new : pair(edit, old, new, number);
    const struct branch *from = values_branch(old.values);
    if (!same_branch(number, from->first, from->shift))
        return pair(edit, old, new, number);
    uint32_t place = branch_place(from, number);
    struct part below = {0};
    if (place < from->count)
        below = (struct part){from->entry[place], old.owned && (from->owned >> place & 1)};
    struct part changed = insert(edit, below, new, number);
    struct branch *copy = failed(changed) ? NULL : branch_copy(edit, from, old.owned, number);
    if (copy == NULL)
        return NO_MEMORY;
    branch_put(copy, branch_place(copy, number), changed);
    return (struct part){values_of(copy), true};
}

/* The place of the only entry but this one that is not empty; the count when there are several. */
static uint32_t only_other(const struct branch *branch, uint32_t place) {
    uint32_t only = branch->count;
    for (uint32_t i = 0; i < branch->count; i++) {
        if (i == place || branch->entry[i] == NULL)
            continue;
        if (only != branch->count)
            return branch->count;
        only = i;
    }
    return only;
}

/* A key that is there is left out: what was a branch of two is the one that stays. */
static struct part without(struct values_edit *edit, struct part old, uint32_t number) {
    if (!values_is_branch(old.values))
        return (struct part){0};
    const struct branch *from = values_branch(old.values);
    uint32_t place = branch_place(from, number);
    bool owned = old.owned && (from->owned >> place & 1);
    struct part changed = without(edit, (struct part){from->entry[place], owned}, number);
    if (failed(changed))
        return NO_MEMORY;
    uint32_t only = changed.values == NULL ? only_other(from, place) : from->count;
    if (only != from->count)
        return (struct part){from->entry[only], old.owned && (from->owned >> only & 1)};
    struct branch *copy = branch_copy(edit, from, old.owned, number);
    if (copy == NULL)
        return NO_MEMORY;
    branch_put(copy, place, changed);
    return (struct part){values_of(copy), true};
}

enum values_change values_edit(struct values *before, bool inherits, struct key *key, void *data,
                               struct values_edit *edit) {
    if (values_get(before, key) == data)
        return VALUES_SAME;
    edit->count = 0;
    edit->value = NULL;
    if (data != NULL && (edit->value = value_new(key, data)) == NULL)
        return VALUES_NO_MEMORY;
    struct part old = {before, inherits}, changed;
    if (data != NULL)
        changed = insert(edit, old, (struct part){(struct values *)edit->value, true}, key->number);
    else
        changed = without(edit, old, key->number);
    if (failed(changed)) {
        values_undo(edit);
        return VALUES_NO_MEMORY;
    }
    edit->values = changed.values;
    edit->owned = changed.owned;
    return VALUES_CHANGED;
}

static void branch_free(struct branch *branch) {
    block_give(branch, branch_size(branch->count));
}

void values_undo(struct values_edit *edit) {
    while (edit->count > 0)
        branch_free(edit->made[--edit->count]);
    if (edit->value != NULL)
        value_undo(edit->value);
}

/* Who sees 1 is the only holder, and nobody else can gain a reference from nothing. */
static bool branch_drop(struct branch *branch) {
    return atomic_load_explicit(&branch->references, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&branch->references, 1, memory_order_acq_rel) == 1;
}

void values_release(struct values *values) {
    if (!values_is_branch(values)) {
        if (values != NULL)
            value_release((struct value *)values);
        return;
    }
    struct branch *branch = values_branch(values);
    if (!branch_drop(branch))
        return;
    for (unsigned owned = branch->owned; owned != 0; owned &= owned - 1)
        values_release(branch->entry[__builtin_ctz(owned)]);
    branch_free(branch);
}

void values_retain(struct values *values) {
    if (values_is_branch(values))
        atomic_fetch_add_explicit(&values_branch(values)->references, 1, memory_order_relaxed);
    else if (values != NULL)
        value_retain((struct value *)values);
}

/* Branches that others hold, too, were owned before. */
void values_own(struct values *values) {
    if (!values_is_branch(values))
        return;
    struct branch *branch = values_branch(values);
    if (atomic_load_explicit(&branch->references, memory_order_acquire) != 1)
        return;
    for (unsigned i = 0; i < branch->count; i++) {
        if (branch->entry[i] == NULL)
            continue;
        if (branch->owned >> i & 1)
            values_own(branch->entry[i]);
        else
            values_retain(branch->entry[i]);
        branch->owned |= (uint16_t)(1U << i);
    }
}

/* A branch that was copied. What it owns beside the way to the number is the copy's: moved, if the branch
 * goes now, else counted; and then it may still go, when its other holders have let go meanwhile. */
static void inherit_branch(struct values *before, const struct key *key, bool exclusive) {
    struct branch *branch = values_branch(before);
    uint32_t place = branch_place(branch, key->number);
    bool goes = exclusive && atomic_load_explicit(&branch->references, memory_order_acquire) == 1;
    unsigned owned = branch->owned;
    if (place < branch->count && (owned >> place & 1)) {
        values_inherit(branch->entry[place], key, goes);
        owned &= ~(1U << place);
    }
    for (; owned != 0 && !goes; owned &= owned - 1)
        values_retain(branch->entry[__builtin_ctz(owned)]);
    if (goes)
        branch_free(branch);
    else if (exclusive)
        values_release(before);
}

void values_inherit(struct values *before, const struct key *key, bool exclusive) {
    bool copied = values_is_branch(before) &&
                  same_branch(key->number, values_branch(before)->first, values_branch(before)->shift);
    bool replaced = !values_is_branch(before) && values_first(before) == key->number;
    if (copied)
        inherit_branch(before, key, exclusive);
    else if (replaced && exclusive)
        values_release(before);
    else if (!replaced && !exclusive)
        values_retain(before);
}
