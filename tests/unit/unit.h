/* What the unit tests of ctxstore share. Strategy: the store's own files are linked straight into the test
 * binary, and Criterion gives each test a process of its own, so counts of live contexts start at 0; every
 * test that makes contexts ends with `expect_no_contexts` as its teardown. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include "../../ctxstore/flow.h"

#include <criterion/criterion.h>
#include <string.h>

enum { TEXT_ROOM = 512 };

/* The context's stack as text; the buffer is the caller's thread's, overwritten by the next call. */
const char *text_of(const struct context *context);
void expect_text(const struct context *context, const char *expected);

/* A flow that starts empty. */
struct flow flow_new(void);
/* Scopes that must open. */
struct scope push(struct flow *flow, const char *name);
struct scope with(struct flow *flow, struct key *key, void *value);
struct scope attach(struct flow *flow, struct context *context);
struct scope root(struct flow *flow, struct context *base, const char *name);
struct scope suppress(struct flow *flow);
int close_scope(struct flow *flow, struct scope scope);

/* A context of one operation without a parent: a reference. */
struct context *context_named(const char *name);

/* What scope_report was told, once `faults_record` is called. */
struct faults {
    unsigned count[3]; /* by enum scope_fault */
    char last[TEXT_ROOM];
};
extern struct faults faults;
void faults_record(void);

/* How often the value was destroyed by a key made with `count_destroy`. */
void count_destroy(void *value);

void expect_no_contexts(void);

#endif
