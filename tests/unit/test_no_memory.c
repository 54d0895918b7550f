/* H26: every allocation fails in turn. Strategy: the kernel's memory is asked for one object at a time, and
 * comes by way of this file, which refuses the nth request, or all from the nth on. A scenario that uses all
 * of the store is run for n = 1, 2, 3... in a process each, until none is refused any longer. It looks after
 * every call: what failed has changed nothing, what did not has done all of it; and in the end nothing lives.
 */
#include "../../ctxstore/cell.h"
#include "../../ctxstore/kernel.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned requests, refused_from, refused_to; /* refused: those in between, counted from 1 */

void *__real_kernel_map(size_t size);
void *__wrap_kernel_map(size_t size);
void *__wrap_kernel_map(size_t size) {
    requests++;
    return requests >= refused_from && requests <= refused_to ? NULL : __real_kernel_map(size);
}

/* Criterion's checks allocate, and a child's are not counted: a failed one is the exit status. */
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

enum { KEYS = 40, SCOPES = 12 };

static struct key *keys[KEYS];
static struct {
    int data[2]; /* how often each was destroyed */
    bool taken[2];
} values[KEYS];
static struct flow flow;
static struct scope scopes[SCOPES];
static unsigned open;

/* What the flow shows, to be compared later. */
struct sight {
    char text[TEXT_ROOM];
    const void *found[KEYS];
    const struct context *current;
};

static void look(struct sight *sight) {
    context_format(flow.current, sight->text, sizeof sight->text);
    for (int i = 0; i < KEYS; i++)
        sight->found[i] =
            flow.current != NULL && keys[i] != NULL ? values_get(flow.current->values, keys[i]) : NULL;
    sight->current = flow.current;
}

static void must_be_unchanged(const struct sight *before) {
    struct sight now;
    look(&now);
    MUST(now.current == before->current);
    MUST(strcmp(now.text, before->text) == 0);
    MUST(memcmp(now.found, before->found, sizeof now.found) == 0);
}

/* A scope that opened, or an error and no change. */
static void opened(struct scope scope, int error, const struct sight *before) {
    MUST((scope.node == NULL) == (error != 0));
    if (scope.node == NULL) {
        MUST(error == ENOMEM);
        must_be_unchanged(before);
    } else {
        scopes[open++] = scope;
    }
}

static void push_one(const char *name) {
    struct sight before;
    int error = 0;
    look(&before);
    struct scope scope = flow_push(&flow, name, HERE, &error);
    opened(scope, error, &before);
    if (scope.node != NULL)
        MUST(strstr(text_of(flow.current), name) != NULL);
}

static void set_one(int i, int which) {
    struct sight before;
    int error = 0;
    if (keys[i] == NULL)
        return;
    look(&before);
    int result = flow_set(&flow, keys[i], &values[i].data[which], &error);
    MUST(result == 0 || (result == -1 && error == ENOMEM));
    if (result != 0) {
        must_be_unchanged(&before);
        return;
    }
    values[i].taken[which] = true;
    MUST(values_get(flow.current->values, keys[i]) == &values[i].data[which]);
    for (int other = 0; other < KEYS; other++)
        MUST(other == i || keys[other] == NULL ||
             values_get(flow.current->values, keys[other]) == before.found[other]);
}

static void unset_one(int i) {
    struct sight before;
    int error = 0;
    if (keys[i] == NULL)
        return;
    look(&before);
    int result = flow_set(&flow, keys[i], NULL, &error);
    MUST(result >= 0 || error == ENOMEM);
    if (result != 0)
        must_be_unchanged(&before);
    else
        MUST(flow.current == NULL || values_get(flow.current->values, keys[i]) == NULL);
}

static void with_one(int i) {
    struct sight before;
    int error = 0;
    if (keys[i] == NULL)
        return;
    look(&before);
    struct scope scope = flow_with(&flow, keys[i], &values[i].data[1], HERE, &error);
    opened(scope, error, &before);
    if (scope.node != NULL && before.found[i] != &values[i].data[1])
        values[i].taken[1] = true;
}

