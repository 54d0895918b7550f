/* Contexts: see context.h for what they promise. */
#include "context.h"

#include "slab.h"
#include "values.h"

#include <errno.h>
#include <string.h>

static struct slab nodes = SLAB(sizeof(struct context));
static struct slab value_nodes = SLAB(CONTEXT_VALUE_SIZE);

/* Serials are handed out to threads a range at a time. */
static _Atomic uint64_t serials;

static void node_give(struct context *node) {
    if (node->kind == CONTEXT_VALUE)
        slab_cache_give(&local.value_contexts, &value_nodes, node);
    else
        slab_cache_give(&local.contexts, &nodes, node);
}

uint64_t context_next_serial(void) {
    if (context_serial_used_up(local.serial))
        local.serial = atomic_fetch_add_explicit(&serials, SERIAL_RANGE, memory_order_relaxed) + 1;
    return local.serial;
}

static uint64_t next_serial(void) {
    uint64_t serial = context_next_serial();
    local.serial++;
    return serial;
}

static struct context *node_new(struct context *parent, enum context_kind kind, uint64_t flow) {
    struct context *node = kind == CONTEXT_VALUE ? slab_cache_take(&local.value_contexts, &value_nodes)
                                                 : slab_cache_take(&local.contexts, &nodes);
    if (node == NULL)
        return NULL;
    node->parent = parent;
    node->values = parent != NULL ? parent->values : NULL;
    node->flow = (uint32_t)flow;
    node->stack = 0;
    node->site = 0;
    node->kind = kind;
    node->scoped = 0;
    node->block = 0;
    node->owns_values = 0;
    node->long_name = 0;
    node->lent = 0;
    atomic_store_explicit(&node->marks, 0, memory_order_relaxed);
    atomic_store_explicit(&node->references, 1, memory_order_relaxed);
    atomic_store_explicit(&node->serial, next_serial(), memory_order_release);
    return node;
}

static struct context_name *name_new(const char *text, size_t length) {
    struct context_name *name = block_take(sizeof *name + length);
    if (name != NULL) {
        name->older = NULL;
        name->length = length;
        memcpy(name->text, text, length);
    }
    return name;
}

static void names_give(struct context_name *name) {
    while (name != NULL) {
        struct context_name *older = name->older;
        block_give(name, sizeof *name + name->length);
        name = older;
    }
}

struct context *context_operation(struct context *parent, const char *name, size_t length, uint64_t flow) {
    struct context_name *long_text = NULL;
    if (length > NAME_INLINE && (long_text = name_new(name, length)) == NULL)
        return NULL;
    struct context *node = node_new(parent, CONTEXT_OPERATION, flow);
    if (node == NULL) {
        names_give(long_text);
        return NULL;
    }
    if (long_text == NULL) {
        name_store(node->text, name, length);
    } else {
        node->long_name = 1;
        node->long_text = long_text;
    }
    return node;
}

struct context *context_root(struct context *parent, const char *word, uint64_t number, uint64_t flow) {
    struct context *node = node_new(parent, CONTEXT_ROOT, flow);
    if (node != NULL) {
        node->root.word = word;
        node->root.number = number;
        atomic_store_explicit(&node->root.renamed, NULL, memory_order_relaxed);
    }
    return node;
}

struct context *context_with_values(struct context *parent, struct values *values, bool owned,
                                    uint64_t flow) {
    struct context *node = node_new(parent, CONTEXT_VALUE, flow);
    if (node != NULL) {
        node->values = values;
        node->owns_values = owned;
    }
    return node;
}

/* A doubt about a doubt is one about what lies under it: doubts never form chains. */
static struct context *under_doubt(struct context *context) {
    while (context != NULL && context->kind == CONTEXT_AMBIGUOUS)
        context = context->parent;
    return context;
}

struct context *context_ambiguous(struct context *context, struct context *const *others, unsigned count,
                                  uint64_t flow) {
    struct context *likeliest = under_doubt(context);
    struct context *node = node_new(likeliest, CONTEXT_AMBIGUOUS, flow);
    if (node == NULL)
        return NULL;
    context_retain(likeliest);
    for (unsigned i = 0; i < CONTEXT_LINKS; i++)
        node->links[i] = i < count ? context_retain(under_doubt(others[i])) : NULL;
    return node;
}

struct context *context_inferred(struct context *context, uint64_t flow) {
    if (context != NULL && context->kind == CONTEXT_INFERRED)
        context = context->parent;
    struct context *node = node_new(context, CONTEXT_INFERRED, flow);
    if (node != NULL)
        context_retain(context);
    return node;
}

static bool is_marking(const struct context *context) {
    return context->kind == CONTEXT_INFERRED || context->kind == CONTEXT_AMBIGUOUS;
}

