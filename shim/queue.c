/* What the sections of a queue tell: see queue.h. */
#include "queue_inside.h"

/* Periods that add up before an unknown site is known to enqueue; that do not before it is known to do
 * nothing. Periods that end with nothing handed over say nothing. */
enum { CREDIT = 4, BLAME = 3 };

/* --- what adds up: with the queue locked ---------------------------------------------------------- */

/* All that was agreed is forgotten: it may have been luck. */
static void queue_doubts_itself(struct queue *queue) {
    queue->clean = queue->agreed = queue->agreed_deep = queue->order = 0;
    if (++queue->strikes >= QUEUE_STRIKES)
        queue_silence(queue);
    else
        queue_state_set(queue, QUEUE_CANDIDATE);
}

static void sites_credit(struct queue *queue) {
    for (struct queue_site *site = queue->sites; site < queue->sites + queue->site_count; site++)
        if (site->used && !site->idles && ++site->credit >= CREDIT)
            site->enqueues = true;
}

static void sites_blame(struct queue *queue) {
    for (struct queue_site *site = queue->sites; site < queue->sites + queue->site_count; site++)
        if (site->used && ++site->blame >= BLAME)
            site->idles = true;
}

/* Places that surely enqueue have left something behind: then they do not always. */
static void sites_depend(struct queue *queue) {
    for (uint64_t ticket = queue->first; ticket < queue->next; ticket++) {
        const struct queue_entry *entry = queue_entry_at(queue, ticket);
        if (!entry->gone && entry->site < QUEUE_SITES)
            queue->sites[entry->site].idles = true;
    }
}

/* The queue is empty, says the program. */
static void queue_compare(struct queue *queue) {
    bool missed = atomic_exchange_explicit(&queue->missed, false, memory_order_relaxed);
    bool unsure = queue->doubt || queue_any_unsure(queue);
    if (missed || queue->lost) {
        /* what could not be counted proves nothing */
    } else if (queue->length > 0 && unsure) {
        sites_blame(queue);
    } else if (queue->length > 0) {
        sites_depend(queue);
        queue_doubts_itself(queue);
    } else if (queue->handed > 0) {
        sites_credit(queue);
        queue->clean += unsure ? 0 : queue->handed;
        if (queue->clean >= QUEUE_CLEAN && queue_state(queue) == QUEUE_CANDIDATE)
            queue_speaks(queue);
    }
    queue_entries_clear(queue);
    queue_empty(queue);
}

/* --- sections ------------------------------------------------------------------------------------ */

enum queue_wait queue_wait_at(struct queue *queue, const void *mutex, const void *condition,
                              uintptr_t depth) {
    enum queue_wait wait = QUEUE_WAIT_OTHER;
    if (!queue_enter(queue, queue_generation(queue)))
        return wait;
    if (queue->mutex == mutex && queue->condition == condition)
        wait = queue->wait_depth == depth ? QUEUE_WAIT_CONSUMER : QUEUE_WAIT_LOCK;
    lock_give(&queue->lock);
    return wait;
}

static bool is_waited_for(const struct queue *queue, const void *address) {
    return queue != NULL && (queue->condition != NULL ? queue->condition : queue->mutex) == address;
}

void queue_waits_inside(const void *address) {
    struct queue *queue = queue_of(address);
    if (!is_waited_for(queue, address) || queue_is_inside(queue))
        return;
    atomic_store_explicit(&queue->inside, true, memory_order_relaxed);
    queue_drop(queue, queue_generation(queue));
}

bool queue_is_inside(const struct queue *queue) {
    return queue != NULL && atomic_load_explicit(&queue->inside, memory_order_relaxed);
}

void queue_missed(struct queue *queue) {
    atomic_store_explicit(&queue->missed, true, memory_order_relaxed);
}

void queue_sleeps(struct queue *queue, uint32_t generation, bool empty) {
    if (!queue_enter(queue, generation))
        return;
    queue->sleepers++;
    bool open = !empty; /* a post that is on its way is not in yet */
    for (uint64_t ticket = queue->first; ticket < queue->next; ticket++)
        open |= queue_entry_at(queue, ticket)->open && !queue_entry_at(queue, ticket)->gone;
    if (queue_state(queue) != QUEUE_DROPPED && !open)
        queue_compare(queue);
    queue_leave(queue);
}

void queue_wakes(struct queue *queue, uint32_t generation) {
    if (!queue_enter(queue, generation))
        return;
    if (queue->sleepers > 0)
        queue->sleepers--;
    lock_give(&queue->lock);
}

static bool is_exit(const struct queue *queue, struct queue_place place) {
    for (unsigned i = 0; i < queue->exit_count; i++)
        if (queue->exits[i].site == place.site && queue->exits[i].depth == place.depth)
            return true;
    return false;
}

