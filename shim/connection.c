/* Connections and their contexts, as nodes and at rest: see connection.h. */
#include "connection.h"

#include "../ctxstore/slab.h"

#include <string.h>

static uintptr_t root_load(const struct open_file *file) {
    return atomic_load_explicit(&file->root, memory_order_relaxed);
}

static void root_store(struct open_file *file, uintptr_t root) {
    atomic_store_explicit(&file->root, root, memory_order_release);
}

static uint64_t serial_of(const struct context *node) {
    return atomic_load_explicit(&node->serial, memory_order_relaxed);
}

/* --- waking up: with the cell locked -------------------------------------------------------------- */

/* What was at rest, as a node again. Consumes the reference to the parent. */
static struct context *node_again(struct context *parent, const char *word, uint64_t number, uint64_t serial,
                                  uint64_t flow) {
    struct context *node = context_root(parent, word, number, flow);
    if (node == NULL)
        context_release(parent);
    else
        atomic_store_explicit(&node->serial, serial, memory_order_release);
    return node;
}

static __attribute__((noinline)) struct context *root_again(struct open_file *file, uintptr_t root,
                                                            uint64_t flow) {
    struct context *node = node_again(NULL, "conn#", root >> 1, file->root_serial, flow);
    if (node != NULL)
        root_store(file, (uintptr_t)node);
    return node;
}

/* Borrowed; NULL: there is none, or no memory. */
static inline struct context *root_wake(struct open_file *file, uint64_t flow) {
    uintptr_t root = root_load(file);
    if (__builtin_expect((root & 1) != 0, 0))
        return root_again(file, root, flow);
    return (struct context *)root;
}

static void request_wake(struct open_file *file, uint64_t flow) {
    struct context *root = root_wake(file, flow);
    if (root == NULL)
        return;
    uint32_t number = atomic_load_explicit(&file->requests, memory_order_relaxed);
    struct context *node = node_again(context_retain(root), "req#", number, file->request_serial, flow);
    if (node == NULL)
        return;
    file->cell.context = node;
    file->request_serial = 0;
}

struct context *connection_root(struct open_file *file, uint32_t generation, uint64_t flow) {
    if (!cell_hold(&file->cell, generation))
        return NULL;
    struct context *root = context_retain(root_wake(file, flow));
    lock_give(&file->cell.lock);
    return root;
}

struct context *connection_asked(struct open_file *file, uint32_t generation, uint64_t flow,
                                 uint32_t *number) {
    *number = 0;
    if (!cell_hold(&file->cell, generation))
        return NULL;
    file->request_serial = 0;
    *number = atomic_fetch_add_explicit(&file->requests, 1, memory_order_relaxed) + 1;
    struct context *root = context_retain(root_wake(file, flow));
    lock_give(&file->cell.lock);
    return root;
}

struct context *connection_request(struct open_file *file, uint32_t generation, uint64_t flow) {
    if (!cell_hold(&file->cell, generation))
        return NULL;
    if (file->cell.context == NULL && file->request_serial != 0)
        request_wake(file, flow);
    struct context *request = context_retain(file->cell.context);
    lock_give(&file->cell.lock);
    return request;
}

/* --- coming to rest: with the cell locked --------------------------------------------------------- */

/* Is it no more than word, number and parent, and held so often? Who reads the count that is his own has seen
 * all that the others did before they let go. */
static bool is_bare(const struct context *node, uint32_t references) {
    return atomic_load_explicit(&node->references, memory_order_acquire) == references &&
           node->kind == CONTEXT_ROOT && !node->scoped && node->values == NULL && node->stack == 0 &&
           atomic_load_explicit(&node->marks, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&node->root.renamed, memory_order_relaxed) == NULL;
}

/* The flags come last: whoever made something outstanding did so before he let go of it. An answer that is on
 * its way is outstanding until its call has returned. */
