/* Flows and scopes: what closes what, in every order. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

TestSuite(flow, .fini = expect_no_contexts, .init = faults_record, .timeout = 60);

Test(flow, push_and_pop) {
    struct flow flow = flow_new();
    struct scope main = push(&flow, "Main"), one = push(&flow, "1");
    expect_text(flow.current, "Main 1");
    cr_expect_eq(close_scope(&flow, one), 0);
    struct scope two = push(&flow, "2");
    expect_text(flow.current, "Main 2");
    cr_expect_eq(close_scope(&flow, two), 0);
    cr_expect_eq(close_scope(&flow, main), 0);
    cr_expect_eq(flow.current, NULL);
    cr_expect_eq(close_scope(&flow, (struct scope){0}), 0);
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER] + faults.count[SCOPE_FOREIGN], 0);
    flow_end(&flow);
}

Test(flow, c15_cycles_leave_nothing_behind) {
    struct flow flow = flow_new();
    struct scope scopes[1000];
    for (int i = 0; i < 1000; i++)
        scopes[i] = push(&flow, "nested");
    for (int i = 999; i >= 0; i--)
        cr_assert_eq(close_scope(&flow, scopes[i]), 0);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(close_scope(&flow, push(&flow, "cycle")), 0);
    cr_expect_eq(context_live(), 0);
    flow_end(&flow);
}

Test(flow, c9_a_second_close_does_nothing) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A"), copy = a;
    cr_expect_eq(close_scope(&flow, a), 0);
    cr_expect_eq(close_scope(&flow, copy), 0);
    struct scope b = push(&flow, "B"); /* the same memory */
    cr_expect_eq(b.node, a.node, "this test needs the same memory");
    cr_expect_eq(close_scope(&flow, a), 0);
    expect_text(flow.current, "B");
    cr_expect_eq(close_scope(&flow, b), 0);
    struct scope hidden = attach(&flow, NULL);
    cr_expect_eq(close_scope(&flow, hidden), 0);
    struct scope again = attach(&flow, NULL);
    struct scope c = push(&flow, "C");
    cr_expect_eq(close_scope(&flow, hidden), 0);
    expect_text(flow.current, "C");
    cr_expect_eq(close_scope(&flow, c), 0);
    cr_expect_eq(close_scope(&flow, again), 0);
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER] + faults.count[SCOPE_FOREIGN], 0);
    flow_end(&flow);
}

/* --- orders -------------------------------------------------------------------------------------- */

static struct key *key;
static int values[4];
static struct context *elsewhere;

static struct scope open_kind(struct flow *flow, int kind, int i) {
    static const char *const names[] = {"A", "B", "C", "D"};
    switch (kind) {
    case 0:
        return push(flow, names[i]);
    case 1:
        return with(flow, key, &values[i]);
    case 2:
        return attach(flow, elsewhere);
    case 3:
        return root(flow, NULL, names[i]);
    default:
        return suppress(flow);
    }
}

static void orders(int kinds[4], const int order[4]) {
    struct flow flow = flow_new();
    struct scope outer = push(&flow, "entry");
    struct context *entry = flow.current;
    const struct detour *detours = flow.detours;
    struct scope scopes[4];
    for (int i = 0; i < 4; i++)
        scopes[i] = open_kind(&flow, kinds[i], i);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(close_scope(&flow, scopes[order[i]]), 0, "kinds %d%d%d%d order %d%d%d%d, close %d",
                     kinds[0], kinds[1], kinds[2], kinds[3], order[0], order[1], order[2], order[3], i);
    cr_assert(flow.current == entry && flow.detours == detours,
              "kinds %d%d%d%d order %d%d%d%d: back at \"%s\"%s", kinds[0], kinds[1], kinds[2], kinds[3],
              order[0], order[1], order[2], order[3], text_of(flow.current),
              flow.detours != detours ? " with a detour left" : "");
    cr_assert_eq(close_scope(&flow, outer), 0);
    flow_end(&flow);
}

