/* A look at another flow's context: from another thread, or from another process.
 *
 * Nobody is stopped for it, and nothing is taken: the flow may leave the context and its nodes may serve
 * another one while they are looked at. What makes that safe:
 *   - memory of nodes and names is type-stable; it is copied, in one call of the kernel, and never followed
 *     where it lies: an address that has gone bad is an error there and no signal here;
 *   - a free node's serial is 0, its next one is new. Whoever frees a node writes the 0 before anything else
 *     of it, whoever makes one writes the serial last. So a copy between two equal serials is of one node;
 *   - a node keeps its path alive. So if the innermost one still has its serial when the whole path has been
 *     copied, then all of it was alive, and the text is one that was the flow's at a moment in between. */
#ifndef CTXSTORE_PEEK_H
#define CTXSTORE_PEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where something is copied from, and to. */
struct piece {
    void *to;
    const void *from;
    size_t size;
};

/* Somebody's memory: this process's, another's, a core file's. */
struct memory {
    /* Copies the pieces, one after another and in this order; false when one of them cannot be read. */
    bool (*read)(const struct memory *memory, const struct piece *pieces, unsigned count);
    int pid;
};
enum { MEMORY_PIECES = 4 };
/* A running process's, which may be this one. Needs what ptrace needs for others; no call of libc. */
struct memory memory_of(int pid);

static inline bool memory_copy(const struct memory *memory, void *to, const void *from, size_t size) {
    return memory->read(memory, &(struct piece){to, from, size}, 1);
}

/* A list that is followed there may lead in a circle: in a forged core file, or since it changed meanwhile.
 * Zero at its beginning; true once an address comes again, at the latest in the third round (Brent's way). */
struct circle {
    const void *mark;
    size_t steps, next;
};
static inline bool circle_closed(struct circle *circle, const void *address) {
    if (address == circle->mark)
        return true;
    if (circle->steps++ == circle->next) {
        circle->mark = address;
        circle->next = 2 * circle->steps;
    }
    return false;
}

/* Writes the stack of the context whose address lies at `current` (an address in that memory, as of a flow's
 * `current`) into the buffer, as context_format does; but what does not fit is cut at its beginning, with
 * "..." before the rest. Returns the text, which lies at the buffer's end; NULL when no look at it was whole,
 * since the flow changed it all the time. `size` is at least 16; `doubtful`: it is not for sure.
 * Async-signal-safe. */
const char *context_peek(const struct memory *memory, const void *current, char *buffer, size_t size,
                         bool *doubtful);

/* The request that a context belongs to: its nearest root. */
struct request_view {
    uint64_t serial; /* of the root; 0: there is none */
    bool over;       /* context_end */
    uint32_t since;  /* when it was answered or over (context_clock); 0: not yet, or nobody noted it */
};
/* As of the context whose address lies at `current`. False when no look was whole. Async-signal-safe. */
bool context_peek_request(const struct memory *memory, const void *current, struct request_view *view);

/* Calls `each` for every node from that context outwards: `at` is where the node is, `copy` what it was; the
 * links and names of a copy lead to that memory. `each` returns false to stop. False: no look was whole, and
 * some may have been told of nodes that are gone. Async-signal-safe, if `each` is. */
struct context;
bool context_peek_path(const struct memory *memory, const void *current,
                       bool (*each)(const struct context *at, const struct context *copy, void *arg),
                       void *arg);

#endif
