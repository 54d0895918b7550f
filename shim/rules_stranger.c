/* Connections that this process has not made: they came in a message (F15), or were open when it began, as
 * its input and outputs.
 *
 * F7, F8  Such a *stranger* serves if its first bytes come in: it gets its root then, and what is read are
 * requests. It asks if they go out. Of one that another process here may have too (it was sent on, or this
 * one has forked since), nobody knows who gets which bytes: it stays unknown.
 *
 * What is a connection is told by its names, since a supervisor's channel is a socket of streams as well. One
 * of the network's is, with a peer. A local one is, when it has a name itself: that is its listener's, so it
 * was accepted. The end of a pair has none, and nor does who has connected somewhere. */
#include "../ctxstore/kernel.h"
#include "connection.h"
#include "leaks.h"
#include "options.h"
#include "rules_own.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The family of a socket's name, or of its peer's (by the call), where it has one. */
static int family_named(long call, int fd) {
    struct sockaddr_storage name = {0};
    int size = sizeof name;
    if (kernel_call(call, fd, (long)&name, (long)&size, 0, 0, 0) != 0)
        return AF_UNSPEC;
    return name.ss_family != AF_UNIX || (size_t)size > sizeof name.ss_family ? name.ss_family : AF_UNSPEC;
}

static bool is_connection(int fd) {
    struct sockaddr_storage peer;
    int type = 0, size = sizeof type, room = sizeof peer;
    if (kernel_call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&size, 0) != 0 ||
        type != SOCK_STREAM || kernel_call(SYS_getpeername, fd, (long)&peer, (long)&room, 0, 0, 0) != 0)
        return false;
    int family = family_named(SYS_getsockname, fd);
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

bool stranger_comes(int fd) {
    if (!options.roots || !is_connection(fd))
        return false;
    file_become(fd, FILE_STRANGER);
    return true;
}

/* Whoever hands out connections is a thread's next work, as accept is: what it answered before is over. */
void stranger_begins(struct thread *thread) {
    const struct frame *top = frame_top(thread);
    if (top == NULL || top->wait.address != FRAME_OPEN_ENDED || top->file == NULL)
        return;
    bool alive = cell_generation(&top->file->cell) == top->generation;
    if (!alive || (file_kind(top->file) == FILE_CONNECTION && !file_has(top->file, FILE_OUTSTANDING)))
        frame_end(thread);
}

bool stranger_serves(struct thread *thread, const struct passage *passage) {
    struct open_file *file = passage->file;
    if (file_is_shared(file))
        return false;
    stranger_begins(thread);
    if (!file_turns_out(file, FILE_CONNECTION))
        return file_kind(file) == FILE_CONNECTION;
    struct context *root = root_connection(thread);
    leaks_ingress(thread, root, "a connection from elsewhere was read");
    connection_begin(file, passage->generation, root);
    connection_served(thread, file, passage->generation);
    atomic_store_explicit(&process_serves, true, memory_order_relaxed);
    return true;
}

bool stranger_asks(struct open_file *file) {
    return file_kind(file) == FILE_STRANGER && !file_is_shared(file) && file_turns_out(file, FILE_OUTBOUND);
}

static bool is_same(int one, int other) {
    struct stat first = {0}, second = {0};
    return kernel_call(SYS_fstat, one, (long)&first, 0, 0, 0, 0) == 0 &&
           kernel_call(SYS_fstat, other, (long)&second, 0, 0, 0, 0) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* Usually they are one socket. */
static void stranger_was_there(int fd) {
    for (int before = STDIN_FILENO; before < fd; before++)
        if (file_at(before) != NULL && file_kind(file_at(before)) == FILE_STRANGER && is_same(before, fd)) {
            file_duplicated(before, fd);
            return;
        }
    stranger_comes(fd);
}

void rules_process_begins(void) {
    struct thread *thread = options.roots ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        stranger_was_there(fd);
    thread_leave();
}