bool queue_is_exit(struct queue *queue, uint32_t generation, struct queue_place place) {
    if (!queue_enter(queue, generation))
        return false;
    bool known = is_exit(queue, place);
    lock_give(&queue->lock);
    return known;
}

static void exit_learn(struct queue *queue, struct queue_place place) {
    if (!is_exit(queue, place) && queue->exit_count < QUEUE_EXITS)
        queue->exits[queue->exit_count++] = place;
}

/* A semaphore's consumers and producers differ, or it is a lock. */
static bool consumes(const struct queue *queue, uint64_t flow) {
    for (unsigned i = 0; i < queue->consumer_count; i++)
        if (queue->consumers[i] == flow)
            return true;
    return false;
}

/* Order is only as good as the program's timing where several post or several wait: what is left is in doubt
 * until the queue is empty. */
static bool is_raced(struct queue *queue) {
    if (queue->condition != NULL || queue->length < 2)
        return false;
    uint64_t producer = queue_entry_first(queue)->producer;
    for (uint64_t ticket = queue->first; ticket < queue->next; ticket++)
        if (!queue_entry_at(queue, ticket)->gone && queue_entry_at(queue, ticket)->producer != producer)
            return true;
    return queue->consumer_count > 1;
}

static struct queue_handoff hand_over(struct queue *queue) {
    struct queue_entry *entry = queue_entry_first(queue);
    bool deep = queue->length > 1 || queue->chose;
    queue->chose = deep && queue->length > 1;
    queue->handed++;
    queue->doubt |= !entry->sure || is_raced(queue);
    entry->taken = entry->work != NULL && !queue->doubt;
    entry->others = (uint16_t)(queue->busy > 0 ? queue->busy - 1 : 0);
    entry->choices = queue->next - 1;
    entry->deep = deep;
    struct queue_handoff handoff = {.context = queue_entry_leave(queue, entry)};
    bool uncounted = queue->lost || atomic_load_explicit(&queue->missed, memory_order_relaxed);
    if (queue_state(queue) < QUEUE_TRIAL || queue_state(queue) > QUEUE_BELIEVED || uncounted) {
        context_release(handoff.context);
        return (struct queue_handoff){0};
    }
    if (queue->doubt || (handoff.context == NULL && entry->work != NULL)) /* it came before the queue spoke */
        return handoff;
    handoff.sure = queue_state(queue) == QUEUE_BELIEVED && (!deep || queue_is_in_order(queue));
    handoff.tag =
        (struct queue_tag){(uint16_t)(queue - queues + 1), queue_generation(queue) << 1 | (deep ? 1 : 0)};
    return handoff;
}

void queue_busy(struct queue *queue, uint32_t generation, bool busy) {
    if (!queue_enter(queue, generation))
        return;
    if (busy)
        queue->busy++;
    else if (queue->busy > 0)
        queue->busy--;
    lock_give(&queue->lock);
}

struct queue_handoff queue_take(struct queue *queue, uint32_t generation, struct queue_place place,
                                bool timed_out, uint64_t flow) {
    struct queue_handoff handoff = {0};
    if (!queue_enter(queue, generation))
        return handoff;
    if (queue->condition == NULL && !consumes(queue, flow) && queue->consumer_count < QUEUE_CONSUMERS)
        queue->consumers[queue->consumer_count++] = flow;
    bool was_exit = is_exit(queue, place);
    if (!timed_out) /* whoever was woken up, and does not wait again, has taken something */
        exit_learn(queue, place);
    if (queue_state(queue) == QUEUE_DROPPED) {
        /* silent */
    } else if (queue_entry_first(queue) != NULL) {
        handoff = hand_over(queue);
    } else if (!timed_out && !queue->lost && !atomic_load_explicit(&queue->missed, memory_order_relaxed)) {
        if (!queue->doubt && was_exit)
            queue_doubts_itself(queue);
        queue->doubt = true;
    }
    queue_leave(queue);
    return handoff;
}

/* What is taken stays in the ring for a while. */
static enum queue_work work_seen(struct queue *queue, const struct context *work, uint64_t serial) {
    enum { OF_LATE = 32 };
    if (work == NULL)
        return QUEUE_WORK_NONE;
    uint64_t ticket = queue->next > OF_LATE ? queue->next - OF_LATE : 0;
    for (; ticket < queue->next; ticket++) {
        const struct queue_entry *entry = queue_entry_at(queue, ticket);
        if (entry->work == work && entry->work_serial == serial)
            return QUEUE_WORK_AGAIN;
    }
    return QUEUE_WORK_NEW;
}

