/* What the shim knows of each thread: its flow, its dispatch frames, the event loops it runs.
 *
 * A thread's record is made when it is first needed, kept in type-stable memory and reached through one
 * initial-exec TLS pointer (local.thread). Only its thread writes it. The *guard* is the one place that keeps
 * us out of our own way: a hook that is entered while our bookkeeping is on the stack below it (a signal
 * handler, an allocator) gets no thread and does nothing but its real call. */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include "../ctxstore/flow.h"
#include "../ctxstore/origin.h"
#include "bell.h"
#include "ledger.h"
#include "process.h"
#include "provenance.h"
#include "queue.h"

struct open_file;
struct mailbox;
struct recent;

/* E0: requests that the loops of a thread have left open, and what became of such (kept.h). */
enum { KEPT = 8, POKED = 4 };
struct keeping {
    struct kept {
        const struct open_file *file; /* a connection; NULL: none */
        uint32_t generation, request; /* the latter its number */
    } kept[KEPT];                     /* the latest ones */
    struct poked {
        struct open_file *file; /* an eventfd that requests were handed on by; NULL: none */
        uint32_t generation;
    } poked[POKED];
    bool any; /* of those may be there */
    uint8_t next, next_poked;
    uint8_t returned; /* so many did not lie in a list of the thread's own; of so many more was read */
    uint8_t pieces;
    bool keeps; /* it keeps requests in a list of its own, and goes on with them anywhere */
    bool lists; /* it has looked for events, without a wait, while work was open */
};

/* An event loop, as E0 tells them apart: thread, epoll, return address of the wait. */
struct loop {
    const struct open_file *epoll; /* NULL: around poll or select */
    uint32_t generation;
    const void *site;
    uint32_t contradictions;
    bool exact;
    bool many;       /* it has waited for several connections at once */
    uintptr_t floor; /* how shallow it has gone and come back to its wait; 0: no shallower than that */
    uint64_t
        deadline; /* E3: from when on its timers may run (milliseconds); 0: it had none at its last wait */
    struct habits habits; /* E5 */
    bool timed;           /* E3: its timers do the work of requests */
    uint8_t copies;       /* E0: requests that it gave to a thread and answered itself */
};

/* A dispatch frame: from the wait that took work up to the next one (design: "the model"). */
struct frame {
    struct here wait;        /* address FRAME_OPEN_ENDED: opened by a read, only a wait or read ends it */
    struct context *before;  /* a reference; current again when it ends */
    struct context *base;    /* a reference; what unknown work and new roots see */
    struct flow_mark opened; /* scopes opened since are this frame's */
    const struct context *adopted; /* last; recognised by its serial, 0: none */
    uint64_t
        detour; /* the number of the innermost one that it began on, other than suppressed flow; 0: none */
    uint64_t adopted_serial;
    bool adopted_value;     /* it was the setting of a value: a later one may have taken its place */
    struct loop *loop;      /* NULL: none */
    struct open_file *file; /* opened by a read: of what */
    uint32_t generation;
    struct open_file *crossed; /* E0: read here, and another one was answered in its place; NULL: none */
    uint32_t crossed_generation;
    uint64_t wait_serial;         /* names the wait: files that it reported carry it */
    struct provenance provenance; /* of its latest adoption */
    struct ledger ledger;         /* E5: what it has answered and logged */
    uint16_t open_scopes;         /* of `before`, up to its outermost open scope */
    uint16_t polls;               /* zero-timeout waits since (E2) */
    uint64_t polled_since;        /* E2: milliseconds: since when, in an exact loop */
    bool comparable;              /* on the thread's own stack: addresses mean depth */
    bool tentative;               /* E5: may drain a queue; what is touched is better evidence */
    bool mixed;                   /* its events had several contexts */
    bool several;                 /* several contexts were read from `file` */
    bool lone;                    /* of a poll or select that reported one descriptor */
    bool queued;                  /* work of others may be done in it: what it adopts is not for sure */
    bool wary;                    /* ... and that only because its loop has left requests open */
    bool unread;                  /* E7: ... among its events is one whose callback nobody sees begin */
    bool later;                   /* its callbacks are over, and a later phase of the loop has begun */
    bool handed_on;               /* the callback has left its work with a carrier */
    bool given;                   /* ... with another thread */
    bool away;                    /* ... and so far nothing tells that it goes on here */
    bool lost;                    /* a log was written, or work handed on, and it was in doubt whose */
    uintptr_t passing;     /* its context is only for sure while who read from here goes on; 0: it is */
    uintptr_t edge, limit; /* a hook above `edge` is noticed; above `limit` it has left the loop */
    bool from_queue;       /* F9, F10: taken from a queue; ends when its thread comes back there */
    bool from_bell;        /* ... was handed over by one */
};

