/* Mailboxes of bytes and messages (F4): see cell.h for what they promise, mailbox.h for what is inside.
 *
 * A read takes entries from the front. Where the front is a group without a known order, or where so many
 * readers are inside their calls that any of the first few entries may be the one, the bytes decide. */
#include "mailbox.h"

#include <string.h>

/* So many equal bytes are no chance: a pointer, or a part of one. */
enum { MARK_STRONG = 4 };

void mailbox_rewrite(struct mailbox *mailbox, uint64_t ticket, struct context *context) {
    if (__builtin_expect(mailbox == NULL, 0)) {
        context_release(context);
        return;
    }
    mailbox_lock(mailbox);
    struct entry *entry = mailbox->last;
    while (entry != NULL && entry->ticket > ticket)
        entry = entry->prev;
    if (entry != NULL && entry->ticket == ticket) {
        struct context *before = entry->context;
        entry->context = context;
        context = before;
    }
    lock_give(&mailbox->lock);
    context_release(context);
}

void mailbox_read_begin(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    mailbox_lock(mailbox);
    mailbox->readers++;
    lock_give(&mailbox->lock);
}

void mailbox_read_end(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    mailbox_lock(mailbox);
    if (mailbox->readers > 0)
        mailbox->readers--;
    lock_give(&mailbox->lock);
}

/* --- which entry it is ----------------------------------------------------------------------------- */

/* Those that may be the next: what the bytes say about them. */
struct candidates {
    struct entry *match;   /* the first that begins with the bytes */
    struct entry *unknown; /* the first of which that cannot be said */
    struct entry *owed; /* the first that begins otherwise, but stands for one that was taken in its stead */
    size_t agreed;      /* how many bytes told so of `match` */
    bool matches_differ, unknown_differ;
    bool several; /* different contexts */
};

static void candidate_add(struct candidates *all, struct entry *entry, const void *bytes, size_t size) {
    size_t compared = entry->mark_size < size ? entry->mark_size : size;
    if (compared == 0) {
        all->unknown_differ |= all->unknown != NULL && all->unknown->context != entry->context;
        all->unknown = all->unknown != NULL ? all->unknown : entry;
    } else if (memcmp(entry->mark, bytes, compared) == 0) {
        all->matches_differ |= all->match != NULL && all->match->context != entry->context;
        all->match = all->match != NULL ? all->match : entry;
        all->agreed = compared;
    } else if (entry->doubtful && all->owed == NULL) {
        all->owed = entry;
    }
}

/* With the lock held: may `entry`, at this place in the list, be what a read got? */
static bool is_candidate(const struct mailbox *mailbox, const struct entry *entry, uint32_t place) {
    return entry != NULL && (place == 0 || place < mailbox->readers || entry->joined);
}

/* With the lock held: several may be it. All that do not lie otherwise are in the verdict, and stay in
 * doubt. */
static struct entry *candidates_doubt(struct mailbox *mailbox, struct entry *likeliest, const void *bytes,
                                      size_t size, struct verdict *verdict) {
    uint32_t place = 0;
    verdict->doubtful = true;
    for (struct entry *entry = mailbox->first; is_candidate(mailbox, entry, place); entry = entry->next) {
        struct candidates alone = {0};
        candidate_add(&alone, entry, bytes, size);
        if (entry != likeliest && (alone.match != NULL || alone.unknown != NULL || alone.owed != NULL)) {
            entry->doubtful = true;
            if (verdict->first == NULL && verdict->other_count == 0)
                verdict->first = likeliest->context;
            verdict_add(verdict, entry, false);
        }
        place++;
    }
    return likeliest;
}

/* With the lock held: the entry whose bytes these are; NULL when they are nobody's. Where a guess has taken
 * another's before its bytes were known, what is left of the two stands for the other: in doubt, but the
 * count goes on. */
static struct entry *entry_of_bytes(struct mailbox *mailbox, const void *bytes, size_t size,
                                    struct verdict *verdict) {
    struct candidates all = {0};
    uint32_t place = 0;
    for (struct entry *entry = mailbox->first; is_candidate(mailbox, entry, place); entry = entry->next) {
        all.several |= entry->context != mailbox->first->context;
        candidate_add(&all, entry, bytes, size);
        place++;
    }
    struct entry *likeliest = all.match != NULL ? all.match : all.unknown != NULL ? all.unknown : all.owed;
    bool guessed = all.match == NULL && all.owed != NULL;
    if (all.match != NULL && !all.matches_differ && all.agreed >= MARK_STRONG)
        all.match->doubtful = false; /* then it was not this one that was taken */
    bool rival = all.unknown != NULL && all.match != NULL &&
                 (all.unknown_differ || all.unknown->context != all.match->context) &&
                 all.agreed < MARK_STRONG;
    bool differ = guessed || (all.match != NULL ? all.matches_differ || rival : all.unknown_differ);
    if (likeliest == NULL || !all.several || !differ)
        return likeliest;
    return candidates_doubt(mailbox, likeliest, bytes, size, verdict);
}

/* --- taking ---------------------------------------------------------------------------------------- */

/* With the lock held: what is left of an entry is the next to be read. */
static void entry_to_front(struct mailbox *mailbox, struct entry *entry) {
    bool reserved = entry->reserved;
    if (mailbox->first == entry)
        return;
    mailbox_leave(mailbox, entry);
    entry->prev = NULL;
    entry->next = mailbox->first;
    entry->joined = false;
    mailbox->first->prev = entry;
    mailbox->first = entry;
    mailbox->entries++;
    mailbox->reserved += reserved;
}

