/* The naive model: see model.h. */
#include "model.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    KEYS = 18,
    FLOWS = 4,
    CAPTURES = 12,
    SCOPES = 48,
    NAME_ROOM = 48,
    DEEPEST = 20,
    DETOURS = 6,
    CHECK_EVERY = 64
};

static uint32_t (*draw)(uint32_t below);

/* --- the model ----------------------------------------------------------------------------------- */

/* One element of a path; its values are those of the whole path up to it. 0 is no value. */
struct element {
    uint32_t flow, step;
    bool scoped, closed, shown;
    bool orphaned; /* its flow ended in a detour: whether it counts as closed is not said anywhere */
    char name[NAME_ROOM];
    uint32_t values[KEYS];
    struct scope scope;
};

struct path {
    uint32_t length;
    uint32_t at[DEEPEST + 2];
};

enum kind { ATTACH, ROOT, SUPPRESS };

struct model_detour {
    enum kind kind;
    uint32_t id, root, step;
    struct path before;
    struct scope scope;
};

struct model_flow {
    uint32_t id;
    struct path current;
    uint32_t depth;
    struct model_detour detours[DETOURS];
};

static struct element *elements;
static uint32_t element_count, detour_count, flow_count, value_count, now;
static uint32_t closes[2]; /* that were right to succeed, and to fail */
static struct model_flow model[FLOWS];
static struct path model_captures[CAPTURES];

/* --- the store ----------------------------------------------------------------------------------- */

static struct flow flows[FLOWS];
static struct context *captures[CAPTURES];
static struct key *keys[KEYS];
static int *destroyed; /* by value */

static struct open_scope {
    struct scope scope;
    bool detour;
    uint32_t id; /* of the element or of the detour; 0: none */
} scopes[SCOPES];

/* --- the model's steps --------------------------------------------------------------------------- */

static const uint32_t *values_of(const struct path *path) {
    static const uint32_t none[KEYS];
    return path->length > 0 ? elements[path->at[path->length - 1]].values : none;
}

static struct element *derive(struct path *path, uint32_t flow, bool scoped, const char *name) {
    uint32_t id = ++element_count;
    struct element *element = &elements[id];
    *element = (struct element){.flow = flow, .step = now, .scoped = scoped, .shown = name != NULL};
    if (name != NULL)
        snprintf(element->name, sizeof element->name, "%s", name);
    memcpy(element->values, values_of(path), sizeof element->values);
    path->at[path->length++] = id;
    return element;
}

static bool has(const struct path *path, uint32_t id) {
    for (uint32_t i = 0; i < path->length; i++)
        if (path->at[i] == id)
            return true;
    return false;
}

static bool is_left(uint32_t id) {
    return elements[id].scoped && elements[id].closed;
}

static bool anywhere(uint32_t id) {
    for (int i = 0; i < FLOWS; i++) {
        if (has(&model[i].current, id))
            return true;
        for (uint32_t d = 0; d < model[i].depth; d++)
            if (has(&model[i].detours[d].before, id))
                return true;
    }
    for (int i = 0; i < CAPTURES; i++)
        if (has(&model_captures[i], id))
            return true;
    return false;
}

static struct model_detour *top_of(struct model_flow *flow) {
    return flow->depth > 0 ? &flow->detours[flow->depth - 1] : NULL;
}

enum { UNDECIDED = -1 };

/* 0 or EPERM as flow_close ought to answer, with the model changed; or UNDECIDED. */
static int model_close_detour(struct model_flow *flow, uint32_t id) {
    struct model_detour *top = top_of(flow);
    if (top == NULL || top->id != id) {
        for (int i = 0; i < FLOWS; i++)
            for (uint32_t d = 0; d < model[i].depth; d++)
                if (model[i].detours[d].id == id)
                    return &model[i] == flow ? UNDECIDED : EPERM;
        return 0;
    }
    for (uint32_t i = 0; i < flow->current.length; i++) {
        const struct element *element = &elements[flow->current.at[i]];
        if (element->scoped && !element->closed && element->step > top->step)
            return UNDECIDED;
    }
    if (top->kind != SUPPRESS) /* whatever others closed meanwhile: this flow is still inside */
        flow->current = top->before;
    flow->depth--;
    return 0;
}