/* Calls orders with each of the 24. */
static void in_each_order(int kinds[4]) {
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            for (int c = 0; c < 4; c++) {
                if (a == b || b == c || a == c)
                    continue;
                orders(kinds, (const int[4]){a, b, c, 6 - a - b - c});
            }
}

/* C12 for each kind of scope alone and for every mixture of four kinds: 625 x 24. */
Test(flow, c12_every_order_of_four_scopes_ends_at_the_entry) {
    key = key_create("key", NULL);
    elsewhere = context_named("elsewhere");
    for (int mixture = 0; mixture < 625; mixture++)
        in_each_order((int[4]){mixture % 5, mixture / 5 % 5, mixture / 25 % 5, mixture / 125});
    context_release(elsewhere);
    key_destroy(key);
}

Test(flow, c12_out_of_order_is_reported) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A"), b = push(&flow, "B"), c = push(&flow, "C");
    cr_expect_eq(close_scope(&flow, a), 0);
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER], 2);
    cr_expect_str_eq(faults.last, "A B");
    cr_expect_eq(close_scope(&flow, c), 0);
    cr_expect_eq(close_scope(&flow, b), 0);
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER], 2);
    flow_end(&flow);
}

/* Closing an outer scope closes the inner ones, whatever kinds they are. */
Test(flow, a_suppression_ends_with_the_scope_around_it) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A");
    struct scope quiet = suppress(&flow);
    cr_expect_eq(close_scope(&flow, a), 0);
    cr_expect_not(flow_suppressed(&flow), "the scope around it was closed");
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER], 1);
    cr_expect_eq(close_scope(&flow, quiet), 0);
    flow_end(&flow);
}

Test(flow, a_scope_inside_a_closed_attach_is_closed_with_it) {
    struct flow flow = flow_new();
    struct scope outer = attach(&flow, NULL);
    struct scope inner = push(&flow, "inner");
    struct context *captured = flow_capture(&flow);
    cr_expect_eq(close_scope(&flow, outer), 0);
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER], 1, "the inner scope was left open");
    cr_expect_eq(close_scope(&flow, inner), 0, "it was closed by the one around it");
    cr_expect_eq(faults.count[SCOPE_FOREIGN], 0);
    context_release(captured);
    flow_end(&flow);
}

/* Recursion through a queue: each level captures what it is inside, and attaches it. Time grows with the
 * depth, not with its third power. */
Test(flow, a_deep_nest_of_attaches_is_closed_in_no_time, .timeout = 30) {
    enum { DEPTH = 6000 };
    static struct scope scopes[DEPTH];
    struct flow flow = flow_new();
    for (int i = 0; i < DEPTH; i++) {
        scopes[i] = push(&flow, "level");
        attach(&flow, flow.current);
    }
    struct scope inner = push(&flow, "inner");
    cr_expect_eq(close_scope(&flow, inner), 0);
    cr_expect_eq(close_scope(&flow, scopes[DEPTH / 2]), 0);
    cr_expect_eq(close_scope(&flow, scopes[0]), 0);
    cr_expect(flow.current == NULL && flow.detours == NULL);
    flow_end(&flow);
}

Test(flow, an_attach_of_the_same_context_ends_with_the_scope_around_it) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A");
    struct context *captured = flow_capture(&flow);
    struct scope inside = attach(&flow, captured);
    context_release(captured);
    cr_expect_eq(close_scope(&flow, a), 0);
    struct scope b = push(&flow, "B");
    cr_expect_eq(close_scope(&flow, inside), 0);
    cr_expect_eq(close_scope(&flow, b), 0);
    cr_expect_eq(flow.current, NULL);
    cr_expect_eq(flow.detours, NULL);
    flow_end(&flow);
}

/* A root whose base holds the outer scope must not leave its detour behind. */
Test(flow, a_root_closed_by_the_scope_around_it_leaves_nothing) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A");
    struct scope request = root(&flow, flow.current, "request");
    expect_text(flow.current, "A request");
    cr_expect_eq(close_scope(&flow, a), 0);
    cr_expect_eq(close_scope(&flow, request), 0);
    cr_expect_eq(flow.current, NULL);
    cr_expect_eq(flow.detours, NULL, "the root's detour is still open");
    flow_end(&flow);
    cr_expect_eq(faults.count[SCOPE_UNPOPPED], 0);
}