/* With the lock held: takes up to `count` of it. An entry that is used up goes to the list of those. */
static uint64_t entry_use(struct mailbox *mailbox, struct entry *entry, uint64_t count, struct entry **used) {
    if (entry->count <= count) {
        uint64_t all = entry->count;
        mailbox_leave(mailbox, entry);
        entry->next = *used;
        *used = entry;
        return all;
    }
    entry->count -= count;
    entry->begun = true;
    if (entry->reserved)
        entry->taken += count;
    if (count < entry->mark_size) {
        entry->mark_size -= (uint8_t)count;
        memmove(entry->mark, entry->mark + count, entry->mark_size);
    } else {
        entry->mark_size = 0;
    }
    entry_to_front(mailbox, entry);
    return count;
}

/* With the lock held: what moved uncounted is in between. */
static struct entry *strays_see(struct mailbox *mailbox) {
    if (!atomic_exchange_explicit(&mailbox->missed, false, memory_order_relaxed))
        return NULL;
    struct entry *all = mailbox_detach(mailbox);
    mailbox->lost = true;
    return all;
}

/* With the lock held. False: they do not add up. */
static bool entries_read(struct mailbox *mailbox, uint64_t count, const char *bytes, size_t size,
                         struct verdict *verdict, struct entry **used) {
    bool first = true;
    while (count > 0) {
        struct entry *entry = entry_of_bytes(mailbox, bytes, size, verdict);
        if (entry == NULL)
            return false;
        verdict_add(verdict, entry, first);
        uint64_t taken = entry_use(mailbox, entry, count, used);
        count -= taken;
        bytes += taken < size ? taken : size;
        size -= taken < size ? taken : size;
        first = false;
    }
    return true;
}

/* With the lock held: keeps one of those that are used up, and returns its context. */
static struct context *entry_spare(struct mailbox *mailbox, struct entry **used) {
    struct entry *entry = *used;
    if (entry == NULL || mailbox->spare != NULL)
        return NULL;
    *used = entry->next;
    mailbox->spare = entry;
    return entry->context;
}

struct delivery mailbox_read(struct mailbox *mailbox, uint64_t count, const void *bytes, size_t size,
                             uint64_t flow) {
    if (__builtin_expect(mailbox == NULL, 0))
        return (struct delivery){0};
    struct verdict verdict = {0};
    struct entry *used = NULL, *dropped = NULL;
    struct delivery delivery = {.elsewhere = true};
    mailbox_lock(mailbox);
    struct entry *strays = strays_see(mailbox);
    if (mailbox->first != NULL || mailbox->lost) {
        bool known = !mailbox->lost && entries_read(mailbox, count, bytes, size, &verdict, &used);
        delivery = verdict_deliver(&verdict, known, flow);
        if (!known) {
            dropped = mailbox_detach(mailbox);
            mailbox->lost = true;
        }
    }
    struct context *context = entry_spare(mailbox, &used);
    lock_give(&mailbox->lock);
    context_release(context);
    mailbox_entries_free(strays);
    mailbox_entries_free(used);
    mailbox_entries_free(dropped);
    return delivery;
}

struct delivery mailbox_next(struct mailbox *mailbox, bool all, uint64_t flow) {
    if (__builtin_expect(mailbox == NULL, 0))
        return (struct delivery){0};
    struct verdict verdict = {0};
    mailbox_lock(mailbox);
    struct entry *strays = strays_see(mailbox), *first = mailbox->first;
    for (struct entry *entry = first; entry != NULL && (all || entry == first || entry->joined);
         entry = entry->next)
        verdict_add(&verdict, entry, entry == first);
    struct delivery delivery = verdict_deliver(&verdict, first != NULL && !mailbox->lost, flow);
    delivery.elsewhere = first == NULL && !mailbox->lost;
    lock_give(&mailbox->lock);
    mailbox_entries_free(strays);
    return delivery;
}

uint64_t mailbox_taken(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return 0;
    mailbox_lock(mailbox);
    uint64_t ticket =
        mailbox->first != NULL ? mailbox->first->ticket + mailbox->first->begun : mailbox->tickets;
    lock_give(&mailbox->lock);
    return ticket;
}

/* --- losing count, and finding it again ------------------------------------------------------------ */

void mailbox_miss(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    atomic_store_explicit(&mailbox->missed, true, memory_order_relaxed);
}

uint64_t mailbox_doubts(struct mailbox *mailbox, bool idle) {
    if (__builtin_expect(mailbox == NULL, 0))
        return 0;
    mailbox_lock(mailbox);
    bool odd = mailbox->lost || (idle && mailbox->first != NULL);
    uint64_t doubts = odd && mailbox->open == 0 ? mailbox->tickets : 0;
    lock_give(&mailbox->lock);
    return doubts;
}

/* No writer was inside a call, and none has begun one since. */
void mailbox_seen_empty(struct mailbox *mailbox, uint64_t doubts) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    struct entry *strays = NULL;
    mailbox_lock(mailbox);
    if (mailbox->open == 0 && mailbox->tickets == doubts)
        strays = mailbox_detach(mailbox);
    lock_give(&mailbox->lock);
    mailbox_entries_free(strays);
}

void mailbox_close(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    atomic_store_explicit(&mailbox->closed, true, memory_order_relaxed);
    mailbox_clear(mailbox);
}

bool mailbox_is_closed(const struct mailbox *mailbox) {
    return mailbox == NULL || atomic_load_explicit(&mailbox->closed, memory_order_relaxed);
}

void mailbox_orphan(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    atomic_store_explicit(&mailbox->orphaned, true, memory_order_relaxed);
}

bool mailbox_is_orphaned(const struct mailbox *mailbox) {
    return mailbox == NULL || atomic_load_explicit(&mailbox->orphaned, memory_order_relaxed);
}