static int model_close_element(struct model_flow *flow, uint32_t id) {
    struct model_detour *top = top_of(flow);
    bool own_root = top != NULL && top->kind == ROOT && top->root == id;
    for (uint32_t d = 0; d < flow->depth; d++) {
        const struct model_detour *detour = &flow->detours[d];
        bool mine = own_root && detour == top;
        if (has(&detour->before, id) || (!mine && detour->root == id) ||
            (!mine && elements[id].flow == flow->id && detour->step > elements[id].step))
            return UNDECIDED;
    }
    if (!has(&flow->current, id))
        return is_left(id) || !anywhere(id) ? 0 : elements[id].orphaned ? UNDECIDED : EPERM;
    struct path back = own_root ? top->before : flow->current;
    while (!own_root && back.at[--back.length] != id)
        ;
    for (uint32_t i = flow->current.length; i-- > 0;) {
        elements[flow->current.at[i]].closed = elements[flow->current.at[i]].scoped;
        if (flow->current.at[i] == id)
            break;
    }
    flow->depth -= own_root;
    flow->current = back;
    return 0;
}

/* --- steps on both ------------------------------------------------------------------------------- */

static struct open_scope *scope_slot(void) {
    return &scopes[draw(SCOPES)];
}

static void remember(struct scope scope, bool detour, uint32_t id) {
    *scope_slot() = (struct open_scope){scope, detour, id};
    if (!detour)
        elements[id].scope = scope;
}

static bool room_for_detour(int i) {
    return model[i].depth < DETOURS;
}

static void model_detour_open(int i, enum kind kind, uint32_t root_id) {
    struct model_flow *flow = &model[i];
    struct model_detour *detour = &flow->detours[flow->depth++];
    *detour = (struct model_detour){
        .kind = kind, .id = ++detour_count, .root = root_id, .step = now, .before = flow->current};
}

static void step_push(int i) {
    char name[NAME_ROOM];
    if (model[i].current.length >= DEEPEST)
        return;
    const char *rest = draw(4) == 0 ? ", whose name does not fit a node" : "";
    snprintf(name, sizeof name, "%c%u%s", 'a' + (int)draw(26), draw(100000), rest);
    derive(&model[i].current, model[i].id, true, name);
    remember(push(&flows[i], name), false, element_count);
}

/* A value that is new, equal to the one that is there, or none. */
static uint32_t pick_value(int i, unsigned key, bool *fresh) {
    uint32_t kind = draw(8);
    *fresh = kind > 1;
    return kind == 0 ? 0 : kind == 1 ? values_of(&model[i].current)[key] : ++value_count;
}

static void *data_of(uint32_t value) {
    return value != 0 ? &destroyed[value] : NULL;
}

static void step_with(int i) {
    unsigned key = draw(KEYS);
    bool fresh;
    if (model[i].current.length >= DEEPEST)
        return;
    uint32_t value = pick_value(i, key, &fresh);
    derive(&model[i].current, model[i].id, true, NULL)->values[key] = value;
    remember(with(&flows[i], keys[key], data_of(value)), false, element_count);
}

static void step_set(int i) {
    unsigned key = draw(KEYS);
    bool fresh;
    int error = 0;
    struct path *path = &model[i].current;
    if (path->length >= DEEPEST)
        return;
    uint32_t value = pick_value(i, key, &fresh), values[KEYS];
    memcpy(values, values_of(path), sizeof values);
    bool same = values[key] == value;
    cr_assert_eq(flow_set(&flows[i], keys[key], data_of(value), &error), same);
    if (same)
        return;
    values[key] = value;
    const struct element *top = path->length > 0 ? &elements[path->at[path->length - 1]] : NULL;
    if (top != NULL && !top->scoped && !top->shown)
        path->length--;
    static const uint32_t none[KEYS];
    bool left = memcmp(values, none, sizeof none) != 0 || memcmp(values_of(path), none, sizeof none) != 0;
    if (left) /* nothing that was set is left: back to what was before */
        memcpy(derive(path, model[i].id, false, NULL)->values, values, sizeof values);
}

