/* Mailboxes: see cell.h.
 *
 * An entry's states, all under the mailbox's lock:
 *   RESERVED   a writer is inside its call; it may already have had its effect
 *   COMMITTED  the writer's call moved `count`
 * and from both it leaves the list when it is taken, or cancelled. A writer that comes back to settle a
 * ticket no longer in the list finds that a reader was faster. */
#include "cell.h"

#include "slab.h"

enum { ENTRIES_AT_MOST = 256 };

struct entry {
    struct entry *next;
    struct context *context; /* a reference */
    uint64_t count;
    uint64_t ticket;
    struct origin origin;
    bool reserved;
    bool joined; /* no known order against the entry before */
    bool peeked;
};

/* Type-stable: a writer that comes back late may lock a mailbox that serves another carrier now. Its
 * ticket is not found there, since tickets go on counting from life to life. */
struct mailbox {
    void *free_link; /* the slab's, while free */
    struct lock lock;
    uint32_t entries;
    struct entry *first, *last;
    uint64_t tickets;
    bool lost; /* an entry found no place: counts no longer add up */
};

static struct slab mailbox_slab = SLAB(sizeof(struct mailbox));
static struct slab entry_slab = SLAB(sizeof(struct entry));

static void mailbox_lock(struct mailbox *mailbox) {
    if (lock_take(&mailbox->lock))
        return;
    mailbox->first = mailbox->last = NULL;
    mailbox->entries = 0;
    mailbox->lost = true;
}

struct mailbox *mailbox_new(void) {
    struct mailbox *mailbox = slab_take(&mailbox_slab);
    if (mailbox == NULL)
        return NULL;
    mailbox_lock(mailbox);
    mailbox->first = mailbox->last = NULL;
    mailbox->entries = 0;
    mailbox->lost = false;
    if (mailbox->tickets == 0)
        mailbox->tickets = 1;
    lock_give(&mailbox->lock);
    return mailbox;
}

static void entry_free(struct entry *entry) {
    context_release(entry->context);
    slab_give(&entry_slab, entry);
}

static void entries_free(struct entry *entry) {
    while (entry != NULL) {
        struct entry *next = entry->next;
        entry_free(entry);
        entry = next;
    }
}

/* With the lock held: takes the whole list. */
static struct entry *list_detach(struct mailbox *mailbox) {
    struct entry *all = mailbox->first;
    mailbox->first = mailbox->last = NULL;
    mailbox->entries = 0;
    mailbox->lost = false;
    return all;
}

void mailbox_clear(struct mailbox *mailbox) {
    mailbox_lock(mailbox);
    struct entry *all = list_detach(mailbox);
    lock_give(&mailbox->lock);
    entries_free(all);
}

void mailbox_free(struct mailbox *mailbox) {
    mailbox_clear(mailbox);
    slab_give(&mailbox_slab, mailbox);
}

/* --- the writer ---------------------------------------------------------------------------------- */

/* The oldest call that has not come back: from its entry on, there is no known order. */
static struct entry *oldest_open(const struct mailbox *mailbox) {
    struct entry *entry = mailbox->first;
    while (entry != NULL && !entry->reserved)
        entry = entry->next;
    return entry;
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
    entry->ticket = mailbox->tickets++;
    entry->reserved = true;
    entry->joined = entry->peeked = false;
    if (mailbox->last != NULL)
        mailbox->last->next = entry;
    else
        mailbox->first = entry;
    mailbox->last = entry;
    mailbox->entries++;
    entries_join(oldest_open(mailbox));
}

/* A mailbox that nobody reads (another process does, or the kernel) keeps no contexts: when it is full,
 * everything is dropped, and nothing is queued until a read shows that it is empty again. */
uint64_t mailbox_reserve(struct mailbox *mailbox, struct context *context, uint64_t count) {
    struct entry *entry = slab_take(&entry_slab), *dropped = NULL;
    uint64_t ticket = 0;
    if (entry != NULL) {
        entry->context = context;
        entry->count = count;
        entry->origin = origin_here();
    }
    mailbox_lock(mailbox);
    if (entry == NULL || mailbox->entries == ENTRIES_AT_MOST) {
        dropped = list_detach(mailbox);
        mailbox->lost = true;
    } else if (!mailbox->lost) {
        entry_append(mailbox, entry);
        ticket = entry->ticket;
    }
    lock_give(&mailbox->lock);
    entries_free(dropped);
    if (ticket == 0 && entry != NULL)
        entry_free(entry);
    else if (ticket == 0)
        context_release(context);
    return ticket;
}

/* With the lock held: takes the entry after `before` (or the first) off the list. */
static void entry_unlink(struct mailbox *mailbox, struct entry *before, struct entry *entry) {
    if (before != NULL)
        before->next = entry->next;
    else
        mailbox->first = entry->next;
    if (mailbox->last == entry)
        mailbox->last = before;
    mailbox->entries--;
}

