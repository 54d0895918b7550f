/* What is known of the program's work queues: F9, F10, E9, E11. No hook and no thread is known here; who
 * calls tells what happened, and the whole can be linked into a test alone.
 *
 * A queue under a mutex and a condition variable is seen from outside as *sections*: what a thread does
 * between taking the mutex and giving it back. One that puts an item in is an enqueue, one of an idle
 * consumer that ends without waiting is a dequeue, one that ends in a wait finds the queue empty. All of a
 * queue's sections are told while the program's own mutex is held, so their order here is their order there.
 * For a semaphore, posts and waits say the same; their order is only as good as the program's timing.
 *
 * Which section is which is learnt, by the place where it ends:
 *   - a consumer's first unlock after it woke up took something; its other unlocks at that very place, at the
 *     same depth of the stack, do so too (E9: a busy worker takes the next item without waiting);
 *   - a section in which the consumers' condition was signalled, or right after which it was, put something
 * in;
 *   - one that ends elsewhere, while the queue is empty and a consumer sleeps, without a signal, did not;
 *   - a place whose sections have added up several times puts something in, one that made them not add up
 *     several times does not.
 * What ends at one place for no request, for a new one, or for one that has put something in before is told
 * apart, as if it were three places: a tick that finds nothing to do, or a second try after a queue was full,
 * ends where others put something in. Until a place is known its entries are *unsure*, and so is all that is
 * taken from there to the next empty wait.
 *
 * States of a queue. A wait that finds it empty compares: were there as many dequeues as enqueues?
 *   CANDIDATE  watched only. After CLEAN hand-offs that added up, or when its order is proven: TRIAL
 *   TRIAL      says what it thinks, in doubt (E11). After AGREED hand-offs that agreed with stronger
 * evidence: BELIEVED; for hand-offs from a queue of several entries, AGREED of such (order is not proven by
 *              less)
 *   BELIEVED   its hand-offs are inferred. A count that does not add up: CANDIDATE again, STRIKES times
 *   DROPPED    a contradiction, or the look of a lock: silent for as long as the mutex lives
 * A lock of the program looks like a queue of one token; but it is waited for at several depths of the stack,
 * or by who has a context of his own.
 *
 * Records lie in static memory and are used again only for other queues; `generation` tells their lives
 * apart. A record is guarded by its lock, except what is _Atomic. */
#ifndef SHIM_QUEUE_H
#define SHIM_QUEUE_H

#include "../ctxstore/context.h"
#include "../ctxstore/lock.h"
#include "../ctxstore/origin.h"

enum queue_state { QUEUE_DEAD, QUEUE_CANDIDATE, QUEUE_TRIAL, QUEUE_BELIEVED, QUEUE_DROPPED };

enum { QUEUES = 128, QUEUE_SITES = 16, QUEUE_ENTRIES = 512, QUEUE_EXITS = 4, QUEUE_CONSUMERS = 8 };
/* QUEUE_ORDER is in quarters of a bit: so unlikely has it to be that a queue without order looks like one
 * with. */
enum { QUEUE_CLEAN = 8, QUEUE_AGREED = 16, QUEUE_STRIKES = 8, QUEUE_ORDER = 96 };

/* A place in a worker's loop. Two workers of one pool are at the same one. */
struct queue_place {
    const void *site;
    uintptr_t depth; /* in bytes, below the top of its thread's stack */
};

/* For whom a section is, as far as that can be seen: for no request, for one that has not put anything in of
 * late, or for one that has. Where one of these puts something in, the others need not. */
enum queue_work { QUEUE_WORK_NONE, QUEUE_WORK_NEW, QUEUE_WORK_AGAIN };

/* Where sections end that may put something in. A signal says so of one section; the rest is about those
 * without, since programs that always signal do so only if they put something in. */
struct queue_site {
    const void *site;
    enum queue_work work;
    uint8_t credit, blame; /* periods that added up, or did not, with such a section */
    bool enqueues, idles;  /* what such sections do; both: it depends */
    bool used;             /* since the last empty wait, without being known */
};

struct queue_entry {
    struct context *context;    /* a reference; NULL while the queue is a candidate */
    const struct context *work; /* the request that it belongs to, recognised by its serial */
    uint64_t work_serial;
    struct origin origin;
    uint64_t producer; /* the serial of its flow */
    uint64_t choices;  /* taken: the newest ticket that was there too, */
    uint16_t others;   /* and how many consumers were at work */
    uint8_t site;
    bool sure;
    bool open;  /* the post has not come back yet */
    bool gone;  /* taken, or none after all */
    bool taken; /* and not judged yet */
    bool deep;  /* where another might have been taken */
};

struct queue {
    struct lock lock;
    _Atomic uint32_t generation; /* odd: alive */
    _Atomic uint8_t state;       /* enum queue_state */
    _Atomic bool missed;         /* a section ended where nothing could be noted */
    _Atomic bool inside;         /* somebody has waited for it in the middle of a request */
    const void *mutex;           /* or the semaphore */
    const void *condition;       /* NULL: a semaphore's */
    uintptr_t wait_depth;
    struct queue_place exits[QUEUE_EXITS]; /* where dequeues end */
    _Atomic unsigned exit_count;           /* looked at with the table locked alone, too; so is `spoke` */
    struct queue_site sites[QUEUE_SITES];
    unsigned site_count;
    struct queue_entry *entries; /* a ring; tickets number them for ever */
    uint64_t first, next;        /* tickets: the oldest, and the one after the newest */
    unsigned length;             /* entries that are not gone */
    unsigned sleepers;           /* consumers inside their wait, as far as known */
    unsigned busy;               /* consumers between a dequeue and their next section at the loop's bottom */
    bool chose;                  /* of several, one was taken: what is left depends on the order */
    bool doubt;                  /* something unsure was taken since the last empty wait */
    bool lost;                   /* more went in than there is room for */
    unsigned handed;             /* dequeues since the last empty wait */
    bool watched;                /* it has its bit in the filter */
    _Atomic bool spoke;          /* has been on trial: its consumers may have something of it current */
    unsigned clean, strikes;
    unsigned agreed, agreed_deep;
    unsigned order, order_needed;        /* what speaks for the order, in quarters of a bit */
    uint64_t consumers[QUEUE_CONSUMERS]; /* of a semaphore: flows that took something, to tell locks */
    unsigned consumer_count;
};