static void step_attach(int i) {
    uint32_t slot = draw(CAPTURES);
    if (!room_for_detour(i))
        return;
    model_detour_open(i, ATTACH, 0);
    model[i].current = model_captures[slot];
    top_of(&model[i])->scope = attach(&flows[i], captures[slot]);
    remember(top_of(&model[i])->scope, true, detour_count);
}

static void step_root(int i) {
    uint32_t slot = draw(CAPTURES);
    char name[NAME_ROOM];
    if (!room_for_detour(i) || model_captures[slot].length >= DEEPEST)
        return;
    snprintf(name, sizeof name, "R%u", draw(100000));
    model_detour_open(i, ROOT, element_count + 1);
    model[i].current = model_captures[slot];
    derive(&model[i].current, model[i].id, true, name);
    remember(root(&flows[i], captures[slot], name), false, element_count);
}

static void step_suppress(int i) {
    if (!room_for_detour(i))
        return;
    model_detour_open(i, SUPPRESS, 0);
    top_of(&model[i])->scope = suppress(&flows[i]);
    remember(top_of(&model[i])->scope, true, detour_count);
}

static bool model_suppressed(int i) {
    const struct model_detour *top = top_of(&model[i]);
    return top != NULL && top->kind == SUPPRESS;
}

static void step_capture(int i) {
    uint32_t slot = draw(CAPTURES);
    context_release(captures[slot]);
    captures[slot] = flow_capture(&flows[i]);
    model_captures[slot] = model_suppressed(i) ? (struct path){0} : model[i].current;
}

static void step_release(void) {
    uint32_t slot = draw(CAPTURES);
    context_release(captures[slot]);
    captures[slot] = NULL;
    model_captures[slot].length = 0;
}

/* The scope that this flow opened last and is still inside of. */
static struct open_scope innermost(struct model_flow *flow) {
    const struct model_detour *top = top_of(flow);
    for (uint32_t at = flow->current.length; at-- > 0;) {
        uint32_t id = flow->current.at[at];
        const struct element *element = &elements[id];
        if (element->scoped && (top == NULL || element->step > top->step || top->root == id))
            return (struct open_scope){element->scope, false, id};
    }
    return top != NULL && top->kind != ROOT ? (struct open_scope){top->scope, true, top->id}
                                            : (struct open_scope){0};
}

static void step_close(int i) {
    struct open_scope open = draw(4) != 0 ? innermost(&model[i]) : *scope_slot();
    if (open.id == 0)
        return;
    int expected =
        open.detour ? model_close_detour(&model[i], open.id) : model_close_element(&model[i], open.id);
    if (expected == UNDECIDED)
        return;
    closes[expected != 0]++;
    cr_assert_eq(close_scope(&flows[i], open.scope), expected, "step %u: close ought to be %d", now,
                 expected);
}

/* The flow ends, and another starts with a captured context. */
static void step_end(int i) {
    uint32_t slot = draw(CAPTURES);
    if (draw(model[i].depth > 0 ? 16 : 4) != 0)
        return;
    for (uint32_t d = 0; d < model[i].depth; d++)
        for (uint32_t at = 0; at < model[i].detours[d].before.length; at++)
            elements[model[i].detours[d].before.at[at]].orphaned = true;
    for (uint32_t at = 0; at < model[i].current.length; at++) {
        struct element *element = &elements[model[i].current.at[at]];
        if (element->flow == model[i].id)
            element->closed = element->scoped;
    }
    flow_end(&flows[i]);
    flow_begin(&flows[i], context_retain(captures[slot]));
    model[i] = (struct model_flow){.id = ++flow_count, .current = model_captures[slot]};
}

static void step(void) {
    int i = (int)draw(FLOWS);
    uint32_t what = draw(100);
    if (what < 20)
        step_push(i);
    else if (what < 26)
        step_with(i);
    else if (what < 36)
        step_set(i);
    else if (what < 38)
        step_attach(i);
    else if (what < 39)
        step_root(i);
    else if (what < 40)
        step_suppress(i);
    else if (what < 48)
        step_capture(i);
    else if (what < 52)
        step_release();
    else if (what < 56)
        step_end(i);
    else
        step_close(i);
}

/* --- agreement ----------------------------------------------------------------------------------- */

static void model_text(const struct path *path, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < path->length && used < size; i++)
        if (elements[path->at[i]].shown)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "",
                                     elements[path->at[i]].name);
}