/* With the lock held: a settled entry may be one with a settled neighbour of the same context, so that
 * a mailbox nobody reads stays small. */
static bool entry_merges(const struct entry *before, const struct entry *entry) {
    return before != NULL && !before->reserved && before->context == entry->context && !entry->joined &&
           before->peeked == entry->peeked;
}

void mailbox_settle(struct mailbox *mailbox, uint64_t ticket, uint64_t count) {
    struct entry *before = NULL, *gone = NULL;
    mailbox_lock(mailbox);
    struct entry *entry = mailbox->first;
    while (entry != NULL && entry->ticket != ticket) {
        before = entry;
        entry = entry->next;
    }
    if (entry != NULL) {
        entry->reserved = false;
        entry->count = count;
        bool merges = entry_merges(before, entry);
        if (merges)
            before->count += count;
        if (merges || count == 0) {
            entry_unlink(mailbox, before, entry);
            gone = entry;
        }
    }
    lock_give(&mailbox->lock);
    if (gone != NULL)
        entry_free(gone);
}

/* --- the reader ---------------------------------------------------------------------------------- */

/* What a run of entries says: the first context, whether others are in it, which. */
struct verdict {
    struct context *first;
    struct context *others[CONTEXT_LINKS];
    unsigned other_count;
    struct origin origin; /* of the first */
};

static void verdict_add(struct verdict *verdict, const struct entry *entry, bool is_first) {
    if (is_first) {
        verdict->first = entry->context;
        verdict->origin = entry->origin;
    } else if (entry->context != verdict->first && verdict->other_count < CONTEXT_LINKS)
        verdict->others[verdict->other_count++] = entry->context;
}

/* A context that may be empty cannot be marked: an ambiguous delivery that starts with an empty one is
 * known to be unknown. */
static struct delivery deliver(const struct verdict *verdict, bool known, uint64_t flow) {
    bool doubtful = verdict->first != NULL && verdict->first->kind == CONTEXT_AMBIGUOUS;
    struct delivery delivery = {
        .origin = verdict->origin, .known = known, .ambiguous = doubtful || verdict->other_count > 0};
    if (!known)
        return delivery;
    if (verdict->other_count > 0)
        delivery.context = context_ambiguous(verdict->first != NULL ? verdict->first : verdict->others[0],
                                             verdict->others, verdict->other_count, flow);
    else
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
        entry_unlink(mailbox, NULL, entry);
        entry->next = used;
        used = entry;
    }
    return used;
}

/* With the lock held: a part of a group was taken as ambiguous, so what is left of it is no less so.
 * Returns the references that were replaced, chained by entries that are not in use. */
static void group_stays_doubtful(struct mailbox *mailbox, struct context *doubtful, bool part_of_first,
                                 struct context **dropped, unsigned room) {
    struct entry *entry = mailbox->first;
    for (bool in = part_of_first; entry != NULL && room > 0 && (in || entry->joined); entry = entry->next) {
        *dropped++ = entry->context;
        room--;
        entry->context = context_retain(doubtful);
        in = false;
    }
}

struct delivery mailbox_take(struct mailbox *mailbox, uint64_t count, bool drained, uint64_t flow) {
    enum { GROUP_AT_MOST = 64 };
    struct context *dropped[GROUP_AT_MOST] = {NULL};
    struct verdict verdict = {0};
    mailbox_lock(mailbox);
    bool known = entries_add_up(mailbox, count, &verdict) && !mailbox->lost;
    struct delivery delivery = deliver(&verdict, known, flow);
    const struct entry *first = mailbox->first;
    bool lost = mailbox->lost;
    struct entry *used = NULL;
    if (known)
        used = entries_use(mailbox, count);
    else
        used = list_detach(mailbox);
    mailbox->lost = lost && !drained; /* units that nobody can name are still there */
    if (known && delivery.ambiguous)
        group_stays_doubtful(mailbox, delivery.context, mailbox->first == first, dropped, GROUP_AT_MOST);
    lock_give(&mailbox->lock);
    for (unsigned i = 0; i < GROUP_AT_MOST; i++)
        context_release(dropped[i]);
    entries_free(used);
    return delivery;
}

struct delivery mailbox_peek_new(struct mailbox *mailbox, uint64_t flow) {
    struct verdict verdict = {0};
    struct entry *old = NULL;
    bool first = true;
    mailbox_lock(mailbox);
    while (mailbox->first != NULL && mailbox->first->peeked && !mailbox->first->reserved) {
        struct entry *entry = mailbox->first;
        entry_unlink(mailbox, NULL, entry);
        entry->next = old;
        old = entry;
    }
    for (struct entry *entry = mailbox->first; entry != NULL; entry = entry->next) {
        verdict_add(&verdict, entry, first);
        entry->peeked = true;
        first = false;
    }
    struct delivery delivery = deliver(&verdict, !first && !mailbox->lost, flow);
    mailbox->lost = false; /* all that there was has been looked at */
    lock_give(&mailbox->lock);
    entries_free(old);
    return delivery;
}