static bool may_rest(const struct open_file *file, const struct context *root,
                     const struct context *request) {
    if (request != NULL &&
        (request->parent != root || !is_bare(request, 1) ||
         request->root.number != atomic_load_explicit(&file->requests, memory_order_relaxed)))
        return false;
    return is_bare(root, request != NULL ? 2 : 1) && root->parent == NULL &&
           !file_has(file, FILE_OUTSTANDING) && !file_has(file, FILE_UNFINISHED);
}

/* Consumes the connection's hold on both. */
static void come_to_rest(struct open_file *file, struct context *root, struct context *request) {
    if (request != NULL) {
        file->request_serial = serial_of(request);
        file->cell.context = NULL;
    }
    file->root_serial = serial_of(root);
    root_store(file, root->root.number << 1 | 1);
}

/* Both come to rest, if they may. */
static void connection_rest(struct open_file *file, uint32_t generation) {
    if (context_clock != NULL || context_ended != NULL || !connection_root_is_node(root_load(file)) ||
        !cell_hold(&file->cell, generation))
        return;
    uintptr_t held = root_load(file);
    struct context *root = (struct context *)held, *request = file->cell.context;
    bool rests = connection_root_is_node(held) && may_rest(file, root, request);
    if (rests)
        come_to_rest(file, root, request);
    lock_give(&file->cell.lock);
    if (!rests)
        return;
    context_release(request);
    context_release(root);
}

/* --- what was served lately ------------------------------------------------------------------------ */

/* Of one thread, who alone touches it. As many as fit a block: those of a small server all do. */
enum { RECENT = 63 };
struct recent {
    unsigned next;
    struct {
        struct open_file *file; /* NULL: none yet */
        uint32_t generation;
    } of[RECENT];
};

/* `recent` says that it is somewhere in such a list: a lost update among two threads leaves it in two, or as
 * nodes until it is served again. */
static void recent_drop(struct recent *recent, unsigned at) {
    struct open_file *file = recent->of[at].file;
    if (file == NULL || cell_generation(&file->cell) != recent->of[at].generation)
        return;
    atomic_store_explicit(&file->recent, 0, memory_order_relaxed);
    connection_rest(file, recent->of[at].generation);
}

void connection_serve(struct thread *thread, struct open_file *file, uint32_t generation) {
    struct recent *recent = thread->recent;
    if (recent == NULL) {
        if ((recent = block_take(sizeof *recent)) == NULL)
            return;
        memset(recent, 0, sizeof *recent);
        thread->recent = recent;
    }
    unsigned at = recent->next;
    recent->next = (at + 1) % RECENT;
    recent_drop(recent, at);
    recent->of[at].file = file;
    recent->of[at].generation = generation;
    atomic_store_explicit(&file->recent, 1, memory_order_relaxed);
}

void connection_forget_served(struct thread *thread) {
    struct recent *recent = thread->recent;
    thread->recent = NULL;
    for (unsigned i = 0; i < RECENT; i++)
        recent_drop(recent, i);
    block_give(recent, sizeof *recent);
}

/* --- its life -------------------------------------------------------------------------------------- */

void connection_begin(struct open_file *file, uint32_t generation, struct context *root) {
    bool alive = cell_hold(&file->cell, generation);
    if (alive) {
        atomic_store_explicit(&file->accepted_by, origin_here().tid, memory_order_relaxed);
        root_store(file, (uintptr_t)root);
        lock_give(&file->cell.lock);
    } else {
        context_release(root);
    }
}

static void context_over_with(struct context *context) {
    context_end(context);
    context_release(context);
}

/* The cell's own reference goes with the cell. */
void connection_end(struct open_file *file) {
    uint32_t generation = cell_generation(&file->cell);
    context_over_with(cell_copy(&file->cell, generation));
    if (!cell_hold(&file->cell, generation))
        return;
    uintptr_t root = root_load(file);
    root_store(file, 0);
    lock_give(&file->cell.lock);
    if (connection_root_is_node(root))
        context_over_with((struct context *)root);
}
