/* Inside a mailbox: what mailbox.c (counts, F3) and mailbox_bytes.c (bytes and messages, F4) share. For
 * others, cell.h says what a mailbox is.
 *
 * An entry's states, all under the mailbox's lock:
 *   RESERVED   a writer is inside its call; it may already have had its effect
 *   COMMITTED  the writer's call moved `count`
 * and from both it leaves the list when it is taken, or cancelled. A writer that comes back to settle a
 * ticket no longer in the list finds that a reader was faster. */
#ifndef CTXSTORE_MAILBOX_H
#define CTXSTORE_MAILBOX_H

#include "cell.h"

enum { MAILBOX_MARK = 8 };

struct entry {
    struct entry *next, *prev;
    struct context *context; /* a reference */
    uint64_t count;
    uint64_t taken; /* of bytes, while it was reserved */
    uint64_t ticket;
    struct origin origin;
    unsigned char mark[MAILBOX_MARK]; /* the first bytes of what is left of it */
    uint8_t mark_size;                /* 0: not known */
    bool reserved;
    bool joined; /* no known order against the entry before */
    bool peeked;
    bool begun;    /* a part of it was read */
    bool doubtful; /* another one was taken that may have been this one */
};

/* Type-stable: a writer that comes back late may lock a mailbox that serves another carrier now. Its
 * ticket is not found there, since tickets go on counting from life to life. */
struct mailbox {
    void *free_link; /* the slab's, while free */
    struct lock lock;
    _Atomic uint32_t holders;
    uint32_t entries, entries_at_most;
    uint32_t reserved; /* entries in the list that are */
    uint32_t open;     /* calls of writers that have not come back, of this life */
    uint32_t readers;  /* calls of readers that have not come back */
    struct entry *first, *last;
    struct entry *spare; /* its context is nobody's */
    uint64_t tickets;
    uint64_t born; /* the first ticket of this life */
    bool bytes;
    bool lost;             /* an entry found no place, or counts did not add up: nobody knows what is there */
    _Atomic bool missed;   /* something moved that was not counted: lost, as soon as the lock is taken */
    _Atomic bool closed;   /* nothing is queued ever again */
    _Atomic bool orphaned; /* nobody here writes to it any longer */
};

void mailbox_lock(struct mailbox *mailbox);

/* With the lock held. The first takes the whole list; the second one entry off it, which keeps its `next`. */
struct entry *mailbox_detach(struct mailbox *mailbox);
void mailbox_unlink(struct mailbox *mailbox, struct entry *entry);
/* The same where the others stay in their order: the next one may be the first of its group now. */
void mailbox_leave(struct mailbox *mailbox, struct entry *entry);
/* Frees a list chained by `next`. */
void mailbox_entries_free(struct entry *entry);

/* What a run of entries says: the first context, whether others are in it, which. */
struct verdict {
    struct context *first;
    struct context *others[CONTEXT_LINKS];
    unsigned other_count;
    struct origin origin; /* of the first */
    bool doubtful;        /* which of them it is cannot be told */
};

void verdict_add(struct verdict *verdict, const struct entry *entry, bool is_first);
struct delivery verdict_deliver(const struct verdict *verdict, bool known, uint64_t flow);

#endif
