/* What the unit tests share: see unit.h. */
#include "unit.h"

#include "../../ctxstore/long_name.h"

struct faults faults;

const char *text_of(const struct context *context) {
    static _Thread_local char text[TEXT_ROOM];
    context_format(context, text, sizeof text);
    return text;
}

void expect_text(const struct context *context, const char *expected) {
    cr_expect_str_eq(text_of(context), expected);
}

struct flow flow_new(void) {
    struct flow flow;
    flow_begin(&flow, NULL);
    return flow;
}

static struct scope opened(struct scope scope, int error) {
    cr_assert_eq(error, 0, "a scope does not open");
    cr_assert_neq(scope.node, NULL);
    cr_assert_neq(scope.serial, 0);
    return scope;
}

/* The quick ways first, as the public functions do. */
struct scope push(struct flow *flow, const char *name) {
    int error = 0;
    struct name_look look = name_look(name);
    struct scope scope = {0};
    if (look.fit == NAME_FITS)
        scope = flow_push_quick(flow, name, look, HERE.site);
    else if (look.fit == NAME_LONG)
        scope = flow_push_long(flow, name, HERE);
    if (scope.node == NULL)
        scope = flow_push(flow, name, HERE, &error);
    return opened(scope, error);
}

struct scope with(struct flow *flow, struct key *key, void *value) {
    int error = 0;
    struct scope scope = flow_with(flow, key, value, HERE, &error);
    return opened(scope, error);
}

struct scope attach(struct flow *flow, struct context *context) {
    int error = 0;
    struct scope scope = flow_attach(flow, context, HERE, &error);
    return opened(scope, error);
}

struct scope root(struct flow *flow, struct context *base, const char *name) {
    int error = 0;
    struct scope scope = flow_root(flow, base, name, HERE, &error);
    return opened(scope, error);
}

struct scope suppress(struct flow *flow) {
    int error = 0;
    struct scope scope = flow_suppress(flow, HERE, &error);
    return opened(scope, error);
}

int close_scope(struct flow *flow, struct scope scope) {
    bool detour = (scope.serial & DETOUR_SERIAL) != 0;
    if (!detour &&
        (flow_close_quick(flow, scope.node, scope.serial) || flow_close_long(flow, scope.node, scope.serial)))
        return 0;
    return flow_close(flow, &scope);
}

struct context *context_named(const char *name) {
    struct context *context = context_operation(NULL, name, strlen(name), 0);
    cr_assert_neq(context, NULL);
    return context;
}

static void faults_note(enum scope_fault fault, const struct scope_view *scope,
                        const struct scope_view *around) {
    (void)around;
    faults.count[fault]++;
    context_format(scope->node, faults.last, sizeof faults.last);
}

void faults_record(void) {
    scope_report = faults_note;
}

void count_destroy(void *value) {
    ++*(int *)value;
}

void expect_no_contexts(void) {
    cr_expect_eq(context_live(), 0, "%zu contexts are still alive", context_live());
}
