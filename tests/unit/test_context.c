/* Contexts: references, names, formatting, descent. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(context, .fini = expect_no_contexts, .timeout = 60);

static struct context *child(struct context *parent, const char *name) {
    struct context *context = context_operation(context_retain(parent), name, strlen(name), 0);
    cr_assert_neq(context, NULL);
    return context;
}

Test(context, the_empty_one_is_null) {
    cr_expect_eq(context_retain(NULL), NULL);
    context_release(NULL);
    expect_text(NULL, "");
    cr_expect_eq(context_format(NULL, NULL, 0), 0);
    cr_expect(context_descends(NULL, NULL));
    cr_expect_eq(context_rename(NULL, "x"), ENOENT);
}

Test(context, lives_until_its_last_reference) {
    struct context *main = context_named("Main");
    struct context *one = child(main, "1");
    cr_expect_eq(context_live(), 2);
    context_release(main);
    cr_expect_eq(context_live(), 2, "a parent lives as long as its child");
    expect_text(one, "Main 1");
    cr_expect_eq(context_retain(one), one);
    context_release(one);
    expect_text(one, "Main 1");
    context_release(one);
    cr_expect_eq(context_live(), 0);
}

Test(context, a_freed_node_is_recognised) {
    struct context *context = context_named("old");
    uint64_t serial = atomic_load(&context->serial);
    cr_expect(context_is(context, serial));
    context_release(context);
    cr_expect_not(context_is(context, serial));
    struct context *reused = context_named("new");
    cr_expect_eq(reused, context, "this test needs the same memory");
    cr_expect_not(context_is(reused, serial), "a serial is never used again");
    context_release(reused);
}

Test(context, two_children_share_their_parent) {
    struct context *main = context_named("Main");
    struct context *a = child(main, "A"), *b = child(main, "B");
    cr_expect_eq(a->parent, b->parent);
    expect_text(a, "Main A");
    expect_text(b, "Main B");
    cr_expect(context_descends(a, main) && context_descends(a, a) && context_descends(a, NULL));
    cr_expect_not(context_descends(a, b));
    cr_expect_not(context_descends(main, a));
    context_release(main);
    context_release(a);
    context_release(b);
}

/* What context_format ought to write, by snprintf. */
static void expect_formats_like(const struct context *context, const char *whole) {
    size_t length = strlen(whole);
    for (size_t size = 0; size <= length + 2; size++) {
        char got[TEXT_ROOM], expected[TEXT_ROOM];
        memset(got, '#', sizeof got);
        memset(expected, '#', sizeof expected);
        snprintf(expected, size, "%s", whole);
        cr_assert_eq(context_format(context, got, size), length, "the length of \"%s\" at size %zu", whole,
                     size);
        cr_assert_arr_eq(got, expected, sizeof got, "\"%s\" at size %zu is \"%.20s\"", whole, size, got);
    }
}

Test(context, is_cut_at_every_size) {
    struct context *main = context_named("Main");
    struct context *request = context_root(context_retain(main), "conn#", 1234567890123, 0);
    struct context *step = child(request, "a step with a name that is longer than a node");
    struct context *doubtful = context_ambiguous(step, NULL, 0, 0);
    struct context *below = child(doubtful, "B");
    expect_formats_like(NULL, "");
    expect_formats_like(main, "Main");
    expect_formats_like(request, "Main conn#1234567890123");
    expect_formats_like(step, "Main conn#1234567890123 a step with a name that is longer than a node");
    expect_formats_like(doubtful, "Main conn#1234567890123 a step with a name that is longer than a node?");
    expect_formats_like(below, "Main conn#1234567890123 a step with a name that is longer than a node? B");
    context_release(main);
    context_release(request);
    context_release(step);
    context_release(doubtful);
    context_release(below);
}

