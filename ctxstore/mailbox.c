/* Mailboxes: see cell.h, and mailbox.h for what is inside. Here is what all of them share, and those that
 * count (F3). */
#include "mailbox.h"

#include "slab.h"

#include <string.h>

/* A pipe of 64 KiB holds 8192 pointers, and so many more writers may wait for room. */
enum { COUNTS_AT_MOST = 256, BYTES_AT_MOST = 8192 + 1024 };

static struct slab mailbox_slab = SLAB(sizeof(struct mailbox));
static struct slab entry_slab = SLAB(sizeof(struct entry));

void mailbox_lock(struct mailbox *mailbox) {
    if (lock_take(&mailbox->lock))
        return;
    mailbox->first = mailbox->last = mailbox->spare = NULL;
    mailbox->entries = mailbox->reserved = 0;
    mailbox->lost = true;
}

static struct mailbox *mailbox_begin(bool bytes) {
    struct mailbox *mailbox = slab_take(&mailbox_slab);
    if (mailbox == NULL)
        return NULL;
    mailbox_lock(mailbox);
    mailbox->first = mailbox->last = mailbox->spare = NULL;
    mailbox->entries = mailbox->reserved = mailbox->open = mailbox->readers = 0;
    mailbox->entries_at_most = bytes ? BYTES_AT_MOST : COUNTS_AT_MOST;
    mailbox->bytes = bytes;
    mailbox->lost = false;
    if (mailbox->tickets == 0)
        mailbox->tickets = 1;
    mailbox->born = mailbox->tickets;
    atomic_store_explicit(&mailbox->holders, 1, memory_order_relaxed);
    atomic_store_explicit(&mailbox->missed, false, memory_order_relaxed);
    atomic_store_explicit(&mailbox->closed, false, memory_order_relaxed);
    atomic_store_explicit(&mailbox->orphaned, false, memory_order_relaxed);
    lock_give(&mailbox->lock);
    return mailbox;
}

struct mailbox *mailbox_new(void) {
    return mailbox_begin(false);
}

struct mailbox *mailbox_new_bytes(void) {
    return mailbox_begin(true);
}

struct mailbox *mailbox_hold(struct mailbox *mailbox) {
    atomic_fetch_add_explicit(&mailbox->holders, 1, memory_order_relaxed);
    return mailbox;
}

static void entry_free(struct entry *entry) {
    context_release(entry->context);
    slab_give(&entry_slab, entry);
}

void mailbox_entries_free(struct entry *entry) {
    while (entry != NULL) {
        struct entry *next = entry->next;
        entry_free(entry);
        entry = next;
    }
}

struct entry *mailbox_detach(struct mailbox *mailbox) {
    struct entry *all = mailbox->first;
    mailbox->first = mailbox->last = NULL;
    mailbox->entries = mailbox->reserved = 0;
    mailbox->lost = false;
    return all;
}

void mailbox_unlink(struct mailbox *mailbox, struct entry *entry) {
    struct entry *before = entry->prev, *after = entry->next;
    *(before != NULL ? &before->next : &mailbox->first) = after;
    *(after != NULL ? &after->prev : &mailbox->last) = before;
    if (entry->reserved)
        mailbox->reserved--;
    mailbox->entries--;
}

void mailbox_leave(struct mailbox *mailbox, struct entry *entry) {
    if (entry->next != NULL && !entry->joined)
        entry->next->joined = false; /* it was the first of its group */
    mailbox_unlink(mailbox, entry);
    entry->next = NULL;
}

void mailbox_clear(struct mailbox *mailbox) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    mailbox_lock(mailbox);
    struct entry *all = mailbox_detach(mailbox);
    lock_give(&mailbox->lock);
    mailbox_entries_free(all);
}

void mailbox_free(struct mailbox *mailbox) {
    if (atomic_fetch_sub_explicit(&mailbox->holders, 1, memory_order_acq_rel) != 1)
        return;
    mailbox_clear(mailbox);
    if (mailbox->spare != NULL)
        slab_give(&entry_slab, mailbox->spare);
    slab_give(&mailbox_slab, mailbox);
}

/* --- the writer ---------------------------------------------------------------------------------- */

/* The oldest call that has not come back: from its entry on, there is no known order. */
static struct entry *oldest_open(const struct mailbox *mailbox) {
    struct entry *entry = mailbox->last, *oldest = NULL;
    for (uint32_t open = mailbox->reserved; open > 0 && entry != NULL; entry = entry->prev)
        if (entry->reserved) {
            oldest = entry;
            open--;
        }
    return oldest;
}

static void entries_join(struct entry *from) {
    bool differ = false;
    for (const struct entry *entry = from; entry != NULL; entry = entry->next)
        differ |= entry->context != from->context;
    for (struct entry *entry = from; differ && entry->next != NULL; entry = entry->next)
        entry->next->joined = true;
}

