/* Which operation comes next: a row of ops.def, by its weight, of those that may be done here. */
#include "ops.h"

#include <alloca.h>

static const struct operation {
    const char *name;
    unsigned weight;
    int where;
    void (*run)(void);
} operations[] = {
#define OPERATION(name, weight, where) {#name, weight, where, name},
#include "ops.def"
#undef OPERATION
};

_Thread_local int here_where;

/* Sanitizers take a coroutine's stack for somebody else's. */
static bool is_known_here(const struct operation *operation) {
    void (*run)(void) = operation->run;
    if (UNDER_TSAN && (run == posix_timer || run == asynchronous_io || run == message_queue ||
                       run == fork_child || run == cancel_thread))
        return false;
    return !(UNDER_TSAN || UNDER_ASAN) || run != run_coroutines;
}

static bool may_be_done(const struct operation *operation, int where) {
    return (operation->where & where) != 0 && is_known_here(operation) &&
           (asked.op == NULL || strcmp(asked.op, operation->name) == 0);
}

static const struct operation *choose(int where) {
    unsigned all = 0;
    for (size_t i = 0; i < LENGTH(operations); i++)
        all += may_be_done(&operations[i], where) ? operations[i].weight : 0;
    unsigned at = below(all);
    for (size_t i = 0; i < LENGTH(operations); i++) {
        if (!may_be_done(&operations[i], where))
            continue;
        if (at < operations[i].weight)
            return &operations[i];
        at -= operations[i].weight;
    }
    return NULL;
}

void step(int where) {
    const struct operation *operation = choose(where);
    int before = here_where;
    if (operation == NULL)
        return;
    remark("  %s", operation->name);
    here_where = where;
    operation->run();
    here_where = before;
    if (where != HANDLER)
        network_settle();
}

__attribute__((noinline)) void steps_deeper(unsigned count, int where) {
    char *volatile room = alloca(16 + below(64) * 16);
    room[0] = 1;
    for (unsigned i = 0; i < count; i++)
        step(where);
    room[1] = 1;
}
