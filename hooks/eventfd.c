/* eventfd: F3. */
#include "hook.h"

HOOK(int, eventfd, (unsigned initial, int flags)) {
    int fd = REAL(eventfd)(initial, flags);
    rules_eventfd_created(fd, initial, flags);
    return fd;
}

HOOK(int, eventfd_read, (int fd, eventfd_t *value)) {
    struct passage passage = rules_read_begin(fd, HERE);
    int result = REAL(eventfd_read)(fd, value);
    rules_read_end(&passage, result == 0 ? (long)sizeof *value : result, ONE_BUFFER(value, sizeof *value));
    return result;
}

HOOK(int, eventfd_write, (int fd, eventfd_t value)) {
    struct passage passage = rules_write_begin(fd, (struct outgoing){0}, HERE);
    int result = REAL(eventfd_write)(fd, value);
    rules_write_end(&passage, result == 0 ? (long)sizeof value : result, sizeof value, &value);
    return result;
}
