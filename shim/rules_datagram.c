/* F7, F8 and E12 for sockets of datagrams.
 *
 * F7   A socket whose first datagram came in serves: each datagram is a root of its own, `dgram#N`, numbered
 *      from 1 in each process. What is sent to an address answers what came from there (E4); when several
 *      requests from one address are outstanding and the sender works for none of them, it is ambiguous. In
 *      another request's frame it may be a deferred answer or a publish: which of the two is learnt.
 * F8   A socket whose first datagram went out asks: what comes from an address is for whom that was asked
 * last; ambiguous while several contexts' questions to it are outstanding. What comes unasked begins a root
 * if the program gave the socket an address, else nobody knows. E12  recvmmsg makes a root of each message,
 * and the first is adopted, in doubt; each answer then finds its own. sendmmsg answers each of its requests;
 * when they differ, the call is nobody's in particular: the flow's own context, in doubt. */
#include "../ctxstore/kernel.h"
#include "kept.h"
#include "options.h"
#include "peers.h"
#include "rules_own.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

void rules_socket_created(int fd, int domain, int type) {
    rules_fd_created(fd);
    bool datagrams = (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_DGRAM &&
                     (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
    struct thread *thread = fd >= 0 && datagrams ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_DATAGRAM);
    if (file != NULL)
        file->peers = peers_new(file);
    thread_leave();
}

/* Did the program choose the address, so that others may know it? */
static bool is_chosen(const void *address, size_t size) {
    struct sockaddr_storage copy = {0};
    memcpy(&copy, address, size < sizeof copy ? size : sizeof copy);
    if (copy.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&copy)->sin_port != 0;
    if (copy.ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)&copy)->sin6_port != 0;
    return size > sizeof copy.ss_family;
}

void datagram_known(int fd, const void *name, size_t size, bool connected) {
    struct open_file *file = file_open(fd, FILE_DATAGRAM);
    if (file == NULL)
        return;
    file->peers = peers_new(file);
    file_mark(file, FILE_BOUND, !connected && is_chosen(name, size));
    file_mark(file, FILE_CONNECTED, connected);
}

/* A socketpair's end that has an address hears from others than its other end. */
void rules_bound(int fd, const void *address, size_t size) {
    struct open_file *file = file_at(fd);
    struct thread *thread = file != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (file_kind(file) == FILE_PIPE && file->mailbox != NULL)
        mailbox_close(file->mailbox);
    else if (file_kind(file) == FILE_DATAGRAM)
        file_mark(file, FILE_BOUND, is_chosen(address, size));
    thread_leave();
}

void datagram_connected(struct open_file *file, const struct sockaddr *address) {
    file_mark(file, FILE_CONNECTED, address->sa_family != AF_UNSPEC);
}

/* --- what comes in --------------------------------------------------------------------------------- */

/* A connected socket has one peer, whose address need not be told. */
static struct peer_question peer_of(const struct passage *passage, uint64_t address) {
    const struct open_file *file = passage->file;
    return (struct peer_question){file->peers, file, passage->generation,
                                  file_has(file, FILE_CONNECTED) ? PEER_ANY : address};
}

/* E4: so many answers that came from others' frames, each to one question, make a socket one that defers. */
enum { DEFERRED = 4 };

/* The address whose question was last answered from another's frame, until it is known what that was. */
static uint32_t in_question(uint64_t address) {
    return (uint32_t)(address ^ address >> 32) | 1;
}