static void detours(struct context *captured) {
    struct sight before;
    int error = 0;
    look(&before);
    struct scope scope = flow_attach(&flow, captured, HERE, &error);
    opened(scope, error, &before);
    look(&before);
    error = 0;
    scope = flow_suppress(&flow, HERE, &error);
    opened(scope, error, &before);
    look(&before);
    error = 0;
    scope = flow_root(&flow, captured, "a root with a name that needs memory of its own", HERE, &error);
    opened(scope, error, &before);
}

static void carriers(void) {
    struct cell cell = {0};
    uint32_t generation = cell_begin(&cell);
    cell_put(&cell, generation, flow_capture(&flow));
    struct context *doubtful = context_ambiguous(flow.current, &flow.current, 1, flow.serial);
    MUST(doubtful == NULL || doubtful->kind == CONTEXT_AMBIGUOUS);
    context_release(doubtful);
    struct mailbox *mailbox = mailbox_new();
    if (mailbox != NULL) {
        for (int i = 0; i < 3; i++) {
            uint64_t ticket = mailbox_reserve(mailbox, flow_capture(&flow), 1);
            if (ticket != 0)
                mailbox_settle(mailbox, ticket, 1);
        }
        struct delivery delivery = mailbox_take(mailbox, 2, false, flow.serial);
        MUST(delivery.known || delivery.context == NULL);
        context_release(delivery.context);
        mailbox_free(mailbox);
    }
    cell_end(&cell);
}

static void scenario(void) {
    flow_begin(&flow, NULL);
    for (int i = 0; i < KEYS; i++)
        keys[i] = key_create(i % 2 == 0 ? "key" : "a key whose name is rather long", count_destroy);
    push_one("short");
    push_one("a name that is too long to be kept in a node");
    for (int i = 0; i < KEYS; i++)
        set_one(i * 7 % KEYS, 0);
    struct context *captured = flow_capture(&flow);
    for (int i = 0; i < KEYS; i += 5)
        set_one(i, 1); /* over what was captured */
    flow_settle(&flow);
    for (int i = 0; i < KEYS; i += 3)
        unset_one(i);
    with_one(4);
    detours(captured);
    int renamed = context_rename(flow.current, "another name");
    MUST(renamed == 0 || renamed == ENOENT || renamed == ENOMEM);
    carriers();
    while (open > 0)
        MUST(flow_close(&flow, &scopes[--open]) == 0);
    for (int i = 0; i < KEYS; i++)
        unset_one(i);
    context_release(captured);
    flow_end(&flow);
    graveyard_bury();
    for (int i = 0; i < KEYS; i++) {
        for (int which = 0; which < 2; which++)
            MUST(values[i].data[which] == values[i].taken[which]);
        if (keys[i] != NULL)
            key_destroy(keys[i]);
    }
    MUST(context_live() == 0);
}

/* Runs it in a process of its own; true when nothing had to be refused. */
static bool passes_without_refusal(unsigned from, unsigned to) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        slab_chunk = 1;
        slab_refill = 1;
        requests = 0;
        refused_from = from;
        refused_to = to;
        scenario();
        _exit(requests < from ? 42 : 0);
    }
    cr_assert(waitpid(child, &status, 0) == child && WIFEXITED(status), "request %u to %u: %#x", from, to,
              (unsigned)status);
    cr_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 42, "request %u to %u", from, to);
    return WEXITSTATUS(status) == 42;
}

static unsigned fail_in_turn(bool once) {
    unsigned n = 1;
    while (!passes_without_refusal(n, once ? n : UINT32_MAX))
        n++;
    return n - 1;
}

TestSuite(no_memory, .timeout = 300);

Test(no_memory, h26_each_allocation_fails_once) {
    cr_expect_gt(fail_in_turn(true), 100, "the scenario ought to allocate");
}

Test(no_memory, h26_all_allocations_fail_from_each_on) {
    cr_expect_gt(fail_in_turn(false), 100, "the scenario ought to allocate");
}
