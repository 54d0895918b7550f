/* Which queues there are, and their lives: see queue.h. */
#include "queue_inside.h"

#include "bell.h"

#include "../ctxstore/kernel.h"

#include <string.h>

/* --- finding ------------------------------------------------------------------------------------- */

/* An address lies within WINDOW slots of its hash. A slot's two words change one by one: a reader may see an
 * address with another queue, which the queue's own words then deny. */
enum { SLOTS = 512, WINDOW = 8 };
struct slot {
    _Atomic(const void *) address;
    _Atomic(struct queue *) queue;
};
static struct slot table[SLOTS];
struct queue queues[QUEUES];
_Atomic unsigned queues_used;
static struct lock table_lock; /* guards the writing of the table and the lives of queues */

_Atomic uint64_t queue_filter;

static struct slot *window_of(const void *address) {
    uint64_t hash = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15);
    return &table[hash >> 20 & (SLOTS - WINDOW)];
}

struct queue *queue_of(const void *address) {
    struct slot *window = window_of(address);
    for (struct slot *slot = window; slot < window + WINDOW; slot++)
        if (atomic_load_explicit(&slot->address, memory_order_acquire) == address)
            return atomic_load_explicit(&slot->queue, memory_order_acquire);
    return NULL;
}

static bool table_put(const void *address, struct queue *queue) {
    struct slot *window = window_of(address);
    for (struct slot *slot = window; slot < window + WINDOW; slot++) {
        if (atomic_load_explicit(&slot->address, memory_order_relaxed) != NULL)
            continue;
        atomic_store_explicit(&slot->queue, queue, memory_order_release);
        atomic_store_explicit(&slot->address, address, memory_order_release);
        return true;
    }
    return false;
}

static void table_take(const void *address) {
    struct slot *window = window_of(address);
    for (struct slot *slot = window; slot < window + WINDOW; slot++)
        if (address != NULL && atomic_load_explicit(&slot->address, memory_order_relaxed) == address)
            atomic_store_explicit(&slot->address, NULL, memory_order_release);
}

/* A queue that was dropped says nothing, but its consumers still end their work where they come back for
 * more. Of a lock there is nothing to be known. */
static bool is_watched(const struct queue *queue) {
    bool known = queue->spoke || queue->exit_count > 0;
    return queue_state(queue) != QUEUE_DEAD && (queue_state(queue) != QUEUE_DROPPED || known);
}

/* With the table locked. */
static void filter_renew(void) {
    uint64_t filter = 0;
    for (const struct queue *queue = queues; queue < queues + QUEUES; queue++) {
        if (!is_watched(queue))
            continue;
        filter |= UINT64_C(1) << queue_hash(queue->mutex);
        if (queue->condition != NULL)
            filter |= UINT64_C(1) << queue_hash(queue->condition);
    }
    atomic_store_explicit(&queue_filter, filter | bell_filter(), memory_order_relaxed);
}

/* --- entries: with the queue locked -------------------------------------------------------------- */

struct context *queue_entry_leave(struct queue *queue, struct queue_entry *entry) {
    struct context *context = entry->context;
    entry->context = NULL;
    if (!entry->gone)
        queue->length--;
    entry->gone = true;
    return context;
}

void queue_entries_clear(struct queue *queue) {
    for (; queue->first < queue->next; queue->first++)
        context_release(queue_entry_leave(queue, queue_entry_at(queue, queue->first)));
}

/* The oldest that is one, or NULL. */
struct queue_entry *queue_entry_first(struct queue *queue) {
    while (queue->first < queue->next && queue_entry_at(queue, queue->first)->gone)
        queue->first++;
    return queue->first < queue->next ? queue_entry_at(queue, queue->first) : NULL;
}

void queue_empty(struct queue *queue) {
    queue->first = queue->next;
    queue->length = 0;
    queue->handed = 0;
    queue->doubt = queue->lost = queue->chose = false;
    for (struct queue_site *site = queue->sites; site < queue->sites + queue->site_count; site++)
        site->used = false;
}

bool queue_any_unsure(struct queue *queue) {
    for (uint64_t ticket = queue->first; ticket < queue->next; ticket++)
        if (!queue_entry_at(queue, ticket)->gone && !queue_entry_at(queue, ticket)->sure)
            return true;
    return false;
}

/* A fork child finds the lock left behind: what it guards is the parent's. */
void queue_lock(struct queue *queue) {
    if (lock_take(&queue->lock))
        return;
    queue_empty(queue);
    queue->lost = true;
}

/* True: locked, and still the life that was meant. */
bool queue_enter(struct queue *queue, uint32_t generation) {
    queue_lock(queue);
    if (queue_generation(queue) == generation && (generation & 1) != 0)
        return true;
    lock_give(&queue->lock);
    return false;
}

void queue_filter_renew(void) {
    lock_take(&table_lock);
    filter_renew();
    lock_give(&table_lock);
}

