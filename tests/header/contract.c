/* The promises of ctxshim.h, checked from inside a program that includes it. This file is C and C++ at once:
 * it is compiled as either, and linked in every way that a program or a shared object can be. */
#include "contract.h"

#include <stdio.h>
#include <string.h>

static int broken;

#define CHECK(condition) check((condition) ? 1 : 0, #condition, __LINE__)

static void check(int holds, const char *condition, int line) {
    if (holds)
        return;
    fprintf(stderr, "contract.c:%d: %s\n", line, condition);
    broken++;
}

static int is_none(ctxshim_scope scope) {
    return scope.node == NULL && scope.serial == 0 && scope.flow == 0;
}

static int stack_is(const char *expected) {
    char stack[64];
    size_t length = ctxshim_stack(stack, sizeof stack);
    return length == strlen(expected) && strcmp(stack, expected) == 0;
}

static int destroyed;
static void *last_destroyed;

static void note_destroyed(void *value) {
    destroyed++;
    last_destroyed = value;
}

static void add_one(void *counter) {
    ++*(int *)counter;
}

static void note_change(void *before, void *after, int switched, void *arg) {
    (void)before;
    (void)after;
    (void)switched;
    add_one(arg);
}

static int value_one;
static int value_two;

/* A key of a constructor: it may run before or after the header's own. */
static ctxshim_key *early_key;

__attribute__((constructor)) static void make_early_key(void) {
    early_key = ctxshim_key_create("early", note_destroyed);
}

/* ---- Without the shim. */

static void check_scopes_without(void) {
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(is_none(scope));
    CHECK(stack_is(""));
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(is_none(ctxshim_root("request")));
    CHECK(is_none(ctxshim_attach(NULL)));
    CHECK(is_none(ctxshim_suppress_flow()));
    CHECK(is_none(other_push("Main")));
    CHECK(ctxshim_rename("GET /") == 0);
}

static void check_key_without(ctxshim_key *key) {
    CHECK(key != NULL);
    destroyed = 0;
    CHECK(ctxshim_get(key) == NULL);
    CHECK(ctxshim_set(key, &value_one) == 0);
    CHECK(destroyed == 1 && last_destroyed == &value_one);
    CHECK(ctxshim_get(key) == NULL);
    CHECK(is_none(ctxshim_with(key, &value_two)));
    CHECK(destroyed == 2 && last_destroyed == &value_two);
    CHECK(ctxshim_set(key, NULL) == 0);
    CHECK(is_none(ctxshim_with(key, NULL)));
    CHECK(destroyed == 2);
    CHECK(ctxshim_key_destroy(key) == 0);
    CHECK(destroyed == 2);
}

static void check_keys_without(void) {
    int changes = 0;
    ctxshim_key *key = ctxshim_key_create(NULL, NULL);
    CHECK(key != NULL);
    CHECK(ctxshim_on_change(key, note_change, &changes) == 0);
    CHECK(ctxshim_set(key, &value_one) == 0);
    CHECK(ctxshim_on_change_remove(key, &changes) == 0);
    CHECK(changes == 0);
    CHECK(ctxshim_key_destroy(key) == 0);
    check_key_without(ctxshim_key_create("key", note_destroyed));
    check_key_without(other_key_create(note_destroyed));
    check_key_without(early_key);
}

static void check_contexts_without(void) {
    int calls = 0;
    CHECK(ctxshim_capture() == NULL);
    CHECK(ctxshim_retain(NULL) == NULL);
    ctxshim_release(NULL);
    CHECK(ctxshim_run(NULL, add_one, &calls) == 0);
    CHECK(calls == 1);
}

static void check_stack_without(void) {
    char buffer[2] = {'x', 'y'};
    CHECK(ctxshim_stack(buffer, 0) == 0 && buffer[0] == 'x');
    CHECK(ctxshim_stack(NULL, 0) == 0);
    CHECK(ctxshim_stack(buffer, 1) == 0 && buffer[0] == '\0' && buffer[1] == 'y');
}

int contract_without_shim(void) {
    errno = 0;
    CHECK(ctxshim_active() == 0);
    check_scopes_without();
    check_keys_without();
    check_contexts_without();
    check_stack_without();
    CHECK(errno == 0);
    CHECK(ctxshim_set(NULL, &value_one) == -1 && errno == EINVAL);
    errno = 0;
    CHECK(is_none(ctxshim_with(NULL, &value_one)) && errno == EINVAL);
    return broken;
}

/* ---- With it. */

static void check_scopes_with(void) {
    ctxshim_scope one = ctxshim_push("1");
    CHECK(!is_none(one));
    CHECK(stack_is("Main 1"));
    ctxshim_scope a = other_push("A");
    CHECK(stack_is("Main 1 A"));
    CHECK(ctxshim_stack(NULL, 0) == strlen("Main 1 A"));
    CHECK(ctxshim_pop(&a) == 0);
    CHECK(stack_is("Main 1"));
    CHECK(ctxshim_pop(&one) == 0);
    CHECK(ctxshim_pop(&one) == 0);
    CHECK(stack_is("Main"));
}

static int leave_early(int way) {
    CTXSHIM_SCOPE("1");
    CTXSHIM_SCOPE("A");
    CTXSHIM_SCOPE("B");
    CHECK(stack_is("Main 1 A B"));
    errno = EDOM;
    if (way == 0)
        return 0;
    do {
        CTXSHIM_SCOPE("C");
        CHECK(stack_is("Main 1 A B C"));
        break;
    } while (0);
    CHECK(stack_is("Main 1 A B"));
    return 1;
}

static void check_macro_with(void) {
    for (int way = 0; way < 2; way++) {
        CHECK(leave_early(way) == way);
        CHECK(errno == EDOM);
        CHECK(stack_is("Main"));
    }
#ifdef __cplusplus
    try {
        CTXSHIM_SCOPE("thrown");
        throw 1;
    } catch (int) {
        CHECK(stack_is("Main"));
    }
#endif
}

static void check_key_with(ctxshim_key *key) {
    CHECK(key != NULL);
    CHECK(ctxshim_get(key) == NULL);
    ctxshim_scope scope = ctxshim_with(key, &value_one);
    CHECK(ctxshim_get(key) == &value_one);
    CHECK(ctxshim_set(key, &value_two) == 0);
    CHECK(ctxshim_set(key, &value_two) == 1);
    CHECK(ctxshim_get(key) == &value_two);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_get(key) == NULL);
    CHECK(ctxshim_key_destroy(key) == 0);
}

static void show_stack(void *same) {
    *(int *)same = stack_is("Main 1");
}

static void check_contexts_with(void) {
    int same = 0;
    ctxshim_scope one = ctxshim_push("1");
    ctxshim_context *context = ctxshim_capture();
    CHECK(context != NULL);
    CHECK(ctxshim_pop(&one) == 0);
    CHECK(ctxshim_run(context, show_stack, &same) == 0);
    CHECK(same == 1);
    ctxshim_scope attached = ctxshim_attach(context);
    CHECK(stack_is("Main 1"));
    CHECK(ctxshim_pop(&attached) == 0);
    CHECK(stack_is("Main"));
    ctxshim_release(context);
}

int contract_with_shim(void) {
    CHECK(ctxshim_active() == 1);
    CHECK(stack_is(""));
    ctxshim_scope scope = ctxshim_push("Main");
    CHECK(stack_is("Main"));
    check_scopes_with();
    check_macro_with();
    check_key_with(ctxshim_key_create("key", note_destroyed));
    check_key_with(other_key_create(note_destroyed));
    check_key_with(early_key);
    check_contexts_with();
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(stack_is(""));
    return broken;
}
