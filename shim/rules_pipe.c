/* F4: pipes and socketpairs.
 *
 * What is written at one end leaves (context, byte range) in the mailbox of the other: reserved before the
 * call and settled with what it really moved. A read takes the context of its first byte; when the bytes of
 * several contexts were read in one call it is ambiguous, with links. Where the kernel keeps the boundaries
 * of messages the mailbox counts messages, since whoever reads a part of one loses the rest.
 *
 * A named FIFO has no other end that we know: it is nothing special, and reads from it say nothing. An end
 * that a fork or SCM_RIGHTS gave to another process is *shared*: nothing is queued for it, and what is read
 * there is unknown. What comes although nobody here has written, or when the end that writes here is gone, is
 * some other process's: then the descriptor is like any other, and F2 says what its events are about. */
#include "../ctxstore/kernel.h"
#include "kept.h"
#include "reservation.h"
#include "rights.h"
#include "rules_own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

/* --- the two ends ---------------------------------------------------------------------------------- */

static void ends_join(struct open_file *reader, struct open_file *writer) {
    struct mailbox *mailbox = mailbox_new_bytes();
    if (mailbox == NULL)
        return;
    reader->mailbox = mailbox;
    writer->outbox = mailbox_hold(mailbox);
}

/* A pipe in packet mode (O_DIRECT) keeps boundaries that no count follows: it stays nothing special. */
void rules_pipe_created(int reader, int writer, int flags) {
    rules_fd_created(reader);
    rules_fd_created(writer);
    struct thread *thread = reader >= 0 && (flags & O_DIRECT) == 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *from = file_open(reader, FILE_PIPE), *to = file_open(writer, FILE_PIPE);
    if (from != NULL && to != NULL)
        ends_join(from, to);
    thread_leave();
}

