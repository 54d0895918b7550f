/* Bytes that move from one descriptor to another without passing through the program: F4, F7, F8, E4. What
 * moves between files only (copy_file_range) carries nothing. Nobody looks at such bytes: no log. */
#include "../shim/annotate.h"
#include "hook.h"

HOOK(ssize_t, sendfile, (int to, int from, off_t *offset, size_t size)) {
    struct movement movement = rules_move_begin(from, to, true, false, HERE);
    annotate_ends(to);
    ssize_t result = REAL(sendfile)(to, from, offset, size);
    rules_move_end(&movement, result, size);
    return result;
}

HOOK(ssize_t, sendfile64, (int to, int from, off64_t *offset, size_t size)) {
    struct movement movement = rules_move_begin(from, to, true, false, HERE);
    annotate_ends(to);
    ssize_t result = REAL(sendfile64)(to, from, offset, size);
    rules_move_end(&movement, result, size);
    return result;
}

HOOK(ssize_t, splice,
     (int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags)) {
    struct movement movement = rules_move_begin(from, to, (flags & SPLICE_F_NONBLOCK) == 0, false, HERE);
    ssize_t result = REAL(splice)(from, from_offset, to, to_offset, size, flags);
    rules_move_end(&movement, result, size);
    return result;
}

HOOK(ssize_t, tee, (int from, int to, size_t size, unsigned flags)) {
    struct movement movement = rules_move_begin(from, to, (flags & SPLICE_F_NONBLOCK) == 0, true, HERE);
    ssize_t result = REAL(tee)(from, to, size, flags);
    rules_move_end(&movement, result, size);
    return result;
}

HOOK(ssize_t, vmsplice, (int fd, const struct iovec *buffers, size_t count, unsigned flags)) {
    struct movement movement = rules_gift_begin(fd, HERE);
    ssize_t result = REAL(vmsplice)(fd, buffers, count, flags);
    rules_move_end(&movement, result, 1);
    return result;
}