static uint8_t site_find(struct queue *queue, const void *site, enum queue_work work) {
    for (unsigned i = 0; i < queue->site_count; i++)
        if (queue->sites[i].site == site && queue->sites[i].work == work)
            return (uint8_t)i;
    if (queue->site_count == QUEUE_SITES)
        return QUEUE_SITES;
    queue->sites[queue->site_count] = (struct queue_site){.site = site, .work = work};
    return (uint8_t)queue->site_count++;
}

/* Room for one more, even if everything has to go: then nothing is known until the next empty wait. */
static void entries_make_room(struct queue *queue) {
    if (queue->next - queue->first < QUEUE_ENTRIES)
        return;
    queue_entries_clear(queue);
    queue->lost = true;
}

/* Returns whether it is one; consumes the reference if so. */
static bool put(struct queue *queue, const void *place, bool signalled, struct queue_entry new) {
    const struct context *work = context_root_of(new.context);
    uint64_t serial = work != NULL ? atomic_load_explicit(&work->serial, memory_order_relaxed) : 0;
    uint8_t number =
        queue->condition != NULL ? site_find(queue, place, work_seen(queue, work, serial)) : QUEUE_SITES;
    struct queue_site *site = number < QUEUE_SITES ? &queue->sites[number] : NULL;
    if (site != NULL && !signalled && site->idles && site->credit == 0)
        return false;
    bool sure = signalled || queue->condition == NULL || (site != NULL && site->enqueues && !site->idles);
    if (site != NULL && !sure)
        site->used = true;
    entries_make_room(queue);
    new.work = work;
    new.work_serial = serial;
    new.site = number;
    new.sure = sure;
    new.open = queue->condition == NULL;
    *queue_entry_at(queue, queue->next++) = new;
    queue->length++;
    return true;
}

struct queue_pending queue_put(struct queue *queue, uint32_t generation, const void *site, bool signalled,
                               struct context *context, uint64_t flow) {
    struct queue_pending pending = {0};
    const struct queue_entry new = {.context = context, .origin = origin_here(), .producer = flow};
    if (!queue_enter(queue, generation)) {
        context_release(context);
        return pending;
    }
    if (queue->condition == NULL && consumes(queue, flow))
        queue_silence(queue);
    bool idle = queue_entry_first(queue) == NULL && queue->sleepers > 0;
    if (queue_state(queue) != QUEUE_DROPPED && put(queue, site, signalled, new)) {
        if (queue_has_spoken(queue))
            context = NULL;
        else /* it will say nothing before it has been seen empty: that keeps nobody's context alive */
            queue_entry_at(queue, queue->next - 1)->context = NULL;
        pending = (struct queue_pending){queue, generation, queue->next - 1, idle,
                                         queue_entry_at(queue, queue->next - 1)->sure};
    }
    queue_leave(queue);
    context_release(context);
    return pending;
}

/* The entry, if it is still there. */
static struct queue_entry *pending_entry(const struct queue_pending *pending) {
    struct queue *queue = pending->queue;
    if (pending->ticket < queue->first || pending->ticket >= queue->next)
        return NULL;
    struct queue_entry *entry = queue_entry_at(queue, pending->ticket);
    return entry->gone ? NULL : entry;
}

static struct queue_site *pending_site(const struct queue_pending *pending) {
    const struct queue_entry *entry = queue_entry_at(pending->queue, pending->ticket);
    bool there = pending->ticket + QUEUE_ENTRIES >= pending->queue->next;
    return there && entry->site < QUEUE_SITES ? &pending->queue->sites[entry->site] : NULL;
}

void queue_confirm(const struct queue_pending *pending) {
    if (pending->queue == NULL || !queue_enter(pending->queue, pending->generation))
        return;
    struct queue_entry *entry = pending_entry(pending);
    if (entry != NULL)
        entry->sure = true;
    lock_give(&pending->queue->lock);
}

/* Nothing can be put into an empty queue with a consumer asleep without waking it up. */
void queue_refute(const struct queue_pending *pending) {
    if (pending->queue == NULL || !pending->idle || !queue_enter(pending->queue, pending->generation))
        return;
    struct queue_site *site = pending_site(pending);
    struct queue_entry *entry = pending_entry(pending);
    struct context *context = NULL;
    if (site != NULL) {
        site->idles = true;
        site->used = false;
        site->enqueues = false;
    }
    if (entry != NULL)
        context = queue_entry_leave(pending->queue, entry);
    lock_give(&pending->queue->lock);
    context_release(context);
}

void queue_posted(const struct queue_pending *pending, bool done) {
    if (pending->queue == NULL || !queue_enter(pending->queue, pending->generation))
        return;
    struct queue_entry *entry = pending_entry(pending);
    struct context *context = NULL;
    if (entry != NULL && done)
        entry->open = false;
    else if (entry != NULL)
        context = queue_entry_leave(pending->queue, entry);
    lock_give(&pending->queue->lock);
    context_release(context);
}
