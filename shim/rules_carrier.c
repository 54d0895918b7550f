/* The life of carriers, and what arms them: accept and listen (F7), connect (F8), eventfd (F3), timerfd (F5).
 *
 * F5  timerfd_settime leaves its context in the cell; a call that fails puts back what was there, and a
 *     timer that is disarmed awaits nothing. One that repeats does not keep a request that has ended.
 * F7  An accepted connection gets its root; the accepting thread keeps what it has.
 * F8  connect leaves its context in the cell: who connects awaits the answer. */
#include "kept.h"
#include "leaks.h"
#include "options.h"
#include "rules_own.h"

#include <errno.h>
#include <sys/eventfd.h>

void rules_listen(int fd) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    file_become(fd, FILE_LISTENER);
    atomic_store_explicit(&process_serves, true, memory_order_relaxed);
    thread_leave();
}

/* In a batch it begins the next callback, which is nobody's. */
static void accept_in_batch(struct thread *thread, struct open_file *listener) {
    const struct frame *top = frame_top(thread);
    if (listener == NULL || top == NULL || !top->mixed || !frame_reported(top, listener))
        return;
    frame_reads(thread, listener);
    if (top->file == NULL && !frame_explicit(thread))
        frame_adopt(thread, context_retain(top->base), EVIDENCE_NONE);
    frame_came_from(thread, listener, cell_generation(&listener->cell));
}

void rules_accept_begin(int listener, struct here here) {
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    const struct frame *top = frame_top(thread);
    if (top != NULL && top->wait.address == FRAME_OPEN_ENDED)
        frame_end(thread);
    accept_in_batch(thread, file_at(listener));
    rules_thread_waits(thread, here);
    thread_leave();
    rules_bury_before(listener);
}

void rules_accept_end(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 && options.roots ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_CONNECTION);
    if (file != NULL) {
        struct context *root = root_connection(thread);
        leaks_ingress(thread, root, "a new connection was accepted");
        uint32_t generation = cell_generation(&file->cell);
        connection_begin(file, generation, root);
        connection_served(thread, file, generation);
    }
    thread_leave();
}

struct passage rules_connect_begin(int fd, struct here here) {
    struct passage passage = {0};
    frame_settle(here);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return passage;
    struct open_file *file = file_become(fd, FILE_OUTBOUND);
    forward_begin();
    if (file != NULL && file_kind(file) == FILE_OUTBOUND) {
        passage = (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
        cell_put(&file->cell, passage.generation, flow_capture(&thread->flow));
        kept_hands_on(thread, file);
    } else if (file != NULL && file_kind(file) == FILE_DATAGRAM) {
        passage = (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    }
    thread_leave();
    return passage;
}

/* Is the connect that gave this error still on its way, or has it been made? */
static bool connect_goes_on(int error) {
    return error == EINPROGRESS || error == EALREADY || error == EINTR || error == EAGAIN || error == EISCONN;
}

static void connect_ended(const struct passage *passage, int fd, int result) {
    if (result != 0 && errno == EBADF)
        file_created(fd);
    else if (passage_alive(passage) && result != 0 && !connect_goes_on(errno))
        cell_put(&passage->file->cell, passage->generation, NULL);
    if (passage_alive(passage))
        file_mark(passage->file, FILE_UNFINISHED, result != 0 && errno == EINPROGRESS);
}

void rules_connect_end(const struct passage *passage, int fd, int result, const struct sockaddr *address) {
    struct thread *thread = passage->file != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (file_kind(passage->file) != FILE_DATAGRAM)
        connect_ended(passage, fd, result);
    else if (result == 0 && passage_alive(passage))
        datagram_connected(passage->file, address);
    thread_leave();
}

void rules_eventfd_created(int fd, unsigned initial, int flags) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_EVENTFD);
    if (file != NULL) {
        file->mailbox = mailbox_new();
        file_mark(file, FILE_SEMAPHORE, (flags & EFD_SEMAPHORE) != 0);
        if (file->mailbox != NULL && initial != 0)
            mailbox_settle(file->mailbox, mailbox_reserve(file->mailbox, NULL, initial), initial);
    }
    thread_leave();
}

void rules_timerfd_created(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    file_open(fd, FILE_TIMERFD);
    thread_leave();
}

struct arming rules_timer_begin(int fd, struct here here) {
    struct arming arming = {0};
    frame_settle(here);
    struct open_file *file = file_at(fd);
    struct thread *thread = file != NULL && file_kind(file) == FILE_TIMERFD ? thread_enter() : NULL;
    if (thread == NULL)
        return arming;
    arming.passage = (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    arming.before = cell_copy(&file->cell, arming.passage.generation);
    cell_put(&file->cell, arming.passage.generation, flow_capture(&thread->flow));
    kept_hands_on(thread, file);
    thread_leave();
    return arming;
}

static bool is_zero(struct timespec time) {
    return time.tv_sec == 0 && time.tv_nsec == 0;
}

static bool repeats(const struct itimerspec *value) {
    return !is_zero(value->it_value) && !is_zero(value->it_interval);
}

/* A disarmed timer awaits nothing. */
void rules_timer_end(const struct arming *arming, int result, const struct itimerspec *value) {
    struct thread *thread = arming->passage.file != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = arming->passage.file;
    if (result != 0)
        cell_put(&file->cell, arming->passage.generation, context_retain(arming->before));
    else if (is_zero(value->it_value))
        cell_put(&file->cell, arming->passage.generation, NULL);
    if (result == 0)
        file_mark(file, FILE_REPEATS, repeats(value));
    if (file_has(file, FILE_REPEATS))
        cell_last(&file->cell, arming->passage.generation);
    context_release(arming->before);
    thread_leave();
}