static void entry_append(struct mailbox *mailbox, struct entry *entry) {
    entry->next = NULL;
    entry->prev = mailbox->last;
    entry->ticket = mailbox->tickets++;
    entry->taken = 0;
    entry->mark_size = 0;
    entry->reserved = true;
    entry->joined = entry->peeked = entry->begun = entry->doubtful = false;
    if (mailbox->last != NULL)
        mailbox->last->next = entry;
    else
        mailbox->first = entry;
    mailbox->last = entry;
    mailbox->entries++;
    mailbox->reserved++;
    entries_join(oldest_open(mailbox));
}

/* With the lock held. The last one that was used up is at hand. */
static struct entry *entry_new(struct mailbox *mailbox, struct context *context, struct origin origin,
                               uint64_t count) {
    struct entry *entry = mailbox->spare != NULL ? mailbox->spare : slab_take(&entry_slab);
    mailbox->spare = NULL;
    if (entry != NULL) {
        entry->context = context;
        entry->count = count;
        entry->origin = origin;
    }
    return entry;
}

/* A mailbox that nobody reads (another process does, or the kernel) keeps no contexts: when it is full,
 * everything is dropped, and nothing is queued until a read shows that it is empty again. */
uint64_t mailbox_reserve(struct mailbox *mailbox, struct context *context, uint64_t count) {
    if (__builtin_expect(mailbox == NULL, 0)) {
        context_release(context);
        return 0;
    }
    struct entry *dropped = NULL;
    uint64_t ticket = 0;
    bool placed = false, closed = atomic_load_explicit(&mailbox->closed, memory_order_relaxed);
    struct origin origin = origin_here();
    mailbox_lock(mailbox);
    struct entry *entry = mailbox->lost || closed || mailbox->entries == mailbox->entries_at_most
                              ? NULL
                              : entry_new(mailbox, context, origin, count);
    if (entry != NULL) {
        entry_append(mailbox, entry);
        ticket = entry->ticket;
        placed = true;
    } else {
        dropped = mailbox_detach(mailbox);
        mailbox->lost = true;
    }
    if (!placed && mailbox->bytes && !closed)
        ticket = mailbox->tickets++; /* of nothing, but the call is on its way */
    if (ticket != 0)
        mailbox->open++;
    lock_give(&mailbox->lock);
    mailbox_entries_free(dropped);
    if (!placed)
        context_release(context);
    return ticket;
}

/* With the lock held: a settled entry may be one with a settled neighbour of the same context, so that
 * a mailbox nobody reads stays small. What its bytes begin with is then no longer told. */
static bool entry_merges(const struct entry *entry) {
    const struct entry *before = entry->prev;
    return before != NULL && !before->reserved && before->context == entry->context && !entry->joined &&
           before->peeked == entry->peeked && before->doubtful == entry->doubtful;
}

/* With the lock held. The newest ones are looked at first. */
static struct entry *entry_of(const struct mailbox *mailbox, uint64_t ticket) {
    struct entry *entry = mailbox->last;
    while (entry != NULL && entry->ticket > ticket)
        entry = entry->prev;
    return entry != NULL && entry->ticket == ticket && entry->reserved ? entry : NULL;
}

/* With the lock held: returns it, when it leaves the list. */
static struct entry *entry_settle(struct mailbox *mailbox, struct entry *entry, uint64_t count) {
    entry->reserved = false;
    mailbox->reserved--;
    if (count < entry->taken)
        mailbox->lost = true; /* what was taken for its bytes were somebody else's */
    entry->count = count > entry->taken ? count - entry->taken : 0;
    bool merges = entry->count > 0 && entry_merges(entry);
    if (merges) {
        entry->prev->count += entry->count;
        entry->prev->mark_size = 0;
    }
    if (!merges && entry->count > 0)
        return NULL;
    mailbox_leave(mailbox, entry);
    return entry;
}

void mailbox_settle(struct mailbox *mailbox, uint64_t ticket, uint64_t count) {
    mailbox_commit(mailbox, ticket, count, NULL, 0);
}

void mailbox_commit(struct mailbox *mailbox, uint64_t ticket, uint64_t count, const void *bytes,
                    size_t size) {
    if (__builtin_expect(mailbox == NULL, 0))
        return;
    struct entry *gone = NULL;
    mailbox_lock(mailbox);
    struct entry *entry = entry_of(mailbox, ticket);
    if (entry != NULL && entry->taken == 0 && bytes != NULL) {
        entry->mark_size = size < MAILBOX_MARK ? (uint8_t)size : MAILBOX_MARK;
        memcpy(entry->mark, bytes, entry->mark_size);
    }
    if (entry != NULL)
        gone = entry_settle(mailbox, entry, count);
    if (ticket >= mailbox->born && mailbox->open > 0)
        mailbox->open--;
    lock_give(&mailbox->lock);
    mailbox_entries_free(gone);
}

/* --- the reader ---------------------------------------------------------------------------------- */

void verdict_add(struct verdict *verdict, const struct entry *entry, bool is_first) {
    verdict->doubtful |= entry->doubtful;
    if (is_first) {
        verdict->first = entry->context;
        verdict->origin = entry->origin;
    } else if (entry->context != verdict->first && verdict->other_count < CONTEXT_LINKS)
        verdict->others[verdict->other_count++] = entry->context;
}

/* A context that may be empty cannot be marked: an ambiguous delivery that starts with an empty one is
 * known to be unknown. */