static void agree_on_context(const struct path *path, const struct context *context) {
    char expected[TEXT_ROOM];
    model_text(path, expected, sizeof expected);
    cr_assert_str_eq(text_of(context), expected, "step %u: \"%s\" ought to be \"%s\"", now, text_of(context),
                     expected);
    for (int key = 0; key < KEYS; key++)
        cr_assert_eq(values_get(context != NULL ? context->values : NULL, keys[key]),
                     data_of(values_of(path)[key]), "step %u: key %d", now, key);
}

static uint32_t *seen_element, *seen_value, round_of_marks, first_alive;

static void mark(const struct path *path, size_t *live) {
    for (uint32_t i = 0; i < path->length; i++) {
        uint32_t id = path->at[i];
        if (seen_element[id] == round_of_marks)
            continue;
        seen_element[id] = round_of_marks;
        ++*live;
        for (int key = 0; key < KEYS; key++)
            seen_value[elements[id].values[key]] = round_of_marks;
    }
}

/* Every context that is alive, every value that is not. */
static void agree_on_life(void) {
    size_t live = 0;
    round_of_marks++;
    for (int i = 0; i < FLOWS; i++) {
        flow_settle(&flows[i]); /* as a wait does */
        mark(&model[i].current, &live);
        for (uint32_t d = 0; d < model[i].depth; d++)
            mark(&model[i].detours[d].before, &live);
    }
    for (int i = 0; i < CAPTURES; i++)
        mark(&model_captures[i], &live);
    cr_assert_eq(context_live(), live, "step %u: %zu contexts alive, %zu ought to be", now, context_live(),
                 live);
    graveyard_bury();
    for (uint32_t value = first_alive + 1; value <= value_count; value++) {
        int expected = seen_value[value] != round_of_marks;
        cr_assert_eq(destroyed[value], expected, "step %u: value %u was destroyed %d times", now, value,
                     destroyed[value]);
        if (value == first_alive + 1 && expected)
            first_alive++;
    }
}

static void *many(uint32_t count, size_t size) {
    void *memory = calloc(count, size);
    cr_assert(memory != NULL);
    return memory;
}

void model_begin(uint32_t steps, uint32_t (*choose)(uint32_t below)) {
    draw = choose;
    element_count = detour_count = flow_count = value_count = now = 0;
    closes[0] = closes[1] = round_of_marks = first_alive = 0;
    elements = many(steps + 2, sizeof *elements);
    destroyed = many(steps + 2, sizeof *destroyed);
    seen_element = many(steps + 2, sizeof *seen_element);
    seen_value = many(steps + 2, sizeof *seen_value);
    memset(scopes, 0, sizeof scopes);
    for (int i = 0; i < KEYS; i++)
        keys[i] = key_create("key", count_destroy);
    for (int i = 0; i < FLOWS; i++) {
        flows[i] = flow_new();
        model[i] = (struct model_flow){.id = ++flow_count};
    }
    for (int i = 0; i < CAPTURES; i++) {
        captures[i] = NULL;
        model_captures[i].length = 0;
    }
}

void model_step(void) {
    now++;
    step();
    uint32_t other = draw(FLOWS), slot = draw(CAPTURES);
    agree_on_context(&model[other].current, flows[other].current);
    cr_assert_eq(flow_suppressed(&flows[other]), model_suppressed((int)other));
    agree_on_context(&model_captures[slot], captures[slot]);
    if (now % CHECK_EVERY == 0)
        agree_on_life();
}

void model_end(void) {
    for (int i = 0; i < FLOWS; i++)
        flow_end(&flows[i]);
    for (int i = 0; i < CAPTURES; i++)
        context_release(captures[i]);
    graveyard_bury();
    for (uint32_t value = 1; value <= value_count; value++)
        cr_assert_leq(destroyed[value], 1, "value %u was destroyed %d times", value, destroyed[value]);
    cr_assert_eq(context_live(), 0, "%zu contexts are still alive", context_live());
    for (int i = 0; i < KEYS; i++)
        key_destroy(keys[i]);
    free(elements);
    free(destroyed);
    free(seen_element);
    free(seen_value);
}

struct model_counts model_counts(void) {
    return (struct model_counts){closes[0], closes[1], flow_count};
}