Test(context, numbers_are_written_whole) {
    static const struct {
        uint64_t number;
        const char *text;
    } cases[] = {{0, "n0"}, {9, "n9"}, {10, "n10"}, {UINT64_MAX, "n18446744073709551615"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct context *context = context_root(NULL, "n", cases[i].number, 0);
        expect_formats_like(context, cases[i].text);
        context_release(context);
    }
}

Test(context, keeps_names_of_every_length) {
    static const size_t lengths[] = {0, 1, 23, 24, 25, 40, 239, 240, 254, 255, 256, 4000, 5000, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t length = lengths[i];
        char *name = malloc(length + 1), *got = malloc(length + 1);
        cr_assert(name != NULL && got != NULL);
        for (size_t at = 0; at < length; at++)
            name[at] = (char)('a' + at % 26);
        name[length] = '\0';
        struct context *context = context_operation(NULL, name, length, 0);
        name[0] = name[0] == '\0' ? '\0' : '!'; /* the store has its own copy */
        cr_expect_eq(context_format(context, got, length + 1), length);
        name[0] = name[0] == '\0' ? '\0' : 'a';
        cr_expect_str_eq(got, name, "a name of %zu bytes", length);
        context_release(context);
        free(name);
        free(got);
    }
}

Test(context, an_ambiguous_one_shows_a_question_mark_and_keeps_its_links) {
    struct context *a = context_named("A");
    struct context *others[5];
    for (int i = 0; i < 5; i++)
        others[i] = context_named("other");
    struct context *doubtful = context_ambiguous(a, others, 5, 0);
    for (int i = 0; i < 5; i++)
        context_release(others[i]);
    cr_expect_eq(context_live(), 2 + CONTEXT_LINKS, "the first links are kept, the rest are not");
    expect_text(doubtful, "A?");
    cr_expect(context_descends(doubtful, a));
    cr_expect_not(context_descends_surely(doubtful, a));
    struct context *below = child(doubtful, "B");
    cr_expect(context_descends_surely(below, doubtful));
    cr_expect_not(context_descends_surely(below, a));
    context_release(a);
    context_release(doubtful);
    context_release(below);
}

Test(context, the_name_that_it_has_already_takes_no_memory) {
    struct context *request = context_root(NULL, "req#", 1, 1);
    cr_expect_eq(context_rename(request, "GET /"), 0);
    const struct context_name *name = atomic_load(&request->root.renamed);
    cr_expect_eq(context_rename(request, "GET /"), 0);
    cr_expect_eq(atomic_load(&request->root.renamed), name);
    cr_expect_eq(context_rename(request, "GET"), 0);
    cr_expect_neq(atomic_load(&request->root.renamed), name);
    context_release(request);
}

Test(context, rename_names_the_nearest_root) {
    struct context *connection = context_root(NULL, "conn#", 1, 0);
    struct context *request = context_root(context_retain(connection), "req#", 2, 0);
    struct context *step = child(request, "step");
    cr_expect_eq(context_rename(step, "GET /a-path-that-is-longer-than-a-node"), 0);
    expect_text(step, "conn#1 GET /a-path-that-is-longer-than-a-node step");
    cr_expect_eq(context_rename(request, ""), 0);
    expect_text(step, "conn#1  step");
    cr_expect_eq(context_rename(connection, "client"), 0);
    cr_expect_eq(context_rename(request, "x"), 0);
    expect_text(step, "client x step");
    struct context *plain = context_named("plain");
    cr_expect_eq(context_rename(plain, "x"), ENOENT);
    expect_text(plain, "plain");
    context_release(plain);
    context_release(connection);
    context_release(request);
    context_release(step);
}

enum { RENAMES = 20000, READERS = 3 };
static _Atomic bool renaming;

static void *read_names(void *argument) {
    const struct context *context = argument;
    long torn = 0;
    while (atomic_load(&renaming)) {
        char text[TEXT_ROOM];
        context_format(context, text, sizeof text);
        size_t length = strlen(text);
        for (size_t i = 1; i < length; i++)
            torn += text[i - 1] != text[length - 1] && text[i - 1] != ' ';
    }
    return (void *)torn;
}

/* Each name is one letter many times: a reader never sees two letters. */
Test(context, a_reader_sees_the_old_name_or_the_new_one) {
    struct context *request = context_root(NULL, "a", 0, 0);
    cr_assert_eq(context_rename(request, "aaaa"), 0);
    pthread_t readers[READERS];
    atomic_store(&renaming, true);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, read_names, request), 0);
    for (int i = 0; i < RENAMES; i++) {
        char name[64];
        memset(name, 'a' + i % 26, sizeof name);
        name[1 + i % 60] = '\0';
        cr_assert_eq(context_rename(request, name), 0);
    }
    atomic_store(&renaming, false);
    for (int i = 0; i < READERS; i++) {
        void *torn;
        pthread_join(readers[i], &torn);
        cr_expect_eq(torn, NULL, "%ld letters of another name", (long)torn);
    }
    context_release(request);
}

Test(context, a_thousand_deep) {
    struct context *context = NULL;
    for (int i = 0; i < 1000; i++)
        cr_assert_neq(context = context_operation(context, "x", 1, 0), NULL);
    cr_expect_eq(context_live(), 1000);
    cr_expect_eq(context_format(context, NULL, 0), 1999);
    context_release(context);
}
