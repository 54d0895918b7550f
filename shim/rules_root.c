/* Roots: where contexts begin in a program that never calls the API.
 *
 * An accepted connection is `conn#N`, numbered from 1 in each process; a request on it `req#M`, from 1
 * on each connection; a datagram that was sent here is `dgram#N`, from 1 in each process. Ingress starts
 * clean: a root derives from the loop's base, never from the request that happened to be served before it. */
#include "connection.h"
#include "rules.h"
#include "trace.h"

static _Atomic uint64_t connections, datagrams;

static struct context *root(struct thread *thread, const char *word, _Atomic uint64_t *counter) {
    uint64_t number = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
    struct context *base = context_retain(frame_base(thread));
    struct context *made = context_root(base, word, number, thread->flow.serial);
    if (made == NULL)
        context_release(base);
    trace_root(thread, made);
    return made;
}

struct context *root_connection(struct thread *thread) {
    return root(thread, "conn#", &connections);
}

struct context *root_datagram(struct thread *thread) {
    return root(thread, "dgram#", &datagrams);
}

struct context *root_request(struct thread *thread, struct open_file *file, uint32_t generation) {
    uint32_t number;
    struct context *connection = connection_asked(file, generation, thread->flow.serial, &number);
    struct context *request = context_root(connection, "req#", number, thread->flow.serial);
    if (request == NULL)
        context_release(connection);
    trace_root(thread, request);
    return request;
}

void root_forked(void) {
    atomic_store_explicit(&connections, 0, memory_order_relaxed);
    atomic_store_explicit(&datagrams, 0, memory_order_relaxed);
}