/* F9, F10: what a thread is doing with which queue. */
enum { QUEUE_RESTS = 4 };
struct queue_part {
    struct here waited;             /* where it waited last */
    struct here rests[QUEUE_RESTS]; /* where it did so without work */
    unsigned next_rest;
    struct queue *held, *asleep, *woke, *busy; /* NULL: none */
    uint32_t held_life, asleep_life, woke_life, busy_life;
    uint16_t held_depth;          /* of a recursive mutex */
    bool signalled;               /* since it holds the mutex, it signalled the condition */
    bool timed_out;               /* nobody woke it up */
    struct queue_pending pending; /* its last enqueue, if the signal for it may still come */
    struct bell_handoff handed;   /* by a bell: kept to be judged; without its context */
    uint8_t rung;                 /* by which kind it was woken up, until its section ends */
};

/* E5: what the innermost frame was woken up by. */
struct wake_up {
    struct open_file *file; /* an eventfd or pipe; NULL: none */
    uint32_t generation;
    const struct context *context; /* what it brought, recognised by its serial, */
    uint64_t serial;
    uint64_t count;    /* and for so many more */
    uint64_t answered; /* the request that was answered in it last: its serial */
};

/* A call on a mailbox's carrier that has not come back: more than one when a signal handler makes one. */
struct reservation {
    struct mailbox *mailbox;
    uint64_t ticket;   /* 0: it reads */
    uintptr_t address; /* of the hook's stack frame */
};

/* What a thread is called (comm.h). States: OWN: as the program says; SHOWN: as we say, `own` comes back
 * after; PROGRAM: the program has said so since, and we leave it alone. */
enum { COMM_ROOM = 16 };
struct comm {
    enum { COMM_OWN, COMM_SHOWN, COMM_PROGRAM } state;
    char own[COMM_ROOM], shown[COMM_ROOM];
};

#define FRAME_OPEN_ENDED UINTPTR_MAX
enum { FRAMES_DEEPEST = 8, LOOPS = 8, RESERVATIONS = 4, START_WAITS = 4 };

/* What a thread's record holds for the flow that is on, while that waits for its turn. What is added to the
 * one belongs here too, and into what moves it (coroutine.c). */
struct parked {
    struct flow flow;
    struct frame *frames; /* a block */
    unsigned depth;
    uintptr_t stack_low, stack_high;
    struct here start_waits[START_WAITS];
    unsigned next_start_wait;
    bool inherited, left_frame;
    struct loop *left_loop, *ran_out;
    uintptr_t left_at;
    const struct context *start;
    uint64_t start_serial;
    uint64_t serial;             /* the flow's later nodes have this one at least */
    const struct thread *thread; /* whose record it was in */
};

/* Which flow is on. */
enum turn { TURN_OWN, TURN_COROUTINE, TURN_NOBODY };

/* What a new thread is to do, and with what it begins (F1). */
struct start {
    void *(*routine)(void *);
    int (*c11_routine)(void *);
    void *argument;
    struct context *context; /* a reference */
    struct origin origin;    /* who starts it */
    size_t stack_size;       /* at least, in bytes; 0: not known */
};