/* --- other flows --------------------------------------------------------------------------------- */

Test(flow, c13_a_flow_that_is_not_inside_may_not_close) {
    struct flow mine = flow_new(), other = flow_new();
    struct scope a = push(&mine, "A"), b = push(&other, "B");
    cr_expect_eq(close_scope(&other, a), EPERM);
    cr_expect_eq(faults.count[SCOPE_FOREIGN], 1);
    cr_expect_str_eq(faults.last, "A");
    expect_text(mine.current, "A");
    expect_text(other.current, "B");
    struct scope hidden = attach(&mine, NULL);
    cr_expect_eq(close_scope(&other, hidden), EPERM);
    struct scope quiet = suppress(&mine);
    cr_expect_eq(close_scope(&other, quiet), EPERM);
    cr_expect_eq(close_scope(&mine, quiet), 0);
    cr_expect_eq(close_scope(&mine, hidden), 0);
    cr_expect_eq(close_scope(&mine, a), 0);
    cr_expect_eq(close_scope(&other, a), 0, "it was closed before: nothing happens");
    cr_expect_eq(close_scope(&other, b), 0);
    flow_end(&mine);
    flow_end(&other);
}

Test(flow, c14_a_flow_that_is_inside_closes_where_it_is) {
    struct flow mine = flow_new(), other;
    struct scope main = push(&mine, "Main"), a = push(&mine, "A");
    flow_begin(&other, flow_capture(&mine));
    struct scope b = push(&other, "B");
    cr_expect_eq(close_scope(&other, a), 0);
    expect_text(other.current, "Main");
    cr_expect_eq(faults.count[SCOPE_OUT_OF_ORDER], 1);
    cr_expect_eq(close_scope(&other, b), 0);
    expect_text(mine.current, "Main A");
    cr_expect_eq(close_scope(&mine, a), 0, "each flow that is inside leaves for itself");
    expect_text(mine.current, "Main");
    cr_expect_eq(close_scope(&mine, main), 0);
    flow_end(&mine);
    flow_end(&other);
}

Test(flow, what_another_flow_closed_is_still_mine_to_leave) {
    struct flow mine = flow_new(), other;
    struct scope main = push(&mine, "Main"), a = push(&mine, "A"), b = push(&mine, "B");
    flow_begin(&other, flow_capture(&mine));
    struct scope hidden = attach(&mine, NULL);
    cr_expect_eq(close_scope(&other, b), 0);
    cr_expect_eq(close_scope(&other, a), 0);
    cr_expect_eq(close_scope(&mine, hidden), 0);
    expect_text(mine.current, "Main A B");
    cr_expect_eq(close_scope(&mine, b), 0);
    cr_expect_eq(close_scope(&mine, a), 0);
    expect_text(mine.current, "Main");
    cr_expect_eq(close_scope(&mine, main), 0);
    flow_end(&mine);
    flow_end(&other);
}

/* Work goes on in a scope that the flow which opened it has left. */
Test(flow, a_scope_in_adopted_work_returns_to_it) {
    struct flow mine = flow_new(), other;
    struct scope a = push(&mine, "A");
    flow_begin(&other, flow_capture(&mine));
    cr_expect_eq(close_scope(&mine, a), 0);
    struct scope step = push(&other, "step");
    cr_expect_eq(close_scope(&other, step), 0);
    expect_text(other.current, "A");
    struct scope hidden = attach(&other, NULL);
    cr_expect_eq(close_scope(&other, hidden), 0);
    expect_text(other.current, "A");
    flow_end(&mine);
    flow_end(&other);
}

