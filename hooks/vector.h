/* What may be known of a program's vector of buffers once the call has succeeded: the array is the kernel's
 * to check first. */
#ifndef HOOKS_VECTOR_H
#define HOOKS_VECTOR_H

#include "../shim/rules.h"

#include <limits.h>

#define FROM_BUFFER(start, length) ((struct outgoing){.buffer = (start), .size = (length)})
#define NO_BUFFER ((struct outgoing){0})

/* How much it asks to move. */
static inline size_t vector_size(const struct iovec *buffers, size_t count, long result) {
    size_t size = 0;
    for (size_t i = 0; result > 0 && i < count && i < IOV_MAX; i++)
        size += buffers[i].iov_len;
    return size;
}

/* Where the bytes begin, when the first buffer has eight of them or all. */
static inline const void *vector_first(const struct iovec *buffers, size_t count, long result) {
    size_t moved = result > 0 ? (size_t)result : 0;
    size_t wanted = moved < sizeof(uint64_t) ? moved : sizeof(uint64_t);
    return moved > 0 && count > 0 && buffers[0].iov_len >= wanted ? buffers[0].iov_base : NULL;
}

#endif