/* A queue that has just been dropped may cost its mutex nothing any longer. */
void queue_leave(struct queue *queue) {
    bool over = queue->watched && !is_watched(queue);
    queue->watched = queue->watched && !over;
    lock_give(&queue->lock);
    if (over)
        queue_filter_renew();
}

/* --- life ---------------------------------------------------------------------------------------- */

static struct queue *queue_unused(void) {
    for (struct queue *queue = queues; queue < queues + QUEUES; queue++)
        if (queue_state(queue) == QUEUE_DEAD)
            return queue;
    return NULL;
}

void queue_state_set(struct queue *queue, enum queue_state state) {
    atomic_store_explicit(&queue->state, (uint8_t)state, memory_order_relaxed);
}

static void generation_next(struct queue *queue) {
    atomic_store_explicit(&queue->generation, queue_generation(queue) + 1, memory_order_release);
}

/* With the table locked. */
static bool queue_enlist(struct queue *queue, const void *mutex, const void *condition) {
    if (queue->entries == NULL) {
        const size_t page = 4096, size = QUEUE_ENTRIES * sizeof(struct queue_entry);
        queue->entries = kernel_map((size + page - 1) / page * page);
    }
    if (queue->entries == NULL || !table_put(mutex, queue))
        return false;
    if (condition == NULL || table_put(condition, queue))
        return true;
    table_take(mutex);
    return false;
}

/* With the table locked, and before anything is written for the queue: a fork child clears so many. What a
 * handler forks in between, or another thread, has either nothing of it or finds the number raised. */
static void used_raise(const struct queue *queue) {
    unsigned used = (unsigned)(queue - queues) + 1;
    if (atomic_load_explicit(&queues_used, memory_order_relaxed) < used)
        atomic_store_explicit(&queues_used, used, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

struct queue *queue_begin(const void *mutex, const void *condition, uintptr_t wait_depth) {
    if (!lock_take(&table_lock))
        filter_renew();
    struct queue *queue = queue_of(mutex) == NULL && queue_of(condition) == NULL ? queue_unused() : NULL;
    if (queue != NULL)
        used_raise(queue);
    if (queue != NULL && !queue_enlist(queue, mutex, condition))
        queue = NULL;
    if (queue != NULL) {
        queue_lock(queue);
        queue_empty(queue);
        queue->mutex = mutex;
        queue->condition = condition;
        queue->wait_depth = wait_depth;
        queue->exit_count = queue->site_count = queue->consumer_count = 0;
        queue->sleepers = queue->busy = 0;
        queue->spoke = false;
        queue->watched = true;
        queue->clean = queue->strikes = queue->agreed = queue->agreed_deep = queue->order = 0;
        queue->order_needed = QUEUE_ORDER;
        atomic_store_explicit(&queue->missed, false, memory_order_relaxed);
        atomic_store_explicit(&queue->inside, false, memory_order_relaxed);
        queue_state_set(queue, QUEUE_CANDIDATE);
        generation_next(queue);
        lock_give(&queue->lock);
        filter_renew();
    }
    lock_give(&table_lock);
    return queue;
}

void queue_forget(const void *address) {
    struct queue *queue = queue_of(address);
    if (queue == NULL)
        return;
    lock_take(&table_lock);
    if (queue_state(queue) != QUEUE_DEAD && (queue->mutex == address || queue->condition == address)) {
        queue_lock(queue);
        queue_entries_clear(queue);
        queue_state_set(queue, QUEUE_DEAD);
        generation_next(queue);
        table_take(queue->mutex);
        table_take(queue->condition);
        lock_give(&queue->lock);
        filter_renew();
    }
    lock_give(&table_lock);
}

/* With the queue locked. */
void queue_speaks(struct queue *queue) {
    queue->spoke = true;
    queue_state_set(queue, queue->agreed >= QUEUE_AGREED ? QUEUE_BELIEVED : QUEUE_TRIAL);
}

void queue_silence(struct queue *queue) {
    queue_state_set(queue, QUEUE_DROPPED);
    queue_entries_clear(queue);
    queue_empty(queue);
}

void queue_drop(struct queue *queue, uint32_t generation) {
    if (queue_state(queue) == QUEUE_DROPPED || !queue_enter(queue, generation))
        return;
    queue->exit_count = queue->spoke ? queue->exit_count : 0;
    queue_silence(queue);
    queue_leave(queue);
}

/* The child has one thread, and what the others queued is the parent's: nothing is released. Where there was
 * no queue, nothing is touched: each page would be one to be copied. */
void queue_forked(void) {
    unsigned used = atomic_load_explicit(&queues_used, memory_order_relaxed);
    if (atomic_load_explicit(&queue_filter, memory_order_relaxed) != 0)
        atomic_store_explicit(&queue_filter, 0, memory_order_relaxed);
    if (used == 0)
        return;
    memset(table, 0, sizeof table);
    for (struct queue *queue = queues; queue < queues + used; queue++) {
        if (queue_state(queue) == QUEUE_DEAD)
            continue;
        queue_state_set(queue, QUEUE_DEAD);
        if ((queue_generation(queue) & 1) != 0)
            generation_next(queue);
    }
}