struct thread {
    void *free_link;     /* the slab's, while free */
    struct thread *next; /* of all records that there ever were (census.h); constant */
    bool listed;         /* it has its place there */
    _Atomic int tid;     /* the kernel's; 0: nobody's record */
    struct flow flow;
    unsigned depth; /* of frames */
    unsigned known_loops, next_loop, last_loop;
    uintptr_t stack_low, stack_high;      /* of the flow that is on; 0: not known */
    struct here start_waits[START_WAITS]; /* F1: where a thread that inherited a context has waited */
    unsigned next_start_wait;
    struct queue_part queue;
    struct keeping keeping;
    struct wake_up woke;
    bool inherited;              /* the flow's outermost context is the one it was started with: */
    const struct context *start; /* this one, recognised by its serial */
    uint64_t start_serial;
    uint64_t waits;         /* counts waits, to name them */
    bool left_frame;        /* work of the last wait goes on at a shallower depth than its frame */
    struct loop *left_loop; /* whose frame that was, and how shallow that depth is */
    uintptr_t left_at;
    struct loop *ran_out;      /* E3: whose last wait ran out */
    struct open_file *closing; /* taken out of its slot by a close that is on its way */
    struct recent *recent;     /* connections that it has served lately (connection.h) */
    unsigned reservations;
    bool managed; /* its end will be seen */
    enum turn turn;
    struct coroutine *coroutine; /* TURN_COROUTINE: which */
    uintptr_t own_low, own_high; /* the thread's own stack; 0: not known */
    uint64_t own_clear;          /* no coroutine was on it when so many stacks had been added (coroutine.h) */
    struct trace_writer *trace;  /* its ring (trace.c); NULL: none yet */
    struct comm comm;
    struct otel_record *otel;          /* what it publishes to profilers (otel.h); NULL: nothing yet */
    struct interruption *interruption; /* the innermost handler that has used the shim */
    /* From here on a record begins as another thread has left it: these are written before they are read. */
    struct frame frames[FRAMES_DEEPEST];       /* the outermost first, `depth` of them */
    struct loop loops[LOOPS];                  /* `known_loops` of them */
    struct reservation reserved[RESERVATIONS]; /* outermost first, `reservations` of them */
    struct start start_with;                   /* of a thread that pthread_create made */
    struct parked own;                         /* not TURN_OWN: the thread's own flow */
};

/* The newest of all records. They are never freed, so whoever begins here may go along `next` at any time. */
extern _Atomic(struct thread *) thread_records;

/* The shallowest address at which the innermost frame still holds. */
extern _Thread_local uintptr_t frame_limit;

/* States of the guard (local.guard), which only its thread changes:
 *   GUARD_NO_RECORD  nobody is inside; the thread has no record yet, or none any longer. It is 0: a thread
 *                    that the program has made by hand, with thread-local storage that is all zero, has none
 *   GUARD_BORROWED   since a vfork: while the child runs in our memory, it finds the guard taken
 *   GUARD_HANDLER    in a signal handler that has not used the shim yet
 *   GUARD_BURY       nobody is inside, but values wait to be destroyed
 *   GUARD_READY      nobody is inside, there is a record and nothing to bury: the quick ways look no further
 *   an address       of the stack frame that took it. A handler that leaves by siglongjmp never gives it
 *                    back; a later entry from a shallower address shows that */
enum { GUARD_NO_RECORD = 0, GUARD_BORROWED = 1, GUARD_HANDLER = 2, GUARD_BURY = 3, GUARD_READY = 4 };
static inline bool guard_is_free(uintptr_t guard) {
    return guard == GUARD_READY || guard == GUARD_BURY || guard == GUARD_NO_RECORD;
}
static inline bool guard_is_address(uintptr_t guard) {
    return guard > GUARD_READY;
}

