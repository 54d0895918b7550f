/* Open files, as POSIX means them (open file descriptions), and which descriptors name them.
 *
 * Only a descriptor that can carry a context has one; any other's slot is NULL, so a hook on it costs a
 * load and a branch. Descriptors made by dup share the open file (F15). A slot is cleared before the
 * real close, and again whenever a descriptor is created: libc closes some unseen (H6).
 *
 * Memory is type-stable, and that in two sorts: an accepted connection, of which there may be very many, has
 * an object that ends before `mailbox`, from a slab of its own. That never was and never becomes anything
 * else, so whoever holds an old pointer to one finds a connection there, if another. A connection from
 * elsewhere has a large object (FILE_WIDE, from birth to death), since it was a FILE_STRANGER first. What
 * lies behind that place is looked at only where the kind is known not to be FILE_CONNECTION; the kind may be
 * read of a file that is dead.
 *
 * A hook takes (file, generation) before the real call and hands both to what it does afterwards; when the
 * file died meanwhile, that does nothing. Who may touch what:
 *   free_link    whoever has dropped the last hold on the file: until then its place is fd's and
 *                forks', which are constant while it lives. They are not written again before it is
 *                alive again, so who asks a dead file for them gets any number: a name to print, or
 *                "another process has it too"
 *   cell         anybody: it has its own lock
 *   slot         anybody: exchanged atomically; the one who takes a file out of a slot drops its count
 *   kind         written before the program knows the descriptor, constant while it lives, but that a
 *                FILE_PLAIN may once become something else (listen, connect), and that a FILE_STRANGER turns
 *                out to be FILE_CONNECTION or FILE_OUTBOUND: whichever use of it comes first
 *   flags, requests, waited, served   plain facts about a connection, atomic and unordered: one thread
 *                works on a connection at a time, and a lost update among two that do not costs
 *                certainty only
 *   answering    whoever begins to write an answer sets it, before the real call; whose call failed
 *                takes his own back; who learns that another's frame gave the answer empties it
 *   accepted_by  written before the program knows the descriptor
 *   root, root_serial, request_serial   under the cell's lock, while it is alive: connection.h
 *   interests    the interest lock (interest.h)
 *   mailbox, outbox, peers   written before the program knows the descriptor; the pointers are constant
 *                while it lives, what they point to has its own lock
 *   torn, written, gathered   as flags: two writers of one log at the same moment may lose it */
#ifndef SHIM_OPENFILE_H
#define SHIM_OPENFILE_H

#include "../ctxstore/cell.h"

enum file_kind {
    FILE_PLAIN,      /* nothing but a registration (F2) or an annotation */
    FILE_LISTENER,   /* listening socket */
    FILE_CONNECTION, /* inbound: accepted here (F7) */
    FILE_OUTBOUND,   /* connected from here (F8) */
    FILE_EVENTFD,    /* F3 */
    FILE_TIMERFD,    /* F5 */
    FILE_EPOLL,      /* F2 */
    FILE_PIPE,       /* an end of a pipe or a socketpair (F4) */
    FILE_DATAGRAM,   /* a socket of datagrams (F7, F8, E12) */
    FILE_STRANGER,   /* a connection from elsewhere that was not used yet (F7, F8) */
};

/* Sixteen bits: `flags` has no room for more. What belongs to different kinds may share one. */
enum file_flag {
    FILE_OUTSTANDING = 1 << 0, /* a request was read, and nothing written since */
    FILE_UNFINISHED =
        1 << 1, /* connect is in progress, or a write was cut short: the next is a continuation */
    FILE_SEMAPHORE = 1 << 2,  /* an eventfd in semaphore mode */
    FILE_WIDE = 1 << 2,       /* was born as a FILE_STRANGER: as large as other kinds, whatever it is now */
    FILE_NESTED = 1 << 3,     /* an epoll that is itself waited for */
    FILE_DEFERS = 1 << 4,     /* E4: answers come from other frames, one each */
    FILE_PUBLISHES = 1 << 5,  /* E4: is written to without having asked */
    FILE_KEPT = 1 << 13,      /* E0: its request was open when the frame that read it was over */
    FILE_REPEATS = 1 << 12,   /* a timerfd that fires again by itself */
    FILE_ANNOTATED = 1 << 6,  /* a log: lines get their context in front */
    FILE_MIDLINE = 1 << 7,    /* ... and the last one was not ended yet */
    FILE_SPARED = 1 << 8,     /* no log after all: never annotated again */
    FILE_MESSAGES = 1 << 9,   /* F4: what is written in one call is read in one */
    FILE_SHARED = 1 << 10,    /* F15: was passed to another process */
    FILE_BOUND = 1 << 11,     /* a socket of datagrams that the program gave an address */
    FILE_RECEIVED = 1 << 13,  /* ... whose first datagram came in: it serves */
    FILE_SENT = 1 << 14,      /* ... whose first datagram went out: it asks */
    FILE_CONNECTED = 1 << 15, /* ... that has one peer */
    FILE_DRAINS = 1 << 11,    /* an eventfd or pipe, E5: its wake-ups did the work of more than wrote to it */
};

struct interest;
struct interest_set;
struct peers;