struct delivery verdict_deliver(const struct verdict *verdict, bool known, uint64_t flow) {
    bool doubtful = verdict->first != NULL && verdict->first->kind == CONTEXT_AMBIGUOUS;
    bool several = verdict->other_count > 0 || verdict->doubtful;
    struct delivery delivery = {.origin = verdict->origin, .known = known, .ambiguous = doubtful || several};
    if (!known)
        return delivery;
    struct context *likeliest =
        verdict->first != NULL || verdict->other_count == 0 ? verdict->first : verdict->others[0];
    if (several && likeliest != NULL)
        delivery.context = context_ambiguous(likeliest, verdict->others, verdict->other_count, flow);
    else if (!several)
        delivery.context = context_retain(verdict->first);
    return delivery;
}

/* With the lock held: looks at entries until they add up to `count`; the last may be used in part. */
static bool entries_add_up(const struct mailbox *mailbox, uint64_t count, struct verdict *verdict) {
    uint64_t sum = 0;
    const struct entry *entry = mailbox->first;
    for (; entry != NULL && sum < count; entry = entry->next) {
        verdict_add(verdict, entry, entry == mailbox->first);
        sum += entry->count;
    }
    for (; entry != NULL && entry->joined; entry = entry->next)
        verdict_add(verdict, entry, false);
    return sum >= count;
}

/* With the lock held: takes `count` off; returns the entries that are used up. */
static struct entry *entries_use(struct mailbox *mailbox, uint64_t count) {
    struct entry *used = NULL;
    while (count > 0 && mailbox->first != NULL) {
        struct entry *entry = mailbox->first;
        if (entry->count > count) {
            entry->count -= count;
            break;
        }
        count -= entry->count;
        mailbox_unlink(mailbox, entry);
        entry->next = used;
        used = entry;
    }
    return used;
}

/* With the lock held: a part of a group was taken as ambiguous, so what is left of it is no less so. Returns
 * how many references were replaced, which are in `dropped`. */
static unsigned group_stays_doubtful(struct mailbox *mailbox, struct context *doubtful, bool part_of_first,
                                     struct context **dropped, unsigned room) {
    struct entry *entry = mailbox->first;
    unsigned count = 0;
    for (bool in = part_of_first; entry != NULL && count < room && (in || entry->joined);
         entry = entry->next) {
        dropped[count++] = entry->context;
        entry->context = context_retain(doubtful);
        in = false;
    }
    return count;
}

struct delivery mailbox_take(struct mailbox *mailbox, uint64_t count, bool drained, uint64_t flow) {
    if (__builtin_expect(mailbox == NULL, 0))
        return (struct delivery){0};
    enum { GROUP_AT_MOST = 64 };
    struct context *dropped[GROUP_AT_MOST];
    unsigned dropped_count = 0;
    struct verdict verdict = {0};
    mailbox_lock(mailbox);
    bool known = entries_add_up(mailbox, count, &verdict) && !mailbox->lost;
    struct delivery delivery = verdict_deliver(&verdict, known, flow);
    const struct entry *first = mailbox->first;
    bool lost = mailbox->lost;
    struct entry *used = NULL;
    if (known)
        used = entries_use(mailbox, count);
    else
        used = mailbox_detach(mailbox);
    mailbox->lost = lost && !drained; /* units that nobody can name are still there */
    if (known && delivery.ambiguous)
        dropped_count =
            group_stays_doubtful(mailbox, delivery.context, mailbox->first == first, dropped, GROUP_AT_MOST);
    lock_give(&mailbox->lock);
    for (unsigned i = 0; i < dropped_count; i++)
        context_release(dropped[i]);
    mailbox_entries_free(used);
    return delivery;
}

bool mailbox_has_others(struct mailbox *mailbox, int thread) {
    if (__builtin_expect(mailbox == NULL, 0))
        return false;
    bool others = false;
    mailbox_lock(mailbox);
    for (const struct entry *entry = mailbox->first; entry != NULL && !others; entry = entry->next)
        others = !entry->peeked && entry->origin.tid != thread;
    lock_give(&mailbox->lock);
    return others;
}

struct delivery mailbox_peek_new(struct mailbox *mailbox, uint64_t flow) {
    if (__builtin_expect(mailbox == NULL, 0))
        return (struct delivery){0};
    struct verdict verdict = {0};
    struct entry *old = NULL;
    bool first = true;
    mailbox_lock(mailbox);
    while (mailbox->first != NULL && mailbox->first->peeked && !mailbox->first->reserved) {
        struct entry *entry = mailbox->first;
        mailbox_unlink(mailbox, entry);
        entry->next = old;
        old = entry;
    }
    for (struct entry *entry = mailbox->first; entry != NULL; entry = entry->next) {
        verdict_add(&verdict, entry, first);
        entry->peeked = true;
        first = false;
    }
    struct delivery delivery = verdict_deliver(&verdict, !first && !mailbox->lost, flow);
    mailbox->lost = false; /* all that there was has been looked at */
    lock_give(&mailbox->lock);
    mailbox_entries_free(old);
    return delivery;
}
