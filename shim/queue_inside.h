/* What the parts of queue.h share. Whatever takes a queue here wants it locked. */
#ifndef SHIM_QUEUE_INSIDE_H
#define SHIM_QUEUE_INSIDE_H

#include "queue.h"

extern struct queue queues[QUEUES];
extern _Atomic unsigned queues_used; /* the first so many have ever been */

/* Locks it, whatever it is now. */
void queue_lock(struct queue *queue);
/* True: locked, and still the life that was meant. */
bool queue_enter(struct queue *queue, uint32_t generation);
/* Unlocks it; what was silenced may cost its mutex nothing any longer. */
void queue_leave(struct queue *queue);

void queue_state_set(struct queue *queue, enum queue_state state);
/* A candidate says from now on what it thinks. */
void queue_speaks(struct queue *queue);
/* Of several that waited the one was taken that had waited longest, and that was no luck. */
static inline bool queue_is_in_order(const struct queue *queue) {
    return queue->agreed_deep >= QUEUE_AGREED && queue->order >= queue->order_needed;
}
/* Says nothing from now on. */
void queue_silence(struct queue *queue);

static inline struct queue_entry *queue_entry_at(struct queue *queue, uint64_t ticket) {
    return &queue->entries[ticket % QUEUE_ENTRIES];
}
/* The oldest that is one, or NULL. */
struct queue_entry *queue_entry_first(struct queue *queue);
/* It is taken, or was none: returns its reference. */
struct context *queue_entry_leave(struct queue *queue, struct queue_entry *entry);
void queue_entries_clear(struct queue *queue);
/* Forgets, without releasing, what is queued, and what was counted since the last empty wait. */
void queue_empty(struct queue *queue);
/* Is there an entry that may be none? One that was not taken is as doubtful as one that was. */
bool queue_any_unsure(struct queue *queue);

#endif