struct context *context_tagged(struct context *context) {
    while (context != NULL && context->kind != CONTEXT_ROOT && !(is_marking(context) && context->site != 0))
        context = context->parent;
    return context != NULL && is_marking(context) ? context : NULL;
}

const struct context *context_root_of(const struct context *context) {
    while (context != NULL && context->kind != CONTEXT_ROOT)
        context = context->parent;
    return context;
}

enum context_certainty context_certainty(const struct context *context) {
    enum context_certainty certainty = CONTEXT_EXACT;
    for (; context != NULL; context = context->parent) {
        if (context->kind == CONTEXT_AMBIGUOUS)
            return CONTEXT_IS_AMBIGUOUS;
        if (context->kind == CONTEXT_INFERRED)
            certainty = CONTEXT_IS_INFERRED;
    }
    return certainty;
}

void context_retain_many(struct context *context, uint32_t count) {
    atomic_fetch_add_explicit(&context->references, count, memory_order_relaxed);
}

void context_release_many(struct context *context, uint32_t count) {
    if (count == 0)
        return;
    if (count > 1)
        atomic_fetch_sub_explicit(&context->references, count - 1, memory_order_release);
    context_release(context);
}

/* Drops one reference; true when it was the last. Who sees 1 is the only holder, and nobody else can
 * gain a reference from nothing: then no locked instruction is needed. */
static bool context_drop(struct context *context) {
    if (atomic_load_explicit(&context->references, memory_order_acquire) == 1)
        return true;
    return atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1;
}

static void context_strip(struct context *context, struct context **dead);

/* Drops a reference; a node that dies of it goes on the list of dead ones, through its `values`, which nobody
 * reads any longer. Links are never doubts themselves, so this goes no deeper than one. */
static void context_drop_to(struct context *context, struct context **dead) {
    if (context == NULL || !context_drop(context))
        return;
    context_strip(context, dead);
    context->values = (struct values *)*dead;
    *dead = context;
}

/* What a node has beside its parent. */
static void context_strip(struct context *context, struct context **dead) {
    context_unname(context);
    if (context->owns_values)
        values_release(context->values);
    if (context->kind == CONTEXT_ROOT)
        names_give(atomic_load_explicit(&context->root.renamed, memory_order_acquire));
    else if (context->kind == CONTEXT_AMBIGUOUS)
        for (unsigned i = 0; i < CONTEXT_LINKS; i++)
            context_drop_to(context->links[i], dead);
    else if (context->long_name)
        names_give(context->long_text);
}

void context_discard(struct context *context) {
    struct context *none = NULL; /* it has no links */
    context_strip(context, &none);
    node_give(context);
}

/* Paths are long and links branch: no recursion, which the host's stack would have to bear. */
void context_release_one(struct context *context) {
    struct context *dead = NULL;
    if (!context_drop(context))
        return;
    context_strip(context, &dead);
    context->values = (struct values *)dead;
    dead = context;
    while (dead != NULL) {
        struct context *node = dead, *parent = node->parent;
        dead = (struct context *)node->values;
        node_give(node);
        context_drop_to(parent, &dead);
    }
}

bool context_descends(const struct context *context, const struct context *ancestor) {
    while (context != ancestor && context != NULL)
        context = context->parent;
    return context == ancestor;
}

bool context_descends_surely(const struct context *context, const struct context *ancestor) {
    while (context != ancestor && context != NULL && context->kind != CONTEXT_AMBIGUOUS)
        context = context->parent;
    return context == ancestor;
}

bool context_is(const struct context *context, uint64_t serial) {
    return atomic_load_explicit(&context->serial, memory_order_acquire) == serial;
}

void (*context_ended)(const struct context *root);

static struct context *root_of(const struct context *context) {
    while (context != NULL && context->kind != CONTEXT_ROOT)
        context = context->parent;
    return (struct context *)(uintptr_t)context;
}

uint32_t (*context_clock)(void);

/* What ends after its answer was over with that. */
void context_end(struct context *context) {
    struct context *root = root_of(context);
    if (root == NULL || context_mark(root, CONTEXT_OVER))
        return;
    if (context_ended != NULL)
        context_ended(root);
    if (context_clock != NULL && __atomic_load_n(&root->stack, __ATOMIC_RELAXED) == 0)
        __atomic_store_n(&root->stack, context_clock(), __ATOMIC_RELAXED);
}

void context_answered(struct context *context) {
    struct context *root = context_clock != NULL ? root_of(context) : NULL;
    if (root != NULL)
        __atomic_store_n(&root->stack, context_clock(), __ATOMIC_RELAXED);
}

