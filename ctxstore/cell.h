/* Where a context waits for its work: cells hold one context, mailboxes a FIFO of them.
 *
 * A *cell* is one place with a generation. A hook notes (cell, generation) before the real call; if the
 * carrier died meanwhile and its memory serves another, the generation differs and the hook's late
 * put or copy does nothing. States: generation even: dead, empty; odd: alive. All of it is guarded by
 * the cell's lock; the generation may be read without.
 *
 * A *mailbox* is for carriers that add up (an eventfd's counter, a pipe's bytes). An entry is
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
    struct context *context; /* a reference; changed by cell_set, for who compares it without the lock */
    int tid;                 /* this and the next: whoever put it there (origin.h) */
    uint16_t site;
    uint16_t lasting : 1; /* it may wait here for ever: not when its request is over */
    uint16_t let_go : 15; /* what was let go of so, as cell_let_go named it; 0: nothing */
};

enum { CELL_LET_GO_MOST = (1 << 15) - 1 };
_Static_assert(sizeof(struct cell) == 24, "there is one in every open file");

/* A dead cell comes alive, empty. Returns its generation. */
uint32_t cell_begin(struct cell *cell);
/* Drops the context and makes every (cell, generation) noted before stale. */
void cell_end(struct cell *cell);
static inline uint32_t cell_generation(const struct cell *cell) {
    return atomic_load_explicit(&cell->generation, memory_order_acquire);
}

/* Replaces the context; consumes the reference. Into a stale cell: only drops it. */
void cell_put(struct cell *cell, uint32_t generation, struct context *context);
/* What is in it may stay there for ever, and is dropped when its request is over (context_end): by whoever
 * looks at it next. Until something else is put there. */
void cell_last(struct cell *cell, uint32_t generation);
/* Told when a place lets go of a context (borrowed) whose request is over, though it goes on waiting there:
 * where the place is, and who had put it there. Returns a name for it, or 0. Under the place's lock; NULL:
 * nobody wants to know. Set once at start-up. */
extern uint16_t (*cell_let_go)(const void *place, const struct context *over, struct origin origin);
/* The two with one lock. */
struct context *cell_copy_last(struct cell *cell, uint32_t generation);

/* With the cell locked. */
static inline void cell_set(struct cell *cell, struct context *context) {
    __atomic_store_n(&cell->context, context, __ATOMIC_RELEASE);
}
/* The same as cell_put does; what was there is returned, with its reference. */
struct context *cell_replace(struct cell *cell, struct context *context, struct origin origin);
/* What is in it, or was, a moment ago; not to be looked into, only to be compared with what the caller holds:
 * if it is that, it was in the cell, and in this life of it. Takes no lock. */
static inline const struct context *cell_glance(const struct cell *cell, uint32_t generation) {
    const struct context *context = __atomic_load_n(&cell->context, __ATOMIC_ACQUIRE);
    return cell_generation(cell) == generation ? context : NULL;
}
/* Locks the cell for whoever looks after what is in it himself, while it is alive and has this generation; he
 * gives it back with lock_give, and releases nothing meanwhile. False: it is not locked. */
static inline bool cell_hold(struct cell *cell, uint32_t generation) {
    if (!lock_take(&cell->lock))
        cell_set(cell, NULL); /* fork left it half changed: what it held is the parent's */
    if (cell_generation(cell) == generation)
        return true;
    lock_give(&cell->lock);
    return false;
}
/* Which thread put there what is in it, or was, a moment ago; 0: not known. Takes no lock. */
static inline int cell_giver(const struct cell *cell) {
    return __atomic_load_n(&cell->tid, __ATOMIC_RELAXED);
}
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
    bool elsewhere;       /* F4: nothing was waiting, and count was not lost: it came from elsewhere */
};

/* NULL without memory. In all that follow a mailbox may be NULL, which does nothing: a carrier that is closed
 * while another thread is in a call on it may be another one by then, which has none. */
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
/* Is something in it that another thread than this one put in, and nobody has looked at? */
bool mailbox_has_others(struct mailbox *mailbox, int thread);

/* --- bytes and messages (F4, mailbox_bytes.c) ------------------------------------------------------
 *
 * The mailbox of a pipe or a socketpair is held by both of its ends. It counts bytes, or messages where
 * their boundaries are kept, and has room for a full pipe of pointers. What is written is remembered by its
 * first bytes, its *mark*: where several contexts are waiting whose order is not known (writers that
 * overlapped, several readers at once), what was read tells which it is; and bytes that are nobody's show
 * that count was lost. Then nothing is known until the carrier has been seen empty. */

struct mailbox *mailbox_new_bytes(void);
/* One more holder, each of whom frees it. */
struct mailbox *mailbox_hold(struct mailbox *mailbox);
/* As mailbox_settle, with the first bytes of what was moved (NULL: not known). */
void mailbox_commit(struct mailbox *mailbox, uint64_t ticket, uint64_t count, const void *bytes, size_t size);
/* What is being moved turns out to be of another context (splice). Consumes the reference. */
void mailbox_rewrite(struct mailbox *mailbox, uint64_t ticket, struct context *context);
/* A reader is inside its call; both are to be called. */
void mailbox_read_begin(struct mailbox *mailbox);
void mailbox_read_end(struct mailbox *mailbox);
/* Takes `count`; the first `size` of what was read are at `bytes`. */
struct delivery mailbox_read(struct mailbox *mailbox, uint64_t count, const void *bytes, size_t size,
                             uint64_t flow);
/* What the next byte is, without taking it; `all`: with what else is waiting behind it. */
struct delivery mailbox_next(struct mailbox *mailbox, bool all, uint64_t flow);
/* Before which ticket has everything been taken, or begun to be? */
uint64_t mailbox_taken(struct mailbox *mailbox);

/* Something moved uncounted. Async-signal-safe. */
void mailbox_miss(struct mailbox *mailbox);
/* Whoever finds the carrier empty between the two says that counting starts anew. The first returns 0
 * when there is nothing to ask for: `idle` is whether the caller thinks that it is empty. */
uint64_t mailbox_doubts(struct mailbox *mailbox, bool idle);
void mailbox_seen_empty(struct mailbox *mailbox, uint64_t doubts);

/* Nobody will read it here: drops everything, and queues nothing ever after. */
void mailbox_close(struct mailbox *mailbox);
bool mailbox_is_closed(const struct mailbox *mailbox);
/* Nobody will write to it here. */
void mailbox_orphan(struct mailbox *mailbox);
bool mailbox_is_orphaned(const struct mailbox *mailbox);

#endif