/* It asks again: so it was its answer. */
static void asks_again(struct open_file *file, uint64_t address) {
    uint32_t expected = in_question(address);
    if (!atomic_compare_exchange_strong_explicit(&file->question, &expected, 0, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    if (atomic_fetch_add_explicit(&file->requests, 1, memory_order_relaxed) + 1 >= DEFERRED &&
        !file_has(file, FILE_PUBLISHES))
        file_mark(file, FILE_DEFERS, true);
}

/* A root; the one that a peek at this datagram has made already, if it did. */
static struct context *new_root(struct thread *thread, const struct passage *passage, uint64_t address) {
    struct open_file *file = passage->file;
    if (!options.roots)
        return NULL;
    struct context *root = cell_copy(&file->cell, passage->generation);
    if (root == NULL)
        root = root_datagram(thread);
    cell_put(&file->cell, passage->generation, passage->peek ? context_retain(root) : NULL);
    struct peer_question question = peer_of(passage, address);
    if (!passage->peek && root != NULL && (address != 0 || file_has(file, FILE_CONNECTED)))
        peers_note(&question, true, context_retain(root));
    return root;
}

/* Whose a datagram is: a reference. */
static struct context *received_context(struct thread *thread, const struct passage *passage,
                                        uint64_t address) {
    struct open_file *file = passage->file;
    if (!file_has(file, FILE_SENT)) {
        file_mark(file, FILE_RECEIVED, true);
        if (!passage->peek)
            asks_again(file, address);
        return new_root(thread, passage, address);
    }
    struct peer_question question = peer_of(passage, address);
    struct outstanding reply = peers_reply(&question, passage->peek, thread->flow.serial);
    if (!reply.any && file_has(file, FILE_BOUND))
        return new_root(thread, passage, address);
    return reply.context;
}

/* Several at once, one after the other. */
struct arrivals {
    struct context *first; /* references */
    struct context *others[CONTEXT_LINKS];
    unsigned count, other_count;
};

static void arrive(struct arrivals *arrivals, struct context *context) {
    if (arrivals->count++ == 0)
        arrivals->first = context;
    else if (context != arrivals->first && arrivals->other_count < CONTEXT_LINKS)
        arrivals->others[arrivals->other_count++] = context;
    else
        context_release(context);
}

static void adopt_arrivals(struct thread *thread, const struct passage *passage,
                           const struct arrivals *arrivals) {
    struct context *context = arrivals->first;
    if (arrivals->other_count > 0) {
        context = context_ambiguous(context != NULL ? context : arrivals->others[0], arrivals->others,
                                    arrivals->other_count, thread->flow.serial);
        context_release(arrivals->first);
    }
    carrier_adopt(thread, passage, context, EVIDENCE_READ);
    struct frame *frame = frame_top(thread);
    if (arrivals->other_count > 0 && frame != NULL)
        frame->tentative = true; /* each answer finds its own */
    for (unsigned i = 0; i < arrivals->other_count; i++)
        context_release(arrivals->others[i]);
}

static struct thread *enter(const struct passage *passage, long result) {
    struct thread *thread = result >= 0 ? thread_enter() : NULL;
    if (thread == NULL || (passage_alive(passage) && passage->file->peers != NULL))
        return thread;
    thread_leave();
    return NULL;
}

void rules_datagram_read_close(const struct passage *passage, long result, uint64_t address) {
    struct thread *thread = enter(passage, result);
    if (thread == NULL)
        return;
    struct arrivals arrivals = {0};
    arrive(&arrivals, received_context(thread, passage, address));
    adopt_arrivals(thread, passage, &arrivals);
    thread_leave();
}

/* A name that the kernel has put where the program said. The program may have left less room for it than it
 * takes, so that elsewhere it is looked at through the kernel (H22). */
static uint64_t received_address(const void *address, size_t size) {
    struct sockaddr_un copy;
    size = size < sizeof copy ? size : sizeof copy;
    if (address == NULL || size == 0)
        return 0;
    if (thread_frames_hold(address, size))
        return peer_address(address, size);
    return kernel_peek(&copy, address, size) ? peer_address(&copy, size) : 0;
}

void rules_datagrams_read_close(const struct passage *passage, int result, const struct mmsghdr *messages) {
    struct thread *thread = result > 0 ? enter(passage, result) : NULL;
    if (thread == NULL)
        return;
    struct arrivals arrivals = {0};
    for (int i = 0; i < result; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;
        arrive(&arrivals,
               received_context(thread, passage, received_address(message->msg_name, message->msg_namelen)));
    }
    adopt_arrivals(thread, passage, &arrivals);
    thread_leave();
}

/* Waits for its reply: whoever asked. */
struct context *datagram_event(struct thread *thread, const struct sighting *sighting) {
    struct open_file *file = sighting->file;
    struct peer_question question = {file->peers, file, sighting->generation, PEER_ANY};
    if (file->peers == NULL || !file_has(file, FILE_SENT))
        return NULL;
    return peers_reply(&question, true, thread->flow.serial).context;
}

uint64_t rules_received_from(const struct passage *passage, long result, const void *address,
                             const socklen_t *size) {
    bool known = passage->file != NULL && file_kind(passage->file) == FILE_DATAGRAM && result >= 0 &&
                 address != NULL && !file_has(passage->file, FILE_CONNECTED);
    return known ? received_address(address, *size) : 0;
}

/* --- what goes out --------------------------------------------------------------------------------- */

/* Something is sent there that nobody waits for, or the answer itself after what came from another's frame:
 * that was a publish. */
static void was_published(struct open_file *file, uint64_t address, const struct outstanding *outstanding) {
    uint32_t last = atomic_load_explicit(&file->question, memory_order_relaxed);
    if (__builtin_expect(last == 0, 1) || last != in_question(address) ||
        (outstanding->any && !outstanding->own))
        return;
    file_mark(file, FILE_PUBLISHES, true);
    file_mark(file, FILE_DEFERS, false);
    atomic_store_explicit(&file->question, 0, memory_order_relaxed);
}

/* In a frame that exact evidence gave to another request. Consumes the reference; returns what is to be
 * adopted. */
static struct context *answer_in_anothers(struct thread *thread, struct open_file *file, uint64_t address,
                                          struct context *request) {
    if (file_has(file, FILE_DEFERS))
        return request;
    if (!file_has(file, FILE_PUBLISHES)) {
        atomic_store_explicit(&file->question, in_question(address), memory_order_relaxed);
        return doubt(thread, request);
    }
    context_release(request);
    return NULL;
}

/* The answer to another request than the one that is current. Consumes the reference. */
static void answer_elsewhere(struct thread *thread, const struct passage *passage, uint64_t address,
                             struct context *request) {
    const struct frame *frame = frame_top(thread);
    bool outside = frame == NULL || frame->wait.address == FRAME_OPEN_ENDED;
    bool guess = !outside && !context_descends_surely(thread->flow.current, NULL);
    bool weak = outside || frame->tentative || frame->provenance.evidence <= EVIDENCE_PENDING;
    if (!weak)
        rules_contradicted(thread);
    if (outside && rules_answered_outside(thread, passage->file))
        request = doubt(thread, request);
    else if (!weak && !guess && !frame->mixed)
        request = answer_in_anothers(thread, passage->file, address, request);
    if (request == NULL || frame_explicit(thread)) {
        context_release(request);
        return;
    }
    frame_adopt(thread, request, EVIDENCE_RESPONSE);
    frame_came_from(thread, passage->file, passage->generation);
    frame_passes(thread, passage->here); /* what follows need not be its work */
}

/* What sending there answers; a socket that asks remembers for whom it did. */
static struct outstanding sent_to(struct thread *thread, const struct passage *passage, uint64_t address) {
    struct open_file *file = passage->file;
    struct peer_question question = peer_of(passage, address);
    if (address == 0 && !file_has(file, FILE_CONNECTED))
        return (struct outstanding){0};
    if (!file_has(file, FILE_RECEIVED))
        file_mark(file, FILE_SENT, true);
    struct outstanding outstanding = peers_answer(&question, thread->flow.current, thread->flow.serial);
    if (!outstanding.any && file_has(file, FILE_SENT)) {
        kept_hands_on(thread, file);
        peers_note(&question, false, flow_capture(&thread->flow));
    }
    was_published(file, address, &outstanding);
    return outstanding;
}

static void datagram_sent(struct thread *thread, const struct passage *passage, uint64_t address) {
    struct outstanding outstanding = sent_to(thread, passage, address);
    if (outstanding.context != NULL)
        answer_elsewhere(thread, passage, address, outstanding.context);
}

void rules_datagram_write_close(const struct passage *passage, long result, const void *address,
                                size_t size) {
    struct thread *thread = enter(passage, result);
    if (thread == NULL)
        return;
    datagram_sent(thread, passage, peer_address(address, size));
    thread_leave();
}

/* Answers to several requests in one call: no single one is what is worked for. */
static void mixed_sent(struct thread *thread, const struct arrivals *answered) {
    struct context *current = thread->flow.current;
    if (current == NULL || frame_explicit(thread) || !context_descends_surely(current, NULL))
        return;
    frame_adopt(thread,
                context_ambiguous(current, answered->others, answered->other_count, thread->flow.serial),
                EVIDENCE_RESPONSE);
}

void rules_datagrams_write_close(const struct passage *passage, int result, const struct mmsghdr *messages) {
    struct thread *thread = result > 0 ? enter(passage, result) : NULL;
    if (thread == NULL)
        return;
    struct arrivals answered = {0};
    for (int i = 0; i < result; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;
        struct outstanding outstanding =
            sent_to(thread, passage, peer_address(message->msg_name, message->msg_namelen));
        struct context *whose =
            outstanding.context != NULL ? outstanding.context : context_retain(thread->flow.current);
        arrive(&answered, whose);
    }
    if (answered.other_count > 0)
        mixed_sent(thread, &answered);
    if (answered.other_count == 0 && answered.first != thread->flow.current)
        answer_elsewhere(thread, passage, 0, answered.first);
    else
        context_release(answered.first);
    for (unsigned i = 0; i < answered.other_count; i++)
        context_release(answered.others[i]);
    thread_leave();
}
