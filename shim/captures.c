/* Captures of the API's that are out, and what places have let go of: see holders.h.
 *
 * States of a capture's slot: NULL, free, and anybody may take it by compare-and-swap; TAKEN, its owner fills
 * it in; a context, and whoever gives that back frees it the same way. Which of several captures of one
 * context is given back nobody can tell: any of them. All is async-signal-safe. */
#include "holders.h"

#include "../ctxstore/cell.h"
#include "../ctxstore/kernel.h"
#include "unwind.h"

#define TAKEN ((struct context *)1)

struct capture *captures_table;
struct gone *gone_table;

static unsigned slot_of(const struct context *context, unsigned probe) {
    return (unsigned)(((uint64_t)(uintptr_t)context * UINT64_C(0x9E3779B97F4A7C15) >> 40) + probe) %
           CAPTURES_MOST;
}

void capture_add_slow(struct context *context, const void *site) {
    for (unsigned probe = 0; context != NULL && probe < CAPTURE_PROBES; probe++) {
        struct capture *capture = &captures_table[slot_of(context, probe)];
        struct context *none = NULL;
        if (!atomic_compare_exchange_strong(&capture->context, &none, TAKEN))
            continue;
        local.site = site;
        capture->origin = origin_here();
        capture->since = context_clock != NULL ? context_clock() : 0;
        atomic_store_explicit(&capture->context, context, memory_order_release);
        return;
    }
}

void capture_remove_slow(const struct context *context) {
    for (unsigned probe = 0; context != NULL && probe < CAPTURE_PROBES; probe++) {
        struct capture *capture = &captures_table[slot_of(context, probe)];
        struct context *found = (struct context *)(uintptr_t)context;
        if (atomic_compare_exchange_strong(&capture->context, &found, NULL))
            return;
    }
}

/* Under the place's lock. A slot that is taken over while it is written may mix two texts. */
static uint16_t keep_gone(const void *place, const struct context *over, struct origin origin) {
    static _Atomic uint32_t next;
    unsigned number = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % (GONE_MOST - 1) + 1;
    struct gone *gone = &gone_table[number];
    const struct context *root = over;
    (void)origin;
    while (root != NULL && root->kind != CONTEXT_ROOT)
        root = root->parent;
    gone->place = place;
    gone->request = root != NULL ? atomic_load_explicit(&root->serial, memory_order_relaxed) : 0;
    gone->since = root != NULL ? __atomic_load_n(&root->stack, __ATOMIC_RELAXED) : 0;
    context_format(over, gone->text, sizeof gone->text);
    return (uint16_t)number;
}

bool captures_start(void) {
    enum { PAGE = 4096 };
    captures_table = kernel_map(CAPTURES_MOST * sizeof *captures_table);
    gone_table = kernel_map((GONE_MOST * sizeof *gone_table + PAGE - 1) / PAGE * PAGE);
    if (captures_table == NULL || gone_table == NULL) {
        captures_table = NULL;
        return false;
    }
    cell_let_go = keep_gone;
    return true;
}
