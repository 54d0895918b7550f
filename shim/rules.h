/* The rules of flow (RULES.md), as the hooks call them: capture before the real call, adopt after it.
 *
 * A hook reports what happened and decides nothing. What these functions share:
 *   - they may be called at any time, before start-up, in a handler, in a fork child; when nothing can
 *     be known they do nothing;
 *   - they leave errno alone, since they make no libc call that sets it;
 *   - they read the program's memory only where the real call has just succeeded in doing so (H22). */
#ifndef SHIM_RULES_H
#define SHIM_RULES_H

#include "environment.h"
#include "forward.h"
#include "frame.h"
#include "interruption.h"
#include "openfile.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* One call on a descriptor that may carry a context, from before it to after it. */
struct passage {
    struct open_file *file; /* NULL: nothing to do */
    uint32_t generation;
    struct here here;
    uint64_t ticket;   /* in the mailbox that is written to */
    unsigned messages; /* how many the call moved, where it moved some */
    int fd;            /* of a read */
    bool ended;        /* the open-ended frame of this file was ended, since the thread came back for more */
    uint32_t answers;  /* number of the request that a write is the answer to; 0: none's */
    bool foreign;      /* E4: from another request's frame, so that the question may still be open */
    bool passing;      /* E4: the call is this request's; what follows need not be */
    bool reading;      /* F4: the mailbox knows of this reader */
    bool peek;         /* MSG_PEEK: nothing is consumed */
    bool claims;       /* F15: looks for descriptors in what it received */
};

/* Is it still the open file that the call was made on? */
static inline bool passage_alive(const struct passage *passage) {
    return cell_generation(&passage->file->cell) == passage->generation;
}

/* --- bytes: F3 F5 F7 F8 (rules_read.c), F3 F8 E4 E5 E10 (rules_write.c) -------------------------- */

/* `blocks`: unless the descriptor is set not to, the call waits for bytes. */
struct passage rules_read_open(struct open_file *file, int fd, bool blocks, struct here here);
struct passage rules_write_open(struct open_file *file, const struct outgoing *outgoing, struct here here);
void rules_read_close(const struct passage *passage, long result, const struct iovec *buffers, int count);
void rules_write_close(const struct passage *passage, long result, size_t asked, const void *first);
/* F4 (rules_pipe.c): the same for an end of a pipe or socketpair. */
struct passage rules_pipe_write_open(struct open_file *file, size_t size, int flags, struct here here);
void rules_pipe_read_close(const struct passage *passage, long result, const struct iovec *buffers,
                           int count);
void rules_pipe_write_close(const struct passage *passage, long result, size_t asked, const void *first);
/* MSG_OOB takes a byte out of its order. */
void rules_pipe_out_of_band(const struct passage *passage);
/* F7, F8, E12 (rules_datagram.c): the same for sockets of datagrams. `address`: the other one's, as a number
 * (peers.h), or where it lies; none for a call that has none. */
void rules_datagram_read_close(const struct passage *passage, long result, uint64_t address);
void rules_datagrams_read_close(const struct passage *passage, int result, const struct mmsghdr *messages);
void rules_datagram_write_close(const struct passage *passage, long result, const void *address, size_t size);
void rules_datagrams_write_close(const struct passage *passage, int result, const struct mmsghdr *messages);
uint64_t rules_received_from(const struct passage *passage, long result, const void *address,
                             const socklen_t *size);

/* Is the call all that there is to do? So it is with most descriptors, where no frame was left. Otherwise
 * this does nothing: the others here are still to be called. */
