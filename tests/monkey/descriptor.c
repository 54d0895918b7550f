/* The life of descriptors, and system calls by number. */
#include "ops.h"

#include <linux/close_range.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

/* Numbers that nothing else is given: no other thread's may be replaced. */
static int free_number(void) {
    return 600 + (int)below(60);
}

/* Where dup2 goes: now and then onto what is open. A connection that ends so tells its peer in its own time.
 */
static int number_to_replace(void) {
    struct slot *slot = slot_pick(ANY & ~TCP);
    if (asked.threads > 0 || slot == NULL || slot->kind == TCP || chance(30))
        return free_number();
    return slot->fd;
}

static void kept_copy(int fd, const struct slot *of) {
    if (fd < 0)
        return;
    slots_forget(fd, fd);
    if (of != NULL)
        slot_keep(fd, of->kind, of->origin, of->peer);
}

void copy_descriptor(void) {
    struct slot *slot = slot_pick(ANY);
    int fd = slot_fd(slot), to = number_to_replace();
    if (to == fd || slot_of(to) == slot)
        to = free_number();
    switch (below(6)) {
    case 0:
        kept_copy((int)DO(dup2, fd, to), slot);
        break;
    case 1:
        kept_copy((int)DO(dup3, fd, to, (int)ONE_OF(0, O_CLOEXEC)), slot);
        break;
    case 2:
        kept_copy((int)DO(fcntl, fd, F_DUPFD, 3 + (int)below(60)), slot);
        break;
    case 3:
        kept_copy((int)DO(fcntl64, fd, F_DUPFD_CLOEXEC, 3 + (int)below(60)), slot);
        break;
    case 4:
        DO(dup2, fd, fd);
        break;
    default:
        kept_copy((int)DO(dup, fd), slot);
    }
}

void control_descriptor(void) {
    struct slot *slot = slot_pick(ANY);
    int fd = slot_fd(slot);
    long flags = DO(fcntl, fd, F_GETFL);
    DO(fcntl64, fd, F_GETFD);
    DO(fcntl, fd, F_SETFD, below(2));
    if (slot == NULL || flags < 0 || asked.threads > 0 || !(slot->kind & (PIPE_IN | PIPE_OUT | UNIX)))
        return;
    DO(fcntl, fd, F_SETFL, flags ^ O_NONBLOCK);
    DO(fcntl, fd, F_GETPIPE_SZ);
}

void close_one(void) {
    struct slot *slot = slot_pick(ANY);
    if (slot == NULL) {
        DO(close, slot_fd(NULL));
        return;
    }
    int fd = slot->fd;
    if (chance(20) && asked.threads == 0) {
        DO(syscall, SYS_close, fd);
        slots_forget(fd, fd);
    } else {
        slot_close(slot);
    }
}

void close_many(void) {
    struct slot *slot = slot_pick(ANY);
    int first = slot_fd(slot), last = first + (asked.threads > 0 ? 0 : (int)below(4));
    if (slot == NULL || first < 0 || asked.threads > 0)
        return;
    if (chance(30)) {
        DO(close_range, (unsigned)first, (unsigned)last, CLOSE_RANGE_CLOEXEC);
        return;
    }
    if (here_where == CHILD && !asked.log && chance(30)) {
        DO_NOTHING(closefrom, first);
        slots_forget(first, 1 << 20);
        return;
    }
    DO(close_range, (unsigned)first, (unsigned)last, 0);
    slots_forget(first, last);
}

void by_number(void) {
    char *buffer = pick_buffer();
    int fd = pick_fd(READABLE), out = pick_fd(WRITABLE), ends[2] = {-1, -1};
    uint32_t word = 1;
    unsigned one = origin_new(), other = origin_new();
    long got;
    switch (below(9)) {
    case 0:
        slot_keep((int)DO(syscall, SYS_eventfd2, 0, EFD_NONBLOCK), EVENTFD, one, 0);
        break;
    case 1:
        if (fd_blocks(fd, POLLIN))
            return;
        got = DO(syscall, SYS_read, fd, buffer, 16);
        told_bytes("came", buffer, got > 0 ? (size_t)got : 0);
        break;
    case 2:
        if (!fd_never_blocks(out) || !may_write(out))
            return;
        DO(syscall, SYS_write, out, buffer, 16);
        has_written(out);
        break;
    case 3:
        DO(syscall, SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        break;
    case 4:
        DO(syscall, SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        break;
    case 5:
        DO(syscall, SYS_pipe2, ends, O_NONBLOCK);
        slot_keep(ends[0], PIPE_IN, one, other);
        slot_keep(ends[1], PIPE_OUT, other, one);
        break;
    case 6: {
        struct slot *slot = slot_pick(ANY);
        int copy = (int)DO(syscall, SYS_dup, slot_fd(slot));
        if (slot != NULL)
            slot_keep(copy, slot->kind, slot->origin, slot->peer);
        break;
    }
    case 7:
        DO(syscall, SYS_getppid + 100000);
        break;
    default:
        DO(syscall, SYS_recvfrom, fd, buffer, 0, MSG_DONTWAIT, NULL, NULL);
    }
}
