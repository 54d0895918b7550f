/* The monkey makes long random sequences of the calls that the shim interposes, from a seed: legal ones,
 * which nobody would think of, and some that fail.
 *
 * Alone (the default) everything that it does is determined by the seed: what each call returned, its errno
 * and the bytes that it brought are summed up in a digest, which is the same plain and under the shim,
 * whatever the options. With several threads only survival counts, and what must hold at the end.
 *
 * Each step has dice of its own, thrown from the seed and the step's number: to leave steps out changes none
 * of the others' dice, so a failing sequence can be made short (monkey.py). */
#ifndef TESTS_MONKEY_H
#define TESTS_MONKEY_H

#include "../../ctxstore/kernel.h"

#include <ctxshim.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* --- how a run was asked for (main.c) ------------------------------------------------------------------ */

struct asked {
    uint64_t seed;
    long steps;
    int threads;    /* 0: alone */
    bool whole;     /* what a single wait of epoll returns counts, and not only what several do together */
    bool log;       /* each call, to LOG_FD */
    bool coverage;  /* says which hooks were not called */
    const char *op; /* only this one, or NULL */
};
extern struct asked asked;
extern const char *own_path; /* of the program, for exec */

/* --- dice (world.c) ------------------------------------------------------------------------------------ */

struct dice {
    uint64_t state;
};
extern _Thread_local struct dice dice;
void dice_throw(uint64_t seed, uint64_t number);
uint64_t draw(void);
/* 0 to limit - 1; 0 for a limit of 0. */
unsigned below(unsigned limit);
bool chance(unsigned percent);
/* One of some whole numbers. */
#define ONE_OF(...) (((const long[]){__VA_ARGS__})[below(LENGTH(((const long[]){__VA_ARGS__})))])

/* --- what was said (world.c) --------------------------------------------------------------------------- */

/* errno before each call: one that succeeds must leave it. */
enum { UNTOUCHED = 77, LOG_FD = 1000 };

/* Each hook of hooks.def, and how often it was called. */
enum hook {
#define HOOK_ROW(name, family, rules) HOOK_##name,
#include "../../hooks/hooks.def"
#undef HOOK_ROW
    HOOKS
};
void hooks_begin(void);
void hook_used(enum hook hook);
void hooks_uncalled(FILE *stream);

/* Makes a call of that name and tells its result, and errno. Gives the result. */
#define DO(name, ...) told(#name, (hook_used(HOOK_##name), errno = UNTOUCHED, (long)(name)(__VA_ARGS__)))
/* The same without a result that could be compared: an address, or nothing at all. */
#define DO_POINTER(name, ...) ((hook_used(HOOK_##name), errno = UNTOUCHED, (name)(__VA_ARGS__)))
#define DO_NOTHING(name, ...)                                                                                \
    (hook_used(HOOK_##name), errno = UNTOUCHED, (name)(__VA_ARGS__), (void)told(#name, 0))

/* Reads errno first. Returns the result. */
long told(const char *what, long result);
/* The same of what is no call. */
long noted(const char *what, long result);
void told_bytes(const char *what, const void *bytes, size_t size);
/* For the log alone. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t digest(void);
/* In a fork child: from now on it speaks for itself. */
void digest_begin(uint64_t from);

/* Another thread waits here until who has started it has told so: only then is the order the same each time.
 */
void gate_wait(_Atomic bool *open);

/* What must hold in every run, or it ends. */
#define MUST(condition) ((condition) ? (void)0 : broken(__FILE__, __LINE__, #condition))
_Noreturn void broken(const char *file, int line, const char *what);

/* --- descriptors (slots.c) ----------------------------------------------------------------------------- */

enum kind {
    NOTHING = 0,
    PIPE_IN = 1 << 0, /* what can be read from */
    PIPE_OUT = 1 << 1,
    UNIX = 1 << 2, /* a stream */
    TCP = 1 << 3,
    DATAGRAMS = 1 << 4, /* a pair of them */
    UDP = 1 << 5,
    LISTENER = 1 << 6,
    EVENTFD = 1 << 7,
    TIMERFD = 1 << 8,
    SIGNALFD = 1 << 9,
    EPOLL = 1 << 10,
    DATA = 1 << 11, /* a regular file */
    LOG = 1 << 12,  /* one that is appended to, and annotated */
    OTHER = 1 << 13,
    PASSED = 1 << 14, /* came in a message: of any kind */
    STREAMS = UNIX | TCP,
    READABLE = PIPE_IN | STREAMS | DATAGRAMS | UDP | EVENTFD | TIMERFD | SIGNALFD | PASSED,
    WRITABLE = PIPE_OUT | STREAMS | DATAGRAMS | UDP | EVENTFD | PASSED,
    ANY = (1 << 15) - 1,
};

enum { SLOTS = 40 };
struct slot {
    _Atomic int fd; /* -1: empty */
    _Atomic int kind;
    _Atomic unsigned origin; /* whose open file it is: one number for all copies */
    _Atomic unsigned peer;   /* the origin at the other end, or 0 */
};
extern struct slot slots[SLOTS];

void slots_begin(void);
/* Keeps a descriptor, in place of another one if there is no room. < 0: nothing happens. Returns its slot, or
 * NULL. */
struct slot *slot_keep(int fd, int kind, unsigned origin, unsigned peer);
unsigned origin_new(void);
/* One of those kinds; now and then of any kind, or none at all (-1 or so in *fd). NULL: there is none. */
struct slot *slot_pick(int kinds);
/* Its descriptor, or a bad one for NULL. */
int slot_fd(const struct slot *slot);
int pick_fd(int kinds);
/* Closed by somebody: forget all with these numbers. */
void slots_forget(int first, int last);
void slot_close(struct slot *slot);
void slots_close_all(void);

/* Would a call block? `events`: POLLIN or POLLOUT. Asks the kernel alone, unseen by the shim. */
bool fd_ready(int fd, short events);
bool fd_blocks(int fd, short events);
bool fd_never_blocks(int fd);
/* May this be written to, now? Not where it would block; over the network, not where the other end has not
 * been accepted, or has more than it can take: what happens then is a matter of time. Afterwards: it has
 * arrived. */
bool may_write(int fd);
void has_written(int fd);
struct slot *slot_of(int fd);
struct slot *slot_of_origin(unsigned origin);

/* Buffers that stay, of BUFFER_SIZE: what is read into one is sent on from it. */
enum { BUFFER_SIZE = 4096 };
char *pick_buffer(void);
/* With a text that nobody else has. */
char *fill_buffer(size_t size);

/* Lets the network come to rest: what was sent has arrived. */
void network_settle(void);
/* Waits, up to a second, until the kernel says so. */
bool await(int fd, short events);

/* --- operations (ops.def) ------------------------------------------------------------------------------ */

/* Where an operation may be done, or may not. */
enum where { ALONE = 1, CROWD = 2, CHILD = 4, HANDLER = 8, EVERYWHERE = ALONE | CROWD | CHILD };

/* One random operation that may be done here. */
void step(int where);
/* Some, at a place of their own on the stack. */
void steps_deeper(unsigned count, int where);
extern _Thread_local int here_where; /* of the operation that is being done */

/* Was a coroutine left in the middle? What it had, nobody can give back. */
extern _Atomic bool abandoned;

/* Ends what operations have left behind: captures, scopes, threads, timers. */
void contexts_end(void);
void workers_end(void);
void signals_end(void);
void locks_end(void);
void contexts_begin(void);
void locks_begin(void);
void workers_begin(void);
void signals_begin(void);

#endif
