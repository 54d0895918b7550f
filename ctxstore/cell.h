/* Where a context waits for its work: cells hold one context, mailboxes a FIFO of them.
 *
 * A *cell* is one place with a generation. A hook notes (cell, generation) before the real call; if the
 * carrier died meanwhile and its memory serves another, the generation differs and the hook's late
 * put or copy does nothing. States: generation even: dead, empty; odd: alive. All of it is guarded by
 * the cell's lock; the generation may be read without.
 *
 * A *mailbox* is for carriers that add up (an eventfd's counter, later a pipe's bytes). An entry is
 * *reserved* before the real call, since a reader may see its effect before the call returns, and then
 * *committed* with what was really moved, or *cancelled*. No lock is held across the call. Entries
 * reserved while another context's was still open have no known order among them: they are one group,
 * and whoever takes a part of a group cannot know which part it is. */
#ifndef CTXSTORE_CELL_H
#define CTXSTORE_CELL_H

#include "context.h"
#include "lock.h"
#include "origin.h"

struct cell {
    struct lock lock;
    _Atomic uint32_t generation;
    struct context *context; /* a reference */
    struct origin origin;    /* of whoever put it there */
    bool lasting;            /* it may wait here for ever: not when its request is over */
};

/* A dead cell comes alive, empty. Returns its generation. */
uint32_t cell_begin(struct cell *cell);
/* Drops the context and makes every (cell, generation) noted before stale. */
void cell_end(struct cell *cell);
uint32_t cell_generation(const struct cell *cell);

/* Replaces the context; consumes the reference. Into a stale cell: only drops it. */
void cell_put(struct cell *cell, uint32_t generation, struct context *context);
/* What is in it may stay there for ever, and is dropped when its request is over (context_end): by whoever
 * looks at it next. Until something else is put there. */
void cell_last(struct cell *cell, uint32_t generation);
/* Who put there what is in it. */
struct origin cell_origin(struct cell *cell);
/* Drops the context if it still is this one. */
void cell_clear(struct cell *cell, uint32_t generation, const struct context *context);
/* A new reference to the context, or NULL. */
struct context *cell_copy(struct cell *cell, uint32_t generation);

struct mailbox;

/* What was taken: a reference to the first context, and whether it is for sure. When it is not and
 * several are known, `context` is already marked ambiguous with links to the rest. */
struct delivery {
    struct context *context;
    struct origin origin; /* of the first */
    bool known;           /* false: the counts did not add up, somebody else writes or reads here too */
    bool ambiguous;       /* several contexts in one delivery */
};

/* NULL without memory. */
struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *mailbox);

/* Reserves a place for `count`; consumes the reference. Returns a ticket, 0 when there is no place:
 * then the mailbox knows that it has lost count, until it is empty again. */
uint64_t mailbox_reserve(struct mailbox *mailbox, struct context *context, uint64_t count);
/* The call moved `count` (0: nothing, cancel). A ticket that was taken meanwhile is no error. */
void mailbox_settle(struct mailbox *mailbox, uint64_t ticket, uint64_t count);
/* Takes what adds up to `count`, in order. `drained`: the carrier is empty now (a counter read as a whole),
 * so counting starts anew if it had been lost. */
struct delivery mailbox_take(struct mailbox *mailbox, uint64_t count, bool drained, uint64_t flow);
/* For a carrier whose wake-up is seen but never read: looks at what came since the last peek, and
 * drops what was peeked at before. */
struct delivery mailbox_peek_new(struct mailbox *mailbox, uint64_t flow);
void mailbox_clear(struct mailbox *mailbox);

#endif
