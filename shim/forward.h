/* E10: the bytes themselves are evidence.
 *
 * A program with a waiting list of its own (a connection pooler, say) reads a request, lets it wait, and
 * forwards it later from inside somebody else's event. But it forwards the very bytes that it read, from the
 * same buffer. So for each read of a request it is noted where the bytes lie and how they begin and end; a
 * write to a server that starts at such an address, with such bytes, is that request's work, if that is still
 * outstanding.
 *
 * A note is dropped when anything else is read into its range. Two outstanding requests of the same bytes
 * cannot be told apart by them: the program may have copied one where the other lay. The design keeps the
 * first 64 bytes; we keep the last 64 too, because the requests of one kind of client begin alike.
 *
 * Notes hold no references: they name their request by (open file, generation, serial), and say nothing once
 * it is over. They are made only in a process that has connected somewhere. */
#ifndef SHIM_FORWARD_H
#define SHIM_FORWARD_H

#include "openfile.h"
#include "thread.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* What a write is about to send, as the program gave it: one of them is set. None is looked at before it is
 * known to be readable (H22). */
struct outgoing {
    const void *buffer;
    const struct iovec *vector;
    const struct msghdr *message;
    size_t size; /* of `buffer` */
};

/* The process has a server behind it: from now on notes are taken. */
void forward_begin(void);
extern _Atomic bool forward_on;

/* `size` bytes of this request were read to `bytes`: what else was noted there is gone. */
void forward_note(const void *bytes, size_t size, struct open_file *file, uint32_t generation,
                  const struct context *request);
/* Something else was read there. */
void forward_overwritten(const void *bytes, size_t size);

/* The request whose bytes these are (a new reference), where that is not what is current anyway; `*doubtful`:
 * another one has the same. NULL: nobody's. */
struct context *forward_find(const struct thread *thread, const struct outgoing *outgoing, bool *doubtful);

#endif
