/* Who holds which context in a process, as the shim in it knows: read from outside (../holders.h). */
#ifndef CTXSHIM_COMMAND_HOLDINGS_H
#define CTXSHIM_COMMAND_HOLDINGS_H

#include "target.h"

#include "../holders.h"

struct census;

/* Strings are as the program gave them: whoever shows them escapes them. */
struct held {
    enum holder_kind kind;
    char *operations; /* as ctxshim_stack has it; "..." and the rest when it is long */
    char *thread;     /* the name of thread `tid`, or of `from` when no thread holds it; "" */
    char *link;       /* what the descriptor is: a socket's peer, or as /proc says; "" */
    GArray *stack;    /* of struct place (record_file.h): where it was left there; may be empty */
    double over;      /* seconds since its request was over; negative: it goes on, or nobody noted it */
    bool gone;        /* the name alone: the context was let go */
    int fd;           /* -1: none */
    int tid;          /* of a thread that holds it; 0: none */
    int from;         /* the thread that left it there; 0: not known */
};

/* One struct held for each; to be freed with g_array_unref. Empty when the library in it is another
 * version's. */
GArray *holdings_take(struct target *target, const struct census *census);

#endif