bool context_over(const struct context *context) {
    const struct context *root = root_of(context);
    return root != NULL && atomic_load_explicit(&root->marks, memory_order_relaxed) & CONTEXT_OVER;
}

int context_rename(struct context *context, const char *text) {
    context = root_of(context);
    if (context == NULL)
        return ENOENT;
    size_t length = strlen(text);
    const struct context_name *now = atomic_load_explicit(&context->root.renamed, memory_order_acquire);
    if (now != NULL && now->length == length && memcmp(now->text, text, length) == 0)
        return 0;
    struct context_name *name = name_new(text, length);
    if (name == NULL)
        return ENOMEM;
    name->older = atomic_load_explicit(&context->root.renamed, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&context->root.renamed, &name->older, name,
                                                  memory_order_release, memory_order_relaxed))
        ;
    return 0;
}

/* One node's part of the stack, as text. */
struct part {
    const char *text;
    size_t length;
    char digits[24];
    size_t digits_length;
};

static void part_number(struct part *part, uint64_t number) {
    char reversed[24];
    do
        reversed[part->digits_length++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    for (size_t i = 0; i < part->digits_length; i++)
        part->digits[i] = reversed[part->digits_length - 1 - i];
}

/* False for a node that shows nothing. */
static bool part_of(const struct context *node, struct part *part) {
    *part = (struct part){.text = ""};
    if (node->kind == CONTEXT_AMBIGUOUS) {
        part->text = "?";
        part->length = 1;
        return node->parent != NULL;
    }
    if (node->kind == CONTEXT_OPERATION) {
        part->text = node->long_name ? node->long_text->text : node->text;
        part->length = node->long_name ? node->long_text->length : strnlen(node->text, NAME_INLINE);
        return true;
    }
    if (node->kind != CONTEXT_ROOT)
        return false;
    struct context_name *renamed = atomic_load_explicit(&node->root.renamed, memory_order_acquire);
    part->text = renamed != NULL ? renamed->text : node->root.word;
    part->length = renamed != NULL ? renamed->length : strlen(node->root.word);
    if (renamed == NULL)
        part_number(part, node->root.number);
    return true;
}

/* A blank stands before each operation that is not the first, but not before a question mark. */
static bool blank_before(const struct context *node) {
    struct part part;
    if (node->kind == CONTEXT_AMBIGUOUS)
        return false;
    for (node = node->parent; node != NULL; node = node->parent)
        if (part_of(node, &part))
            return true;
    return false;
}

/* Copies so much of `text` as falls into the buffer; `end` is the offset behind its last byte. */
static void text_place(char *buffer, size_t room, size_t end, const char *text, size_t length) {
    size_t at = end - length;
    if (end < length || at >= room)
        return;
    memcpy(buffer + at, text, length < room - at ? length : room - at);
}

static size_t part_length(const struct context *node) {
    struct part part;
    return part_of(node, &part) ? part.length + part.digits_length + blank_before(node) : 0;
}

/* The path leads from the innermost operation outwards, so it is measured first and then written from
 * the end. A name changed in between (context_rename) can only cut or pad the text. */
size_t context_format(const struct context *context, char *buffer, size_t size) {
    size_t total = 0;
    for (const struct context *node = context; node != NULL; node = node->parent)
        total += part_length(node);
    if (size == 0)
        return total;
    size_t room = total < size - 1 ? total : size - 1;
    memset(buffer, ' ', room);
    buffer[room] = '\0';
    size_t end = total;
    struct part part;
    for (const struct context *node = context; node != NULL; node = node->parent) {
        if (!part_of(node, &part))
            continue;
        text_place(buffer, room, end, part.digits, part.digits_length);
        end -= part.digits_length < end ? part.digits_length : end;
        text_place(buffer, room, end, part.text, part.length);
        size_t taken = part.length + blank_before(node);
        end -= taken < end ? taken : end;
    }
    return total;
}

bool context_name(const struct context *node, void (*byte)(void *to, unsigned char byte), void *to) {
    struct part part;
    if (!part_of(node, &part))
        return false;
    for (size_t i = 0; i < part.length; i++)
        byte(to, (unsigned char)part.text[i]);
    for (size_t i = 0; i < part.digits_length; i++)
        byte(to, (unsigned char)part.digits[i]);
    return true;
}

size_t context_live(void) {
    return atomic_load_explicit(&nodes.out, memory_order_relaxed) - local.contexts.count +
           atomic_load_explicit(&value_nodes.out, memory_order_relaxed) - local.value_contexts.count;
}

void context_thread_end(void) {
    slab_cache_end(&local.contexts, &nodes);
    slab_cache_end(&local.value_contexts, &value_nodes);
}
