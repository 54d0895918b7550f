/* Sockets that this process has not made: they came in a message (F15), or were there when it began.
 *
 * F7, F8  A listening socket is one, and so is one of datagrams. A connection is a *stranger*: it serves if
 * its first bytes come in, and gets its root then; it asks if they go out. One that comes, or is first read,
 * in the middle of a request may be what that has asked for, or a new client's: that is in doubt.
 *
 * What is a connection is told by its names, since a supervisor's channel is a socket of streams as well. One
 * of the network's is, with a peer. A local one is, when it has a name itself: that is its listener's, so it
 * was accepted. The end of a pair has none, and nor does who has connected somewhere; so too with datagrams.
 *
 * Whoever sent a connection may read it as well, and so may a fork child, or its parent. Whoever reads first
 * in his process serves it there, in roots of his own. */
#include "../ctxstore/kernel.h"
#include "leaks.h"
#include "options.h"
#include "rules_own.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what it is ----------------------------------------------------------------------------------- */

static int socket_option(int fd, int option) {
    int value = 0, size = sizeof value;
    long result = kernel_call(SYS_getsockopt, fd, SOL_SOCKET, option, (long)&value, (long)&size, 0);
    return result == 0 ? value : -1;
}

/* How long its name is; 0: it has none that others could know. */
static size_t name_of(int fd, struct sockaddr_storage *name) {
    int size = sizeof *name;
    if (kernel_call(SYS_getsockname, fd, (long)name, (long)&size, 0, 0, 0) != 0)
        return 0;
    bool known = name->ss_family == AF_INET || name->ss_family == AF_INET6 ||
                 (name->ss_family == AF_UNIX && (size_t)size > sizeof name->ss_family);
    return known ? (size_t)size : 0;
}

static bool has_peer(int fd) {
    struct sockaddr_storage peer;
    int size = sizeof peer;
    return kernel_call(SYS_getpeername, fd, (long)&peer, (long)&size, 0, 0, 0) == 0;
}

static void listener_known(int fd) {
    file_open(fd, FILE_LISTENER);
    atomic_store_explicit(&process_serves, true, memory_order_relaxed);
}

/* What this descriptor is that nobody here knows: true, if a connection. */
static bool socket_known(int fd) {
    struct sockaddr_storage name;
    size_t size = 0;
    switch (socket_option(fd, SO_TYPE)) {
    case SOCK_STREAM:
    case SOCK_SEQPACKET:
        if (socket_option(fd, SO_ACCEPTCONN) != 1)
            return options.roots && name_of(fd, &name) > 0 && has_peer(fd);
        listener_known(fd);
        return false;
    case SOCK_DGRAM:
        if ((size = name_of(fd, &name)) > 0)
            datagram_known(fd, &name, size, has_peer(fd));
        return false;
    default:
        return false;
    }
}

/* --- whose it is ---------------------------------------------------------------------------------- */

/* Whoever hands out connections is a thread's next work, as accept is: what it answered before is over. */
static void answered_before(struct thread *thread) {
    const struct frame *top = frame_top(thread);
    if (top == NULL || top->wait.address != FRAME_OPEN_ENDED || top->file == NULL)
        return;
    bool alive = cell_generation(&top->file->cell) == top->generation;
    if (!alive || (file_kind(top->file) == FILE_CONNECTION && !file_has(top->file, FILE_OUTSTANDING)))
        frame_end(thread);
}

/* Is the thread at work that something has brought for sure? A request that came over `channel` is none: it
 * brings the connection. */
static bool is_amid_work(struct thread *thread, const struct open_file *channel) {
    const struct frame *top = frame_top(thread);
    const struct context *current = thread->flow.current;
    if (top == NULL || current == NULL || current == top->base || current->kind == CONTEXT_AMBIGUOUS)
        return false;
    if (top->file == NULL)
        return true;
    bool connection = file_kind(top->file) == FILE_CONNECTION;
    return cell_generation(&top->file->cell) == top->generation &&
           (!connection || (top->file != channel && file_has(top->file, FILE_OUTSTANDING)));
}

static void asked_for(struct thread *thread, struct open_file *file, uint32_t generation) {
    cell_put(&file->cell, generation, not_proven(thread, flow_capture(&thread->flow)));
}

void stranger_received(struct thread *thread, const struct open_file *channel, int fd) {
    if (!socket_known(fd))
        return;
    answered_before(thread);
    bool amid = is_amid_work(thread, channel);
    struct open_file *file = file_open(fd, amid ? FILE_OUTBOUND : FILE_STRANGER);
    if (file != NULL && amid)
        asked_for(thread, file, cell_generation(&file->cell));
}

static void serves(struct thread *thread, const struct passage *passage) {
    struct context *root = root_connection(thread);
    leaks_ingress(thread, root, "a connection from elsewhere was read");
    connection_begin(passage->file, passage->generation, root);
    connection_served(thread, passage->file, passage->generation);
    atomic_store_explicit(&process_serves, true, memory_order_relaxed);
}

void stranger_read(struct thread *thread, const struct passage *passage) {
    struct open_file *file = passage->file;
    answered_before(thread);
    const struct frame *top = frame_top(thread);
    bool reported = top != NULL && frame_reported(top, file);
    if (!reported && is_amid_work(thread, NULL)) {
        if (file_turns_out(file, FILE_OUTBOUND))
            asked_for(thread, file, passage->generation);
    } else if (file_turns_out(file, FILE_CONNECTION)) {
        serves(thread, passage);
    }
}

/* --- start-up ------------------------------------------------------------------------------------- */

/* Its input and outputs, and what follows them without a gap, as a supervisor hands things down. */
enum { LOOKED_AT = 64 };

struct found {
    dev_t device;
    ino_t number;
};

/* A socket is one open file, by however many numbers: usually input and output are. */
static void was_there(int fd, const struct found found[LOOKED_AT]) {
    for (int before = 0; before < fd; before++)
        if (file_at(before) != NULL && found[before].number == found[fd].number &&
            found[before].device == found[fd].device) {
            file_duplicated(before, fd);
            return;
        }
    if (socket_known(fd))
        file_open(fd, FILE_STRANGER);
}

void rules_process_begins(void) {
    struct found found[LOOKED_AT] = {0};
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    for (int fd = 0; fd < LOOKED_AT; fd++) {
        struct stat status = {0};
        bool open = kernel_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0) == 0;
        if (!open && fd > STDERR_FILENO)
            break;
        if (!open || !S_ISSOCK(status.st_mode))
            continue;
        found[fd] = (struct found){status.st_dev, status.st_ino};
        was_there(fd, found);
    }
    thread_leave();
}