void rules_pair_created(int one, int other, int domain, int type) {
    rules_fd_created(one);
    rules_fd_created(other);
    struct thread *thread = one >= 0 && domain == AF_UNIX ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *a = file_open(one, FILE_PIPE), *b = file_open(other, FILE_PIPE);
    if (a != NULL && b != NULL) {
        bool messages = (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != SOCK_STREAM;
        file_mark(a, FILE_MESSAGES, messages);
        file_mark(b, FILE_MESSAGES, messages);
        ends_join(a, b);
        ends_join(b, a);
    }
    thread_leave();
}

/* May another process write or read there, too? */
static bool is_shared(const struct open_file *file) {
    return file_is_shared(file) || mailbox_is_closed(file->mailbox);
}
/* Then, where the end that writes here is gone, what comes there is the other process's alone. */
static bool is_fed_elsewhere(const struct open_file *file) {
    return file->mailbox == NULL || (is_shared(file) && mailbox_is_orphaned(file->mailbox));
}

/* --- reading --------------------------------------------------------------------------------------- */

void pipe_read_begin(struct thread *thread, struct passage *passage) {
    struct open_file *file = passage->file;
    if (file->mailbox == NULL || is_shared(file))
        return;
    reservation_read(thread, file->mailbox, passage->here);
    passage->reading = true;
}

/* What was read in one piece: the bytes tell whose they are, where order alone does not. */
static size_t one_piece(long result, const struct iovec *buffers, int count) {
    if (count <= 0 || result <= 0)
        return 0;
    return (size_t)result < buffers[0].iov_len ? (size_t)result : buffers[0].iov_len;
}

static struct delivery pipe_take(struct thread *thread, const struct passage *passage, long result,
                                 const struct iovec *buffers, int count) {
    struct open_file *file = passage->file;
    size_t size = one_piece(result, buffers, count);
    if (passage->peek)
        return mailbox_next(file->mailbox, false, thread->flow.serial);
    uint64_t units = file_has(file, FILE_MESSAGES) ? passage->messages : (uint64_t)result;
    return mailbox_read(file->mailbox, units, size != 0 ? buffers[0].iov_base : NULL, size,
                        thread->flow.serial);
}

/* A callback that reads until there is no more may handle what it read only then: if that was of several
 * contexts, which one it works for is not known. */
static void drained(struct thread *thread, const struct passage *passage) {
    struct frame *frame = frame_top(thread);
    struct context *current = thread->flow.current;
    if (frame == NULL || !frame->several || frame->file != passage->file || current == NULL ||
        current->kind == CONTEXT_AMBIGUOUS || frame_explicit(thread))
        return;
    frame_adopt(thread, context_ambiguous(current, NULL, 0, thread->flow.serial), EVIDENCE_READ);
}

static void pipe_adopt(struct thread *thread, const struct passage *passage, struct context *context,
                       long result) {
    const struct context *brought = context;
    uint64_t serial = brought != NULL ? atomic_load_explicit(&brought->serial, memory_order_relaxed) : 0;
    context = wake_up_context(thread, passage->file, context);
    struct frame *frame = frame_top(thread);
    bool another = frame != NULL && frame->file == passage->file &&
                   frame->provenance.evidence == EVIDENCE_READ &&
                   !context_descends(thread->flow.current, context);
    bool is_work = carrier_adopt(thread, passage, context, EVIDENCE_READ);
    frame = frame_top(thread);
    if (frame == NULL || !is_work)
        return;
    frame->tentative = true; /* E5 */
    frame->several |= another;
    if (!passage->peek)
        wake_up_begins(thread, passage, brought, serial, result > 0 ? (uint64_t)result : 1);
}

/* Count was lost, or what is queued was never there: when the carrier is seen to be empty while nobody
 * writes, counting starts anew. */
static void find_count_again(const struct passage *passage, bool idle) {
    struct mailbox *mailbox = passage->file->mailbox;
    uint64_t doubts = mailbox_doubts(mailbox, idle);
    int there = -1;
    if (doubts == 0 || kernel_call(SYS_ioctl, passage->fd, FIONREAD, (long)&there, 0, 0, 0) != 0)
        return;
    if (there == 0 && passage_alive(passage))
        mailbox_seen_empty(mailbox, doubts);
}

static void pipe_read(struct thread *thread, const struct passage *passage, long result,
                      const struct iovec *buffers, int count) {
    struct open_file *file = passage->file;
    bool idle = result < 0 && errno == EAGAIN;
    bool something = result > 0 || (result == 0 && file_has(file, FILE_MESSAGES));
    if (idle)
        drained(thread, passage);
    if (!passage->reading) {
        mailbox_clear(file->mailbox);
        if (something && !is_fed_elsewhere(file))
            pipe_adopt(thread, passage, NULL, result);
        else if (result >= 0)
            registered_adopt(thread, passage);
        return;
    }
    bool lost = false;
    if (something) {
        struct delivery delivery = pipe_take(thread, passage, result, buffers, count);
        if (delivery.elsewhere)
            registered_adopt(thread, passage);
        else
            pipe_adopt(thread, passage, delivery.context, result);
        lost = !delivery.known && !delivery.elsewhere;
    }
    if (idle || lost)
        find_count_again(passage, idle);
}

void rules_pipe_read_close(const struct passage *passage, long result, const struct iovec *buffers,
                           int count) {
    struct open_file *file = passage->file;
    struct thread *thread = thread_enter();
    if (thread == NULL) {
        if (result > 0 && file->mailbox != NULL && !process_is_borrowed())
            mailbox_miss(file->mailbox);
        return;
    }
    struct mailbox *mailbox = passage_alive(passage) ? file->mailbox : NULL;
    if (mailbox != NULL)
        pipe_read(thread, passage, result, buffers, count);
    if (mailbox != NULL && passage->reading) {
        if (rights_any() && !passage->claims)
            rights_passed(mailbox, mailbox_taken(mailbox));
        mailbox_read_end(mailbox);
        reservation_over(thread, mailbox, 0);
    }
    thread_leave();
}

/* --- writing --------------------------------------------------------------------------------------- */

/* F8 holds here, too: who had a write cut short goes on with it. */
static void go_on(struct thread *thread, const struct passage *passage) {
    struct context *owner =
        file_has(passage->file, FILE_UNFINISHED) ? continuation_context(thread, passage) : NULL;
    if (owner == NULL || frame_explicit(thread)) {
        context_release(owner);
        return;
    }
    frame_adopt(thread, owner, EVIDENCE_PENDING);
    frame_came_from(thread, passage->file, passage->generation);
}

struct passage rules_pipe_write_open(struct open_file *file, size_t size, int flags, struct here here) {
    struct passage passage = {
        .file = file, .generation = cell_generation(&file->cell), .here = here, .messages = 1};
    if (file->outbox == NULL || mailbox_is_closed(file->outbox))
        return (struct passage){0};
    struct thread *thread = thread_enter();
    if (thread == NULL) {
        if (!process_is_borrowed())
            mailbox_miss(file->outbox);
        return (struct passage){0};
    }
    go_on(thread, &passage);
    uint64_t units = file_has(file, FILE_MESSAGES) && size != RULES_SOME_BYTES ? 1 : size;
    kept_hands_on(thread, file);
    if (!file_is_shared(file))
        passage.ticket = reservation_make(thread, file->outbox, units, here);
    if (flags & MSG_OOB)
        mailbox_miss(file->outbox);
    thread_leave();
    return passage;
}

/* A write that was cut short leaves its context, for whoever goes on with it. */
static void cut_short(struct thread *thread, const struct passage *passage, bool is) {
    struct open_file *file = passage->file;
    if (is)
        cell_put(&file->cell, passage->generation, flow_capture(&thread->flow));
    else if (file_has(file, FILE_UNFINISHED))
        cell_put(&file->cell, passage->generation, NULL);
    file_mark(file, FILE_UNFINISHED, is);
}

void rules_pipe_write_close(const struct passage *passage, long result, size_t asked, const void *first) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    struct open_file *file = passage->file;
    bool alive = passage_alive(passage), messages = file_has(file, FILE_MESSAGES);
    if (passage->ticket != 0 && alive) {
        uint64_t units = messages ? (result >= 0 ? passage->messages : 0) : result > 0 ? (uint64_t)result : 0;
        mailbox_commit(file->outbox, passage->ticket, units, first, result > 0 ? (size_t)result : 0);
        reservation_over(thread, file->outbox, passage->ticket);
        if (__builtin_expect(thread->inherited, 0))
            rules_thread_moves_on(thread);
    }
    if (alive && !messages)
        cut_short(thread, passage, result < 0 ? errno == EAGAIN : (size_t)result < asked);
    thread_leave();
}

void rules_pipe_out_of_band(const struct passage *passage) {
    if (file_kind(passage->file) == FILE_PIPE && passage->file->mailbox != NULL)
        mailbox_miss(passage->file->mailbox);
}

/* --- events ---------------------------------------------------------------------------------------- */

/* Bytes that wait are their writer's, the first one's above all; room to write is for who lacked it. */
struct context *pipe_event(struct thread *thread, const struct sighting *sighting, uint32_t events) {
    struct open_file *file = sighting->file;
    if (!(events & EPOLLIN) && file_has(file, FILE_UNFINISHED))
        return cell_copy(&file->cell, sighting->generation);
    if (!(events & EPOLLIN) || is_fed_elsewhere(file))
        return context_retain(sighting->context);
    if (is_shared(file))
        return NULL;
    struct delivery delivery = mailbox_next(file->mailbox, true, thread->flow.serial);
    return delivery.elsewhere ? context_retain(sighting->context) : delivery.context;
}