struct open_file {
    union {
        void *free_link; /* the slab's, while free */
        struct {
            int fd;         /* the first descriptor that named it */
            uint32_t forks; /* process_forks when it was made */
        };
    };
    struct cell cell;
    _Atomic uint32_t descriptors;
    _Atomic uint32_t requests; /* number of the latest */
    union {
        struct { /* of a connection, E4 */
            _Atomic uint16_t
                foreign; /* writes from other requests' frames since the last read, as far as that matters */
            _Atomic uint16_t
                answering; /* whose answer is on its way, or was the last to be: connection_answer */
        };
        _Atomic uint32_t question; /* of a socket of datagrams, E4: rules_datagram.c */
    };
    _Atomic uint16_t flags; /* enum file_flag */
    _Atomic uint8_t kind;   /* enum file_kind */
    union {
        _Atomic uint8_t gathered; /* E12: a log's lines may be others', until so many have come alone */
        _Atomic uint8_t recent;   /* a connection's: connection.h */
    };
    _Atomic uint64_t waited;    /* serial of the wait that reported it last */
    _Atomic uint32_t served;    /* file_wait_mark of the wait whose report of it was read */
    _Atomic int accepted_by;    /* a connection: the thread that did */
    struct interest *interests; /* where it is registered */
    _Atomic uintptr_t root;     /* this and the next two: a connection's own contexts (connection.h) */
    uint64_t root_serial;
    uint64_t request_serial;
    struct mailbox *mailbox;  /* a connection ends here. What is to be read: of an eventfd, of an end that is
                                 read  from */
    struct mailbox *outbox;   /* F4: of the other end, where what is written here is to be read */
    struct peers *peers;      /* of a socket of datagrams: peers.h */
    struct interest_set *set; /* of an epoll */
    _Atomic uint64_t torn;    /* an annotation that a short write cut: annotate_text.c */
    _Atomic uint64_t written; /* E12: activity_changes when this log was last written to */
};
enum { FILE_CONNECTION_SIZE = offsetof(struct open_file, mailbox) };

_Static_assert(FILE_CONNECTION_SIZE == 96, "a connection stays small");

enum { SLOT_BITS = 12, SLOTS = 1 << SLOT_BITS, SLOT_CHUNKS = 1 << (31 - SLOT_BITS) };

typedef _Atomic(struct open_file *) file_slot;
extern file_slot file_first_slots[SLOTS];
/* The rest of them: chunks of SLOTS, SLOT_CHUNKS in number, mapped when first used. */
typedef _Atomic(file_slot *) file_chunk;
extern _Atomic(file_chunk *) file_directory;
struct open_file *file_at_far(int fd);

/* The open file of a descriptor, or NULL. Any number may be asked for. */
static inline struct open_file *file_at(int fd) {
    if ((unsigned)fd < SLOTS)
        return atomic_load_explicit(&file_first_slots[fd], memory_order_acquire);
    return fd < 0 ? NULL : file_at_far(fd);
}

/* A new open file for `fd`, replacing what the slot had. NULL without memory. */
struct open_file *file_open(int fd, enum file_kind kind);
/* The one it has, or a new FILE_PLAIN. */
struct open_file *file_open_any(int fd);
/* A descriptor that was nothing special turns out to be of this kind; its registrations stay. One that
 * was something else already stays that. NULL without memory. */
struct open_file *file_become(int fd, enum file_kind kind);
/* A FILE_STRANGER turns out to be of this kind. False: it is none any more. */
bool file_turns_out(struct open_file *file, enum file_kind kind);

/* `fd` was created by a call that makes it nothing special: whatever the slot had is over. */
void file_created(int fd);
/* Takes the open file out of the slot; the caller gives it to file_drop or puts it back. */
struct open_file *file_detach(int fd);
void file_put_back(int fd, struct open_file *file);
/* One more descriptor's hold, unless the last has just been dropped by another thread's close. */
bool file_hold(struct open_file *file);
/* Drops one descriptor's hold. NULL is allowed. */
void file_drop(struct open_file *file);
/* The same from a signal handler that may have interrupted us: only notes what is to be dropped. */
void file_drop_later(struct open_file *file);
/* Drops what was noted so. */
void file_drop_deferred(void);
/* `copy` now names what `fd` does. */
void file_duplicated(int fd, int copy);
/* Every slot from `first` to `last`, both included. */
void file_closed_range(unsigned first, unsigned last);

/* Which wait it was, in half the room: whoever compares it with one he knows is right but for once in four
 * thousand million, when a loop is taken for a little more regular than it is. None: 0. */
static inline uint32_t file_wait_mark(uint64_t wait) {
    uint32_t hash = (uint32_t)(wait * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    return wait != 0 && hash == 0 ? 1 : hash;
}

static inline enum file_kind file_kind(const struct open_file *file) {
    return (enum file_kind)atomic_load_explicit(&file->kind, memory_order_relaxed);
}

static inline bool file_has(const struct open_file *file, enum file_flag flag) {
    return (atomic_load_explicit(&file->flags, memory_order_relaxed) & flag) != 0;
}
static inline void file_mark(struct open_file *file, enum file_flag flag, bool on) {
    if (file_has(file, flag) == on)
        return;
    if (on)
        atomic_fetch_or_explicit(&file->flags, (uint16_t)flag, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&file->flags, (uint16_t)~flag, memory_order_relaxed);
}

/* Does another process have it too, so that what is queued on it may never be read here? */
bool file_is_shared(const struct open_file *file);

#endif
