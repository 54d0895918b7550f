/* What the files of the rules share among themselves. All are called with the guard taken. */
#ifndef SHIM_RULES_OWN_H
#define SHIM_RULES_OWN_H

#include "interest.h"
#include "rules.h"

/* Adopts a carrier's context (a reference), unless there is better (rules_read.c). NULL: nobody knows. */
void carrier_adopt(struct thread *thread, const struct passage *passage, struct context *context,
                   enum evidence evidence);

/* Is what opened the frame weaker than a connection or a continuation that is touched? (rules_write.c) */
bool frame_is_weak(struct thread *thread);
/* This request, or what was current. Consumes the reference. */
struct context *doubt(struct thread *thread, struct context *request);
/* Who began a write that this one goes on with, when it may be adopted: a reference, or NULL. */
struct context *continuation_context(struct thread *thread, const struct passage *passage);

/* F4 (rules_pipe.c): a reader is about to enter its call; what an event on an end is about (a reference). */
void pipe_read_begin(struct thread *thread, struct passage *passage);
struct context *pipe_event(struct thread *thread, const struct sighting *sighting, uint32_t events);

/* F8 (rules_datagram.c): a socket of datagrams was connected there; an event on one is about this (a
 * reference). */
void datagram_connected(struct open_file *file, const struct sockaddr *address);
struct context *datagram_event(struct thread *thread, const struct sighting *sighting);

#endif
