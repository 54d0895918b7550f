/* E11: is what a queue hands over what we think? Evidence comes from the consumers themselves, who touch a
 * connection, and from afar: a request that is answered was taken from the queue before, and those that were
 * taken before it were answered before it, but for the few that were being worked on at the time. */
#include "queue_inside.h"

enum { REMEMBERED = 64 };

enum { ORDER_MOST = 1 << 16 };

static void agree(struct queue *queue) {
    queue->agreed++;
    if (queue->agreed >= QUEUE_AGREED && queue_state(queue) == QUEUE_TRIAL)
        queue_state_set(queue, QUEUE_BELIEVED);
}

/* Of order: in quarters of a bit, since some agreements would have been likely anyway. A busy queue may never
 * be seen empty: when its order is proven, its sections have added up. */
static void agree_deeply(struct queue *queue, unsigned quarter_bits) {
    agree(queue);
    queue->agreed_deep += queue->agreed_deep < QUEUE_AGREED;
    queue->order += queue->order < ORDER_MOST ? quarter_bits : 0;
    if (queue_state(queue) == QUEUE_CANDIDATE && queue_is_in_order(queue))
        queue_speaks(queue);
}

/* Not even when everything else agreed before was it more than luck; the next time that is to be less likely.
 */
static void disagree_deeply(struct queue *queue) {
    queue->agreed_deep = queue->order = 0;
    queue->order_needed += queue->order_needed < ORDER_MOST ? QUEUE_ORDER : 0;
}

void queue_judge(struct queue_tag tag, bool agrees) {
    if (tag.queue == 0 || tag.queue > QUEUES)
        return;
    struct queue *queue = &queues[tag.queue - 1];
    bool deep = (tag.life & 1) != 0;
    queue_lock(queue);
    if ((queue_generation(queue) << 1 | deep) == tag.life && queue_state(queue) != QUEUE_DROPPED) {
        if (agrees && deep)
            agree_deeply(queue, 4);
        else if (agrees)
            agree(queue);
        else
            queue_silence(queue);
    }
    queue_leave(queue);
}

/* How many requests are unanswered whose item might have been given instead of this one? */
static unsigned rivals(struct queue *queue, uint64_t ticket) {
    const struct queue_entry *entry = queue_entry_at(queue, ticket);
    unsigned count = 0;
    for (uint64_t other = ticket + 1; other <= entry->choices && other < queue->next; other++) {
        const struct queue_entry *rival = queue_entry_at(queue, other);
        count += (rival->taken || !rival->gone) && rival->work != entry->work;
    }
    return count;
}

/* Four times the binary logarithm, rounded down; of at least 1. */
static unsigned logarithm(unsigned number) {
    unsigned log = 0;
    for (uint64_t power = (uint64_t)number * number * number * number; power > 1; power >>= 1)
        log++;
    return log;
}

/* The answer to what was taken: `before` items that were taken before it are not answered yet. No more than
 * were being worked on at that time can be, if the order is what we think; if there is none, that would be so
 * by chance in so many cases of those that are possible. */
static void judge_order(struct queue *queue, uint64_t ticket, unsigned before) {
    struct queue_entry *entry = queue_entry_at(queue, ticket);
    entry->taken = false;
    unsigned possible = before + 1 + rivals(queue, ticket), likely = entry->others + 1U;
    if (before > entry->others)
        disagree_deeply(queue);
    else if (!entry->deep)
        agree(queue);
    else if (possible > likely)
        agree_deeply(queue, logarithm(possible) - logarithm(likely));
}

/* What was taken stays in the ring for a while. */
static void answered(struct queue *queue, const struct context *request, uint64_t serial) {
    unsigned before = 0;
    bool unsure = queue->doubt || queue_any_unsure(queue);
    uint64_t ticket = queue->first > REMEMBERED ? queue->first - REMEMBERED : 0;
    for (; ticket < queue->next; ticket++) {
        struct queue_entry *entry = queue_entry_at(queue, ticket);
        bool its = entry->work == request && entry->work_serial == serial;
        if (its && !entry->gone && !unsure) {
            queue_silence(queue);
            return;
        }
        if (its && entry->taken)
            judge_order(queue, ticket, before);
        else
            before += entry->taken;
    }
}

void queue_answered(const struct context *request) {
    uint64_t serial = atomic_load_explicit(&request->serial, memory_order_relaxed);
    unsigned used = atomic_load_explicit(&queues_used, memory_order_relaxed);
    for (struct queue *queue = queues; queue < queues + used; queue++) {
        if (queue_state(queue) == QUEUE_DEAD || queue_state(queue) == QUEUE_DROPPED)
            continue;
        queue_lock(queue);
        answered(queue, request, serial);
        queue_leave(queue);
    }
}
