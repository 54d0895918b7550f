/* Whom a socket of datagrams has heard from and not answered, or asked and not heard from, and for whom: the
 * addresses, each with a context. A bounded ring: the oldest is forgotten first.
 *
 * Type-stable; each call names the open file and its generation, and does nothing when that is over. Any
 * thread may call these, under the guard. */
#ifndef SHIM_PEERS_H
#define SHIM_PEERS_H

#include "openfile.h"

enum { PEERS_AT_MOST = 128 };

/* Guarded by the lock, but for looking at it as holders.h says. */
struct peer {
    uint64_t address;
    uint64_t noted;          /* counts on */
    struct context *context; /* a reference */
    struct origin origin;    /* of whoever heard from there, or asked */
    bool asked_us;           /* else we asked it */
    bool open;               /* outstanding */
};

struct peers {
    void *free_link; /* the slab's, while free */
    struct lock lock;
    const struct open_file *file; /* NULL: free */
    uint32_t generation;
    uint64_t noted;
    uint32_t next;
    uint32_t used; /* of the ring: 0, or what was used since it began */
    struct peer ring[PEERS_AT_MOST];
};

/* An address as a number: the same for the same address, else another. 0: none, or not known. */
uint64_t peer_address(const void *address, size_t size);
enum { PEER_ANY = 0 };

/* NULL without memory. */
struct peers *peers_new(struct open_file *file);
void peers_free(struct peers *peers);

struct peer_question {
    struct peers *peers;
    const struct open_file *file;
    uint32_t generation;
    uint64_t address; /* PEER_ANY: all of them */
};
/* A datagram came from there (`asked_us`), or went there. Consumes the reference. */
void peers_note(const struct peer_question *question, bool asked_us, struct context *context);

/* What is outstanding with that address. */
struct outstanding {
    bool any;
    bool own;                /* what goes on now is a request from there; it is no longer outstanding */
    bool ambiguous;          /* several contexts */
    struct context *context; /* a reference: the latest; with links to others, if there are any */
};
/* Requests from there, now that something is sent there: the one that `current` works for (if in doubt, then
 * this tells), or the oldest, is no longer outstanding. */
struct outstanding peers_answer(const struct peer_question *question, const struct context *current,
                                uint64_t flow);
/* Questions of ours to there, now that something came from there. The oldest is no longer outstanding, unless
 * this is only a `look`; the last one there was stays known. */
struct outstanding peers_reply(const struct peer_question *question, bool look, uint64_t flow);

#endif