/* What is to be kept of a hand-off, to recognise it when better evidence comes: small enough to go with its
 * context. 0: nothing. */
struct queue_tag {
    uint16_t queue; /* its number, from 1 */
    uint32_t life;  /* generation << 1 | deep */
};

/* A dequeue's result. */
struct queue_handoff {
    struct context *context; /* a reference; NULL: nobody knows */
    bool sure;               /* BELIEVED: inferred; else it is to be marked as a doubt */
    struct queue_tag tag;
};

/* One enqueue that may still be proven by a signal, or by its absence. */
struct queue_pending {
    struct queue *queue; /* NULL: none */
    uint32_t generation;
    uint64_t ticket;
    bool idle; /* the queue was empty and a consumer asleep */
    bool sure; /* it is an entry, whatever comes */
};

/* --- finding: any thread, without a lock, in handlers too ----------------------------------------- */

/* One bit for each hash of an address that is to be looked at. The whole cost for all other locks. */
extern _Atomic uint64_t queue_filter;
void queue_filter_renew(void);
static inline unsigned queue_hash(const void *address) {
    return (unsigned)((uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> 58);
}
static inline bool queue_may_watch(const void *address) {
    uint64_t filter = atomic_load_explicit(&queue_filter, memory_order_relaxed);
    return __builtin_expect(filter != 0, 0) && (filter >> queue_hash(address) & 1) != 0;
}
/* The queue that the mutex, condition variable or semaphore belongs to, in whatever state; or NULL. */
struct queue *queue_of(const void *address);

/* --- life ----------------------------------------------------------------------------------------- */

/* A consumer's loop waits at this depth for the second time. NULL: no room. */
struct queue *queue_begin(const void *mutex, const void *condition, uintptr_t wait_depth);
/* A mutex, condition variable or semaphore begins or ends at this address. */
void queue_forget(const void *address);
/* It looks like a lock. */
void queue_drop(struct queue *queue, uint32_t generation);
void queue_forked(void);

static inline enum queue_state queue_state(const struct queue *queue) {
    return (enum queue_state)atomic_load_explicit(&queue->state, memory_order_relaxed);
}
static inline uint32_t queue_generation(const struct queue *queue) {
    return atomic_load_explicit(&queue->generation, memory_order_acquire);
}

/* --- sections ------------------------------------------------------------------------------------- */

/* What is a wait at this depth to the queue of this mutex or semaphore? */
enum queue_wait {
    QUEUE_WAIT_OTHER,    /* on another condition: for a result, or for room */
    QUEUE_WAIT_CONSUMER, /* for an item, at the bottom of a consumer's loop */
    QUEUE_WAIT_LOCK,     /* for an item, from elsewhere */
};
enum queue_wait queue_wait_at(struct queue *queue, const void *mutex, const void *condition, uintptr_t depth);
/* Who waits for this condition or semaphore is in the middle of a request: whatever it is, nobody who waits
 * there is idle for that reason alone. */
void queue_waits_inside(const void *address);
bool queue_is_inside(const struct queue *queue);
/* A section ended where nothing could be noted: what follows is in doubt until the next empty wait. */
void queue_missed(struct queue *queue);
static inline bool queue_has_spoken(const struct queue *queue) {
    return queue_state(queue) == QUEUE_TRIAL || queue_state(queue) == QUEUE_BELIEVED;
}

/* A consumer goes to sleep; `empty`: for there is nothing. */
void queue_sleeps(struct queue *queue, uint32_t generation, bool empty);
/* It is awake again, or will never be. */
void queue_wakes(struct queue *queue, uint32_t generation);

/* A consumer begins to work, or is back. */
void queue_busy(struct queue *queue, uint32_t generation, bool busy);

/* Does a dequeue end here? */
bool queue_is_exit(struct queue *queue, uint32_t generation, struct queue_place place);
/* A consumer's section ends here. `timed_out`: it slept in it, and nobody woke it up; `flow`: the serial of
 * its flow.
 */
struct queue_handoff queue_take(struct queue *queue, uint32_t generation, struct queue_place place,
                                bool timed_out, uint64_t flow);
/* Somebody else's section ends at this site; consumes the reference. `signalled`: in it, the condition was.
 */
struct queue_pending queue_put(struct queue *queue, uint32_t generation, const void *site, bool signalled,
                               struct context *context, uint64_t flow);
/* Right after such a section the condition was signalled; or the thread went on without. */
void queue_confirm(const struct queue_pending *pending);
void queue_refute(const struct queue_pending *pending);
/* A semaphore's post has come back: it had its effect or not. */
void queue_posted(const struct queue_pending *pending, bool done);

/* --- evidence ------------------------------------------------------------------------------------- */

/* Better evidence came, in the consumer itself, for what it took. One contradiction ends it all. */
void queue_judge(struct queue_tag tag, bool agrees);
/* A request is answered, by whomever: if an item of it still waits, this queue's order is not what we think,
 * or nobody waits for its items. */
void queue_answered(const struct context *request);

#endif