/* A value set for the rest of a scope goes with the scope. */
Test(flow, a_value_set_in_a_scope_that_another_flow_closed_stays) {
    struct flow mine = flow_new(), other;
    struct key *k = key_create("key", NULL);
    int value, error = 0;
    struct scope main = push(&mine, "Main"), a = push(&mine, "A");
    flow_set(&mine, k, &value, &error);
    flow_begin(&other, flow_capture(&mine));
    struct scope hidden = attach(&mine, NULL);
    cr_expect_eq(close_scope(&other, a), 0);
    cr_expect_eq(close_scope(&mine, hidden), 0);
    expect_text(mine.current, "Main A");
    cr_expect_eq(values_get(mine.current->values, k), &value);
    cr_expect_eq(close_scope(&mine, main), 0);
    flow_end(&mine);
    flow_end(&other);
    key_destroy(k);
}

Test(flow, a_child_never_changes_its_parent) {
    struct flow parent = flow_new();
    struct key *k = key_create("key", NULL);
    int a, b, error = 0;
    struct scope main = push(&parent, "Main");
    flow_set(&parent, k, &a, &error);
    struct flow child;
    flow_begin(&child, flow_capture(&parent));
    cr_expect_eq(values_get(child.current->values, k), &a);
    flow_set(&child, k, &b, &error);
    push(&child, "child");
    cr_expect_eq(values_get(parent.current->values, k), &a);
    expect_text(parent.current, "Main");
    flow_end(&child);
    cr_expect_eq(faults.count[SCOPE_UNPOPPED], 1, "the child left its scope open, and Main is not its own");
    cr_expect_eq(values_get(parent.current->values, k), &a);
    close_scope(&parent, main);
    flow_end(&parent);
    key_destroy(k);
}

/* --- attach, root, suppress ---------------------------------------------------------------------- */

Test(flow, attach_hides_and_gives_back) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A");
    struct context *other = context_named("other");
    struct scope inside = attach(&flow, other);
    expect_text(flow.current, "other");
    struct scope b = push(&flow, "B");
    expect_text(flow.current, "other B");
    cr_expect_eq(close_scope(&flow, b), 0);
    cr_expect_eq(close_scope(&flow, inside), 0);
    expect_text(flow.current, "A");
    struct scope empty = attach(&flow, NULL);
    expect_text(flow.current, "");
    cr_expect_eq(close_scope(&flow, empty), 0);
    context_release(other);
    cr_expect_eq(close_scope(&flow, a), 0);
    flow_end(&flow);
}

Test(flow, a_root_starts_clean) {
    struct flow flow = flow_new();
    struct scope a = push(&flow, "A");
    struct scope request = root(&flow, NULL, "GET /");
    struct scope step = push(&flow, "step");
    expect_text(flow.current, "GET / step");
    cr_expect_eq(context_rename(flow.current, "GET /x"), 0);
    expect_text(flow.current, "GET /x step");
    cr_expect_eq(close_scope(&flow, step), 0);
    cr_expect_eq(close_scope(&flow, request), 0);
    expect_text(flow.current, "A");
    cr_expect_eq(close_scope(&flow, a), 0);
    flow_end(&flow);
}

Test(flow, c17_suppression_hides_nothing_and_hands_on_nothing) {
    struct flow flow = flow_new();
    struct key *k = key_create("key", NULL);
    int value, error = 0;
    struct scope a = push(&flow, "A");
    struct scope quiet = suppress(&flow);
    cr_expect(flow_suppressed(&flow));
    cr_expect_eq(flow_capture(&flow), NULL);
    expect_text(flow.current, "A");
    cr_expect_eq(flow_set(&flow, k, &value, &error), 0);
    struct context *other = context_named("other");
    struct scope inside = attach(&flow, other);
    cr_expect_not(flow_suppressed(&flow), "flow is on again inside a captured context");
    cr_expect_eq(close_scope(&flow, inside), 0);
    cr_expect(flow_suppressed(&flow));
    struct scope twice = suppress(&flow);
    cr_expect_eq(close_scope(&flow, twice), 0);
    cr_expect(flow_suppressed(&flow));
    cr_expect_eq(close_scope(&flow, quiet), 0);
    cr_expect_not(flow_suppressed(&flow));
    cr_expect_eq(values_get(flow.current->values, k), &value, "a value set while suppressed stays");
    context_release(other);
    cr_expect_eq(close_scope(&flow, a), 0);
    flow_end(&flow);
    key_destroy(k);
}

