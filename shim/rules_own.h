/* What the files of the rules share among themselves. All are called with the guard taken. */
#ifndef SHIM_RULES_OWN_H
#define SHIM_RULES_OWN_H

#include "connection.h"
#include "interest.h"
#include "rules.h"

/* Adopts a carrier's context (a reference), unless there is better (rules_read.c). NULL: nobody knows. False:
 * it came between other work, which is in doubt now. */
bool carrier_adopt(struct thread *thread, const struct passage *passage, struct context *context,
                   enum evidence evidence);

/* F2: what nobody here fills was read, and this frame's wait had reported it: that is the work of whoever
 * registered it (rules_read.c). */
void registered_adopt(struct thread *thread, const struct passage *passage);

/* E5, E7 (rules_wait.c): it may be somebody else's. Consumes the reference and returns another. */
struct context *not_proven(struct thread *thread, struct context *context);
/* E5: what was read from an eventfd or pipe, as it is to be adopted: consumes the reference and returns
 * another. */
static inline struct context *wake_up_context(struct thread *thread, const struct open_file *file,
                                              struct context *context) {
    return file_has(file, FILE_DRAINS) ? not_proven(thread, context) : context;
}
/* It was this one, of this serial (0: none), for so many. */
static inline void wake_up_begins(struct thread *thread, const struct passage *passage,
                                  const struct context *context, uint64_t serial, uint64_t count) {
    struct wake_up *woke = &thread->woke;
    woke->file = passage->file;
    woke->generation = passage->generation;
    woke->context = context;
    woke->serial = serial;
    woke->count = count;
    woke->answered = 0;
}
/* This request is answered, in a wake-up or not (rules_read.c). */
void wake_up_answers(struct thread *thread, const struct context *request);

/* Is what opened the frame weaker than a connection or a continuation that is touched? (rules_write.c) */
bool frame_is_weak(struct thread *thread);
/* This request, or what was current. Consumes the reference. */
struct context *doubt(struct thread *thread, struct context *request);
/* Who began a write that this one goes on with, when it may be adopted: a reference, or NULL. */
struct context *continuation_context(struct thread *thread, const struct passage *passage);

/* F4 (rules_pipe.c): a reader is about to enter its call; what an event on an end is about (a reference). */
void pipe_read_begin(struct thread *thread, struct passage *passage);
struct context *pipe_event(struct thread *thread, const struct sighting *sighting, uint32_t events);

/* F7, F8 (rules_stranger.c): a descriptor has come over `channel` (NULL: not known), and nobody here knows
 * it; the first bytes of a FILE_STRANGER came in: it is inbound from now on, or perhaps outbound. */
void stranger_received(struct thread *thread, const struct open_file *channel, int fd);
void stranger_read(struct thread *thread, const struct passage *passage);

/* F7 (rules_datagram.c): this is a socket of datagrams that somebody else has made, with that name. */
void datagram_known(int fd, const void *name, size_t size, bool connected);
/* F8 (rules_datagram.c): a socket of datagrams was connected there; an event on one is about this (a
 * reference). */
void datagram_connected(struct open_file *file, const struct sockaddr *address);
struct context *datagram_event(struct thread *thread, const struct sighting *sighting);

/* F9, F10 (rules_queue.c): how deep on its stack a thread calls; false: not known. Has it no work? May work
 * come from anywhere? */
bool queue_depth_of(const struct thread *thread, struct here here, uintptr_t *depth);
bool queue_is_idle(const struct thread *thread);
bool queue_work_may_come(void);
/* It is back at the bottom of its loop: what it worked for is over. */
void queue_comes_back(struct thread *thread, struct here here);
/* What was handed over becomes current. */
void queue_hand_to(struct thread *thread, const struct taking *taking);

/* F9 (rules_bell.c): a thread waits, or has waited, for a condition that may be its bell; a section ends; it
 * signals; it touches a request. */
void bell_comes_back(struct thread *thread, const void *condition, const void *mutex, struct here here);
void bell_falls_asleep(struct thread *thread, const void *condition, const void *mutex, struct here here);
void bell_wakes_up(struct thread *thread, const void *condition, struct here here);
void bell_section_ends(struct thread *thread, const void *mutex, struct here here);
void bell_signalled(struct thread *thread, const void *condition);
void bell_evidence(struct thread *thread, const struct context *request);

#endif
