/* Cells: see cell.h. */
#include "cell.h"

static void cell_lock(struct cell *cell) {
    if (!lock_take(&cell->lock))
        cell->context = NULL; /* fork left it half changed: what it held is the parent's */
}

uint16_t (*cell_let_go)(const void *place, const struct context *over, struct origin origin);

static struct context *cell_swap(struct cell *cell, struct context *context) {
    struct context *before = cell->context;
    cell->context = context;
    return before;
}

static void generation_next(struct cell *cell) {
    uint32_t now = atomic_load_explicit(&cell->generation, memory_order_relaxed);
    atomic_store_explicit(&cell->generation, now + 1, memory_order_release);
}

uint32_t cell_begin(struct cell *cell) {
    cell_lock(cell);
    struct context *before = cell_swap(cell, NULL);
    cell->lasting = 0;
    cell->let_go = 0;
    generation_next(cell);
    uint32_t generation = atomic_load_explicit(&cell->generation, memory_order_relaxed);
    lock_give(&cell->lock);
    context_release(before);
    return generation;
}

void cell_end(struct cell *cell) {
    (void)cell_begin(cell);
}

void cell_put(struct cell *cell, uint32_t generation, struct context *context) {
    struct origin origin = origin_here();
    cell_lock(cell);
    if (cell_generation(cell) == generation) {
        context = cell_swap(cell, context);
        __atomic_store_n(&cell->tid, origin.tid, __ATOMIC_RELAXED);
        cell->site = origin.site;
        cell->lasting = 0;
        cell->let_go = 0;
    }
    lock_give(&cell->lock);
    context_release(context);
}

void cell_clear(struct cell *cell, uint32_t generation, const struct context *context) {
    struct context *dropped = NULL;
    cell_lock(cell);
    if (cell_generation(cell) == generation && cell->context == context)
        dropped = cell_swap(cell, NULL);
    lock_give(&cell->lock);
    context_release(dropped);
}

void cell_last(struct cell *cell, uint32_t generation) {
    cell_lock(cell);
    if (cell_generation(cell) == generation)
        cell->lasting = 1;
    lock_give(&cell->lock);
}

struct context *cell_copy(struct cell *cell, uint32_t generation) {
    struct context *context = NULL, *over = NULL;
    cell_lock(cell);
    if (cell->lasting && context_over(cell->context)) {
        over = cell_swap(cell, NULL);
        if (cell_let_go != NULL && over != NULL)
            cell->let_go =
                cell_let_go(&cell->context, over, (struct origin){cell->tid, cell->site}) & CELL_LET_GO_MOST;
    }
    if (cell_generation(cell) == generation)
        context = context_retain(cell->context);
    lock_give(&cell->lock);
    context_release(over);
    return context;
}