/* --- frames: what a callback leaves open --------------------------------------------------------- */

Test(flow, unwind_reports_what_was_left_open) {
    struct flow flow = flow_new();
    push(&flow, "loop");
    struct flow_mark mark = flow_mark(&flow);
    cr_expect_not(flow_explicit(&flow, mark));
    push(&flow, "callback");
    cr_expect(flow_explicit(&flow, mark));
    attach(&flow, NULL);
    cr_expect(flow_explicit(&flow, mark));
    flow_unwind(&flow, mark);
    cr_expect_eq(flow.detours, NULL);
    cr_expect_geq(faults.count[SCOPE_UNPOPPED], 1);
    flow_end(&flow);
}

Test(flow, a_scope_that_was_closed_is_no_longer_explicit) {
    struct flow flow = flow_new();
    struct scope loop = push(&flow, "loop");
    struct flow_mark mark = flow_mark(&flow);
    struct key *k = key_create("key", NULL);
    int value, error = 0;
    struct scope a = push(&flow, "A");
    cr_expect(flow_explicit(&flow, mark));
    close_scope(&flow, a);
    flow_set(&flow, k, &value, &error);
    cr_expect_not(flow_explicit(&flow, mark), "a set is no scope");
    struct scope quiet = suppress(&flow);
    cr_expect(flow_explicit(&flow, mark));
    close_scope(&flow, quiet);
    cr_expect_not(flow_explicit(&flow, mark));
    close_scope(&flow, loop);
    flow_end(&flow);
    key_destroy(k);
}

/* What was adopted may itself end in a value; setting another must not hide later scopes. */
Test(flow, a_scope_is_explicit_though_a_value_was_set_before) {
    struct flow flow = flow_new();
    struct key *k = key_create("key", NULL);
    int a, b, error = 0;
    flow_set(&flow, k, &a, &error);
    struct context *adopted = flow_capture(&flow);
    flow_become(&flow, context_retain(adopted), true);
    struct flow_mark mark = flow_mark(&flow);
    flow_set(&flow, k, &b, &error);
    struct scope scope = push(&flow, "A");
    cr_expect(flow_explicit(&flow, mark));
    close_scope(&flow, scope);
    context_release(adopted);
    flow_end(&flow);
    key_destroy(k);
}

/* --- many flows ---------------------------------------------------------------------------------- */

enum { CHILDREN = 1000 };
static struct context *shared;

static void *child_flow(void *argument) {
    struct flow flow;
    char name[32], expected[64];
    long number = (long)(intptr_t)argument;
    flow_begin(&flow, context_retain(shared));
    snprintf(name, sizeof name, "child %ld", number);
    snprintf(expected, sizeof expected, "Main child %ld step", number);
    struct scope mine = push(&flow, name), step = push(&flow, "step");
    bool right = strcmp(text_of(flow.current), expected) == 0;
    right = right && close_scope(&flow, step) == 0 && close_scope(&flow, mine) == 0;
    right = right && flow.current == shared;
    flow_end(&flow);
    context_thread_end();
    return right ? argument : NULL;
}

Test(flow, c7_a_thousand_flows_never_see_each_other) {
    struct flow flow = flow_new();
    struct scope main = push(&flow, "Main");
    shared = flow.current;
    for (int batch = 0; batch < CHILDREN; batch += 50) {
        pthread_t threads[50];
        for (int i = 0; i < 50; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, child_flow, (void *)(intptr_t)(batch + i + 1)), 0);
        for (int i = 0; i < 50; i++) {
            void *result;
            pthread_join(threads[i], &result);
            cr_expect_neq(result, NULL, "child %d", batch + i + 1);
        }
    }
    expect_text(flow.current, "Main");
    close_scope(&flow, main);
    flow_end(&flow);
}
