/* Reports of scopes: see report.h. They are made where the fault is found, inside the guard: no call of libc
 * that locks or allocates. */
#include "report.h"

#include "../ctxstore/kernel.h"
#include "hidden.h"
#include "place.h"
#include "say.h"
#include "text.h"
#include "thread.h"

/* The thread that this flow is on, by its kernel id; 0: none, it has ended or waits for its turn. */
static int thread_of(uint32_t flow) {
    const struct thread *record = atomic_load_explicit(&thread_records, memory_order_acquire);
    for (; record != NULL; record = record->next) {
        int tid = atomic_load_explicit(&record->tid, memory_order_acquire);
        if (tid != 0 && (uint32_t)record->flow.serial == flow)
            return tid;
    }
    return 0;
}

static void put_scope(struct text *text, const struct scope_view *scope) {
    char name[256] = "(attached or suppressed)", place[300];
    if (scope->node != NULL)
        context_format(scope->node, name, sizeof name);
    place_text(place, sizeof place, scope->site);
    int tid = thread_of(scope->flow);
    text_put(text, "'");
    hidden_put_text(text, name, '\'');
    text_put(text, "', opened at ");
    text_put(text, place);
    text_put(text, tid != 0 ? " by thread " : " by a thread that has ended, flow ");
    text_put_number(text, tid != 0 ? (uint64_t)tid : scope->flow);
}

void report_text(char *buffer, size_t size, enum scope_fault fault, const struct scope_view *scope,
                 const struct scope_view *around) {
    struct text text = text_in(buffer, size);
    text_put(&text, "ctxshim: thread ");
    text_put_number(&text, (uint64_t)kernel_tid());
    switch (fault) {
    case SCOPE_UNPOPPED:
        text_put(&text, " has left open scope ");
        put_scope(&text, scope);
        break;
    case SCOPE_OUT_OF_ORDER:
        text_put(&text, " has closed, out of order, scope ");
        put_scope(&text, scope);
        if (around == NULL)
            break;
        text_put(&text, ", with the one around it, ");
        put_scope(&text, around);
        break;
    case SCOPE_FOREIGN:
        text_put(&text, " may not close, since it is not inside it, scope ");
        put_scope(&text, scope);
        text_put(&text, "; nothing has changed");
        break;
    }
    text_end(&text);
}

void report_scope(enum scope_fault fault, const struct scope_view *scope, const struct scope_view *around) {
    char line[1000];
    report_text(line, sizeof line, fault, scope, around);
    say((const char *[]){line, "\n", NULL});
}

void report_watch(const struct key *key) {
    say((const char *[]){"ctxshim: a watcher of key '", key_name(key),
                         "' sets it each time that it is told, without end; it is not told again\n", NULL});
}