static inline bool rules_nothing_known(int fd, struct here here) {
    local.site = here.site;
    return __builtin_expect(here.address <= frame_limit && (unsigned)fd < SLOTS, 1) &&
           atomic_load_explicit(&file_first_slots[(unsigned)fd % SLOTS], memory_order_acquire) == NULL;
}
static inline struct passage rules_wait_for_bytes(int fd, bool blocks, struct here here) {
    frame_settle(here);
    struct open_file *file = file_at(fd);
    if (__builtin_expect(file == NULL, 1))
        return (struct passage){0};
    return rules_read_open(file, fd, blocks, here);
}
static inline struct passage rules_read_begin(int fd, struct here here) {
    return rules_wait_for_bytes(fd, true, here);
}
/* How many bytes a call asks to move, where that is not known before it. */
#define RULES_SOME_BYTES ((size_t)1 << 62)
/* `outgoing`: what the program asks to send; {0} when that is in no buffer. `flags` are MSG_ flags. */
static inline struct passage rules_send_begin(int fd, struct outgoing outgoing, int flags, struct here here) {
    struct open_file *file = file_at(fd);
    local.site = here.site;
    if (__builtin_expect(here.address > frame_limit, 0)) {
        if (frame_limit == 0 && (file == NULL || file_kind(file) == FILE_PLAIN))
            frame_logs();
        frame_settle(here);
    }
    if (__builtin_expect(file == NULL, 1))
        return (struct passage){0};
    enum file_kind kind = file_kind(file);
    if (kind == FILE_PIPE)
        return rules_pipe_write_open(file, outgoing.buffer != NULL ? outgoing.size : RULES_SOME_BYTES, flags,
                                     here);
    if (kind == FILE_DATAGRAM)
        return (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    return rules_write_open(file, &outgoing, here);
}
static inline struct passage rules_write_begin(int fd, struct outgoing outgoing, struct here here) {
    return rules_send_begin(fd, outgoing, 0, here);
}
/* For calls with MSG_ flags: the error queue holds no bytes of the peer's. */
static inline struct passage rules_receive_begin(int fd, int flags, struct here here) {
    if (flags & MSG_ERRQUEUE)
        return (struct passage){0};
    struct passage passage = rules_wait_for_bytes(fd, (flags & MSG_DONTWAIT) == 0, here);
    passage.peek = (flags & MSG_PEEK) != 0;
    if (__builtin_expect((flags & MSG_OOB) != 0, 0) && passage.file != NULL)
        rules_pipe_out_of_band(&passage);
    return passage;
}
/* `result` is the real call's; `buffers` is where it put the bytes (readable when result > 0). */
static inline void rules_read_end(const struct passage *passage, long result, const struct iovec *buffers,
                                  int count) {
    if (passage->file == NULL)
        return;
    if (file_kind(passage->file) == FILE_PIPE)
        rules_pipe_read_close(passage, result, buffers, count);
    else if (file_kind(passage->file) == FILE_DATAGRAM)
        rules_datagram_read_close(passage, result, 0);
    else
        rules_read_close(passage, result, buffers, count);
}
/* `asked`: how many bytes the program wanted to go out; `first`: where they begin (readable when result
 * > 0), or NULL when they are in no buffer (sendfile). */
static inline void rules_write_end(const struct passage *passage, long result, size_t asked,
                                   const void *first) {
    if (passage->file == NULL)
        return;
    if (file_kind(passage->file) == FILE_PIPE)
        rules_pipe_write_close(passage, result, asked, first);
    else if (file_kind(passage->file) == FILE_DATAGRAM)
        rules_datagram_write_close(passage, result, NULL, 0);
    else
        rules_write_close(passage, result, asked, first);
}
/* The same with the address of the other one: recvfrom's is looked at only when the call has put it there. */
static inline void rules_receive_end(const struct passage *passage, long result, const struct iovec *buffers,
                                     int count, const void *address, const socklen_t *size) {
    if (passage->file != NULL && file_kind(passage->file) == FILE_DATAGRAM)
        rules_datagram_read_close(passage, result, rules_received_from(passage, result, address, size));
    else
        rules_read_end(passage, result, buffers, count);
}
static inline void rules_send_end(const struct passage *passage, long result, size_t asked, const void *first,
                                  const void *address, size_t address_size) {
    if (passage->file != NULL && file_kind(passage->file) == FILE_DATAGRAM)
        rules_datagram_write_close(passage, result, address, address_size);
    else
        rules_write_end(passage, result, asked, first);
}

/* --- whole messages (rules_message.c) -------------------------------------------------------------- */

/* F15: descriptors in a message that is about to be sent. */
void rules_rights_begin(const struct passage *passage, const struct msghdr *message);
void rules_message_sent(const struct passage *passage, long result, size_t asked, const void *first,
                        const struct msghdr *message);
void rules_messages_sent(const struct passage *passage, int result, unsigned asked,
                         const struct mmsghdr *messages);
void rules_message_received(const struct passage *passage, long result, const struct msghdr *message);
void rules_messages_received(const struct passage *passage, int result, const struct mmsghdr *messages);
void rules_rights_passed(const struct passage *passage);

/* --- bytes that move from one descriptor to another (rules_move.c) --------------------------------- */

struct movement {
    struct passage from, to;
};
/* `copies`: they stay where they were (tee). */
struct movement rules_move_begin(int from, int to, bool blocks, bool copies, struct here here);
/* vmsplice: from memory into a pipe, or out of it. */
struct movement rules_gift_begin(int fd, struct here here);
void rules_move_end(const struct movement *movement, long result, size_t asked);

/* The thread ends: its calls that have not come back never will. */
void rules_reservations_end(struct thread *thread);

/* --- what carriers are born and armed by: F3 F5 F7 F8 (rules_carrier.c) -------------------------- */

/* F7. accept: what was before is over while the thread waits, then the new connection has its root. */
/* Destroys what this thread has dropped, when a call on this descriptor really waits: a host that calls
 * without waiting may hold a lock. */
void rules_bury_before(int fd);
void rules_accept_begin(int listener, struct here here);
void rules_accept_end(int fd);
void rules_listen(int fd);
/* F8. */
struct passage rules_connect_begin(int fd, struct here here);
void rules_connect_end(const struct passage *passage, int fd, int result, const struct sockaddr *address);
/* F4. `flags` as pipe2 takes them; `type` as socketpair does. */
void rules_pipe_created(int reader, int writer, int flags);
void rules_pair_created(int one, int other, int domain, int type);
/* F7, F8: a socket, which may be one of datagrams; and it was given this address. */
void rules_socket_created(int fd, int domain, int type);
void rules_bound(int fd, const void *address, size_t size);
/* F7, F8: start-up; the process may have been given sockets, as its input and outputs and behind those. */
void rules_process_begins(void);
/* F3, F5: the life and the arming of the two. */
void rules_eventfd_created(int fd, unsigned initial, int flags);
void rules_timerfd_created(int fd);
/* F5. timerfd_settime: what it replaced is put back when the call fails. */
struct arming {
    struct passage passage;
    struct context *before; /* a reference */
};
struct arming rules_timer_begin(int fd, struct here here);
void rules_timer_end(const struct arming *arming, int result, const struct itimerspec *value);

/* --- waits: F2 (rules_epoll.c), poll and select (rules_poll.c), E0 to E3 (rules_wait.c, rules_loop.c) -- */

/* One wait. */
struct wait {
    struct thread *thread;   /* NULL: nothing to do */
    struct open_file *epoll; /* NULL: it is poll or select */
    uint32_t generation;
    struct here here;
    struct loop *loop;
    int max_events; /* what the real call is to be given */
    bool poll;      /* zero timeout: the frame is not over until something is reported */
    bool left;      /* its frame was left for a shallower depth */
    bool quiet;     /* E2: the answer is "nothing ready", without the real call */
};
/* For so many milliseconds: -1 for ever, 0 not at all. */
struct wait rules_wait_begin(int epoll, int max_events, long milliseconds, struct here here);
void rules_wait_end(const struct wait *wait, const struct epoll_event *events, int count);
/* poll, select and their kin. */
struct wait rules_poll_begin(long milliseconds, struct here here);
void rules_poll_end(const struct wait *wait, const struct pollfd *fds, unsigned long count, int result);
/* select's arguments. */
struct selection {
    int count;
    const fd_set *reads, *writes, *errors;
};
void rules_select_end(const struct wait *wait, const struct selection *selection, int result);
/* A time that the program points at (NULL: for ever), in milliseconds, rounded up. The pointer may be bad:
 * then the call will fail. */
long rules_milliseconds(const struct timespec *time);
long rules_milliseconds_of(const struct timeval *time);
/* A wait on a futex of the program's own: only F1 cares. */
void rules_futex_waits(struct here here);
void rules_epoll_created(int fd);

/* A registration in progress. */
struct registration {
    struct passage passage; /* its file is the epoll's */
    struct open_file *file; /* of the descriptor */
    struct context *before; /* E6: a reference: what its cell had */
    uint32_t generation;    /* E6: of that cell; 0: nothing was stamped */
    bool added;
};
struct registration rules_register_begin(int epoll, int operation, int fd, const struct epoll_event *event,
                                         struct here here);
void rules_register_end(const struct registration *registration, int operation, int fd,
                        const struct epoll_event *event, int result);

/* E0: the frame's loop was contradicted by stronger evidence. */
void rules_contradicted(struct thread *thread);
/* The same outside any frame: does a loop of this thread watch the file, and is not exact yet? */
bool rules_answered_outside(struct thread *thread, struct open_file *file);
/* Does this thread run an event loop, whose work need not be where it waits? */
bool rules_runs_loop(const struct thread *thread);

/* --- F1, F13 (rules_thread.c) --------------------------------------------------------------------- */

/* Gives it back, when there is no thread after all. */
void rules_thread_dropped(struct context *context);
/* A reference to what a thread started now inherits. */
struct context *rules_thread_capture(struct here here);
/* F1: the thread is about to wait here; the second time at the same place its start context is over. Blocks
 * (CTXSHIM_SCOPE) that a longjmp has left behind are closed. */
void rules_thread_waits(struct thread *thread, struct here here);
void rules_thread_is_worker(struct thread *thread);
/* F1: it has written to an eventfd, or a pipe that is read here: what it was started for may be done. */
void rules_thread_moves_on(struct thread *thread);
void rules_forked(void);

/* --- F9, F10, E9, E11 (rules_queue.c) ------------------------------------------------------------- */

/* Nothing is destroyed in any of these, since the program may hold a mutex that a destroy function wants.
 * Addresses of the program's are compared and never followed. */

/* One dequeue: what was taken while the program still held its mutex becomes current when it does not. */
struct taking {
    struct thread *thread; /* NULL: nothing to do */
    struct queue_handoff handoff;
    struct here here;
};
/* A section begins with this mutex. */
void rules_lock(const void *mutex);
/* A section ends by giving back this mutex. */
struct taking rules_unlock_begin(const void *mutex, struct here here);
void rules_taking_end(const struct taking *taking, bool succeeded);
/* A section ends, and another begins, by waiting on this condition. */
void rules_sleep_begin(const void *condition, const void *mutex, struct here here);
void rules_sleep_end(const void *condition, const void *mutex, bool timed_out, struct here here);
void rules_signal(const void *condition);
/* `units`: what the semaphore says that it has. */
void rules_units_begin(const void *semaphore, int units, struct here here);
void rules_units_end(const void *semaphore, bool succeeded, struct here here);
struct queue_pending rules_post_begin(const void *semaphore, struct here here);
void rules_post_end(const struct queue_pending *post, bool succeeded);
/* A mutex, condition variable or semaphore begins or ends in this memory. */
void rules_queue_memory(const void *address);
/* Better evidence for what this thread works for now: this request, or one of this connection. Was there a
 * hand-off to be judged by it? */
bool rules_queue_evidence(struct thread *thread, const struct context *request);
/* Something is about to be written to this connection. */
void rules_queue_answers(struct thread *thread, const struct passage *passage);
/* The thread ends, perhaps out of a wait. */
void rules_queue_thread_ends(struct thread *thread);

/* --- F11 (rules_coroutine.c) ---------------------------------------------------------------------- */

/* makecontext has made one, whose stack is [low, low + size) and whose stack pointer this. */
void rules_coroutine_made(uintptr_t low, size_t size, uintptr_t stack_pointer, struct here here);
/* The program is about to go on where this stack pointer was saved. `left_at` is a word on the caller's stack
 * that stays as it is until the caller goes on; 0: the caller is over. */
void rules_coroutine_switch(uintptr_t stack_pointer, uintptr_t left_at, struct here here);
/* A coroutine's function begins, and has returned. */
void rules_coroutine_begin(struct here here);
void rules_coroutine_over(struct here here);

/* --- F12 (rules_signal.c) ------------------------------------------------------------------------- */

/* Around a signal handler of the program's. */
void rules_signal_begin(struct handling *handling);
void rules_signal_end(struct handling *handling);

/* --- F6 (rules_callback.c) ------------------------------------------------------------------------ */

/* What arms a callback, and what `owner` is then. */
enum callback_kind { CALLBACK_ONCE, CALLBACK_TIMER, CALLBACK_QUEUE }; /* 0, timer, queue */

/* A call is about to arm one; returns what names it, 0: nothing to carry. */
uint64_t rules_callback_arm(enum callback_kind kind, uintptr_t owner, uintptr_t function, const void *value,
                            struct here here);
/* It did, or not. */
void rules_callback_armed(enum callback_kind kind, uintptr_t owner, uint64_t serial, bool done);
/* The owner goes: nothing will come of it. */
void rules_callback_over(enum callback_kind kind, uintptr_t owner);
/* A timer was created, and is armed or disarmed. */
void rules_callback_timer(uintptr_t timer, uintptr_t function, const void *value);
struct callback_arming {
    uintptr_t timer;
    struct context *before; /* a reference */
    bool known;
};
struct callback_arming rules_callback_timer_begin(uintptr_t timer, struct here here);
void rules_callback_timer_end(const struct callback_arming *arming, int result,
                              const struct itimerspec *value);
/* On the new thread, before the program's function. */
void rules_callback_begin(uintptr_t function, const void *value);

/* --- F14 (rules_exec.c) --------------------------------------------------------------------------- */

/* What an executed program's environment is to have besides what the program gives it. */
struct parting {
    size_t slots; /* what rules_exec_environment needs: at least 1 */
    bool changes; /* no: the program's own will do */
    char context[sizeof CONTEXT_VARIABLE - 1 + ENVIRONMENT_TEXT]; /* "": none */
    char trace[sizeof TRACE_VARIABLE + TRACEPARENT];              /* the same */
    bool baggage;                                                 /* what came in */
};
/* Is it an option of this process's to hand contexts to executed programs? */
bool rules_exec_wanted(void);
void rules_exec_begin(struct parting *parting, char *const *environment);
/* The environment for the child: made in `copy`, which has `slots` places, or the program's own. */
char *const *rules_exec_environment(const struct parting *parting, char *const *environment, char **copy);

/* --- the life of a descriptor (rules_fd.c) -------------------------------------------------------- */

/* A call made `fd` (negative: it failed), and it is nothing special. */
void rules_fd_created(int fd);
/* `fd` is about to be closed; gives back what must be put back if the close fails for sure. */
struct open_file *rules_fd_closing(int fd);
void rules_fd_closed(int fd, struct open_file *file, bool still_open);
void rules_fd_range_closing(unsigned first, unsigned last);
void rules_fd_duplicated(int fd, int copy);

/* --- roots (rules_root.c) ------------------------------------------------------------------------- */

/* A new reference to the root of an accepted connection, of a datagram, or of a request on a connection. NULL
 * without memory. */
struct context *root_connection(struct thread *thread);
struct context *root_datagram(struct thread *thread);
struct context *root_request(struct thread *thread, struct open_file *file, uint32_t generation);
/* The same, and it is the connection's latest from here on; the one before (a reference) is over. */
struct context *root_next_request(struct thread *thread, struct open_file *file, uint32_t generation,
                                  struct context **before);
void root_forked(void);

#endif