/* F12: the stack address of the innermost signal handler of the program's that is running; 0: none. One that
 * was left by a jump stays here until the next hook notices. */
extern _Thread_local uintptr_t thread_handler;

/* This thread's record, with the guard taken; NULL when there is nothing to do: before start-up, inside
 * the guard, after the thread's end, without memory. Give it back with thread_leave. */
struct thread *thread_enter_slow(uintptr_t here);
/* What GUARD_READY says, for the compiler's use. */
static inline struct thread *thread_known(void) {
    struct thread *thread = local.thread;
    if (thread == NULL)
        __builtin_unreachable();
    return thread;
}
static inline struct thread *thread_enter(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (__builtin_expect(local.guard != GUARD_READY || !process_check(), 0))
        return thread_enter_slow(here);
    local.guard = here;
    atomic_signal_fence(memory_order_seq_cst);
    return thread_known();
}
/* The same for a thread that has a record and nothing to bury, without looking whether this is a fork child:
 * enough for what touches nothing but the thread's own. */
static inline struct thread *thread_enter_known(void) {
    if (__builtin_expect(local.guard != GUARD_READY, 0))
        return NULL;
    local.guard = (uintptr_t)__builtin_frame_address(0);
    atomic_signal_fence(memory_order_seq_cst);
    return thread_known();
}
static inline void thread_leave(void) {
    atomic_signal_fence(memory_order_seq_cst);
    local.guard = __builtin_expect(graveyard_empty(), 1) ? GUARD_READY : GUARD_BURY;
}
/* After thread_enter_known, when no value can have been dropped since. */
static inline void thread_leave_known(void) {
    atomic_signal_fence(memory_order_seq_cst);
    local.guard = GUARD_READY;
}
/* Where there may be no record. */
void thread_leave_slow(void);
/* Takes the guard off while the program's code runs, from inside it; what the first returns (errno, which
 * is the hooked call's: H12) the second gets back. */
int thread_pause(void);
void thread_resume(int kept);

/* After its end a thread may still run destructors of its own, and give references back in them. True: the
 * guard is taken, and thread_leave_ended gives it back. */
bool thread_enter_ended(void);
void thread_leave_ended(void);

/* Destroys what this thread's dropped values ask for, where the program's code may run: not in a signal
 * handler. Outside the guard. */
void thread_bury_slow(void);
static inline void thread_bury(void) {
    if (__builtin_expect(!graveyard_empty(), 0))
        thread_bury_slow();
}

/* F1. A record for a thread that is about to be made, whose `start_with` the caller fills in. NULL without
 * memory. */
struct thread *thread_prepare(void);
/* It was not made; `start_with` is the caller's. */
void thread_unprepare(struct thread *record);
/* On the new thread, at its very beginning; `top` is an address in its frame. What it is to do stays in
 * `start_with`. */
void thread_begin(struct thread *record, uintptr_t top);
/* A thread that has nothing of its own yet starts in this context (a reference). Watchers are told: to the
 * new flow it is a change. */
void thread_inherit(struct thread *thread, struct context *start);
/* The thread is about to end: its record goes. */
void thread_end(void);
/* The main thread, at start-up. */
void thread_begin_main(void);
/* In a fork child: the other threads are not here. Were there none? */
bool thread_forked(void);

/* Is the address on the stack of the flow that is on? Deeper addresses are lower on every machine we know. */
static inline bool thread_on_own_stack(const struct thread *thread, uintptr_t address) {
    return address >= thread->stack_low && address < thread->stack_high;
}

/* Does this lie in the frames of the flow that is on, above the caller's? Then it can be read (H22). */
bool thread_frames_hold(const void *address, size_t size);
/* Copies what the program points to, false when it cannot be read: the kernel is only asked where it need be.
 */
bool thread_peek(void *to, const void *from, size_t size);

#endif
