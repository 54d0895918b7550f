/* A connection's own contexts: its root (conn#N) and its latest request (req#M).
 *
 * They are nodes while anybody works for them. A connection that was answered and is idle keeps none: each is
 * a word, a number and a serial, for all of which the open file has room, and comes back as a node of that
 * serial when it is asked for. So ten thousand idle connections hold no context, and nobody can tell.
 *
 * States of either, under the cell's lock, while it has the file's generation:
 *            the root                                 the request
 *   none     `root` 0                                 the cell empty, request_serial 0
 *   a node   `root` a reference; root_serial idle     in the cell
 *   at rest  `root` its number, times two, plus one;  the cell empty, request_serial its own;
 *            root_serial its own                      `requests` is its number
 *
 * Each changes state by one store, before which all is written that the new state looks at: a fork child,
 * which may find the lock left behind in the middle, finds one state or the other.
 *
 * They come to rest when the connection alone holds them and nothing is outstanding; nobody can gain a
 * reference then but in here. And only where each is no more than word, number and parent: not renamed, not
 * marked, below the empty context. Where somebody wants to know when requests end (context_clock,
 * context_ended), they stay.
 *
 * Another thread may read the next request while the call that sends an answer has not returned yet. As long
 * as the flag says outstanding, which falls only after that call, nothing rests. The flag is no lock, though:
 * it falls for a moment when the peer has asked on meanwhile (answer_sent), and who has looked at it may find
 * another state a moment later. So:
 *   - whoever wants the request of a connection for its work asks connection_request, which wakes it:
 *     it is the same one, by number and serial, whether it rested meanwhile or not, and so rest is
 *     nothing that a writer or a reader can see, whatever the flag says;
 *   - who begins a request has the root and its new child in hand from connection_asked on, so that the
 *     root is held by more than this and nothing rests until the new request is in the cell; and from
 *     when it is counted the one before is not the latest and cannot rest, since its number could not
 *     be told any more;
 *   - what was begun stays in its reader's hand until it is marked outstanding.
 * Who looks through cell_copy instead (the end of a request, a note about its bytes) takes an empty cell for
 * "over", and a resting request is.
 *
 * Whoever has kept a pointer with its serial finds that node gone, as after its last release, and knows
 * nothing; whoever has kept the serial alone goes on knowing whose it is. */
#ifndef SHIM_CONNECTION_H
#define SHIM_CONNECTION_H

#include "openfile.h"
#include "thread.h"

/* A new connection's root. Consumes the reference. */
void connection_begin(struct open_file *file, uint32_t generation, struct context *root);
/* A new reference to it, or NULL. `flow`: whose the node is, if one must be made. */
struct context *connection_root(struct open_file *file, uint32_t generation, uint64_t flow);
/* The same; and counts one more request, whose number it gives. The latest so far is over, if it is at rest.
 */
struct context *connection_asked(struct open_file *file, uint32_t generation, uint64_t flow,
                                 uint32_t *number);
/* A new reference to the latest request, or NULL. */
struct context *connection_request(struct open_file *file, uint32_t generation, uint64_t flow);
/* The thread has accepted it, or answered on it: it is among those that it has served lately. The one that
 * falls out of them comes to rest, if it may. */
void connection_serve(struct thread *thread, struct open_file *file, uint32_t generation);
static inline void connection_served(struct thread *thread, struct open_file *file, uint32_t generation) {
    if (atomic_load_explicit(&file->recent, memory_order_relaxed) == 0)
        connection_serve(thread, file, generation);
}
/* The thread ends: all of them. */
void connection_forget_served(struct thread *thread);
static inline void connection_thread_end(struct thread *thread) {
    if (thread->recent != NULL)
        connection_forget_served(thread);
}
/* Nobody will ask or be answered on it any more. */
void connection_end(struct open_file *file);

/* A request's number as `answering` has it, which has sixteen bits; never 0. They are enough: a request ends
 * by an answer, which puts its own number there, or by another's, which empties it (connection_learns). What
 * is there is the latest's or the one's before, unless a write stands still before its call, or loses a race,
 * for exactly 65,535 requests of one connection; and then the rest of one request's bytes begin a new one. */
static inline uint16_t connection_answer(uint32_t number) {
    return (uint16_t)(number % UINT16_MAX + 1);
}

/* Is its root a node? For who looks on. */
static inline bool connection_root_is_node(uintptr_t root) {
    return root != 0 && (root & 1) == 0;
}

/* What waits in a carrier's cell: with a connection, its latest request. */
static inline struct context *carrier_context(struct open_file *file, uint32_t generation, uint64_t flow) {
    return file_kind(file) == FILE_CONNECTION ? connection_request(file, generation, flow)
                                              : cell_copy(&file->cell, generation);
}

#endif
