/* Roots: where contexts begin in a program that never calls the API.
 *
 * An accepted connection is `conn#N`, numbered from 1 in each process; a request on it `req#M`, from 1
 * on each connection. Ingress starts clean: a root derives from the loop's base, never from the request
 * that happened to be served before it. */
#include "rules.h"

static _Atomic uint64_t connections;

struct context *root_connection(struct thread *thread) {
    uint64_t number = atomic_fetch_add_explicit(&connections, 1, memory_order_relaxed) + 1;
    struct context *base = context_retain(frame_base(thread));
    struct context *root = context_root(base, "conn#", number, thread->flow.serial);
    if (root == NULL)
        context_release(base);
    return root;
}

struct context *root_request(struct thread *thread, struct open_file *file, uint32_t generation) {
    uint32_t number = atomic_fetch_add_explicit(&file->requests, 1, memory_order_relaxed) + 1;
    struct context *connection = cell_copy(&file->root, generation);
    struct context *root = context_root(connection, "req#", number, thread->flow.serial);
    if (root == NULL)
        context_release(connection);
    return root;
}

void root_forked(void) {
    atomic_store_explicit(&connections, 0, memory_order_relaxed);
}
