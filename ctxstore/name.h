/* Names as they lie in a node: up to NAME_INLINE bytes, ended by the first zero; as long as it can be, a name
 * has no end mark. What lies behind the end mark means nothing. */
#ifndef CTXSTORE_NAME_H
#define CTXSTORE_NAME_H

#include "vector.h"

#include <stddef.h>
#include <string.h>

enum { NAME_INLINE = 24 };

/* Copies a name of known length in at most two overlapping pieces instead of a call. */
static inline void name_store(char *to, const char *name, size_t length) {
    if (length < NAME_INLINE)
        to[length] = '\0';
    if (length >= 16) {
        memcpy(to, name, 16);
        memcpy(to + length - 8, name + length - 8, 8);
    } else if (length >= 8) {
        memcpy(to, name, 8);
        memcpy(to + length - 8, name + length - 8, 8);
    } else if (length >= 4) {
        memcpy(to, name, 4);
        memcpy(to + length - 4, name + length - 4, 4);
    } else if (length > 0) {
        to[0] = name[0];
        to[length / 2] = name[length / 2];
        to[length - 1] = name[length - 1];
    }
}

/* Whoever watches our loads (the sanitizers; memcheck, for which the tests define this) is not to see one
 * that goes beyond the end of a string. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define NAME_BYTEWISE
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#        define NAME_BYTEWISE
#    endif
#endif

/* Copies a NUL-terminated name, whose end is found in the same look. False when that is not done: it is too
 * long, or lies so near the end of a page that what is behind it may not be there. */
#ifdef NAME_BYTEWISE
static inline bool name_copy(char *to, const char *name) {
    size_t length = strnlen(name, NAME_INLINE + 1);
    if (length > NAME_INLINE)
        return false;
    name_store(to, name, length);
    return true;
}
#else
static inline __attribute__((always_inline)) bool name_copy(char *to, const char *name) {
    enum { PAGE_BYTES = 4096 };
    if (__builtin_expect((uintptr_t)name % PAGE_BYTES >= PAGE_BYTES - NAME_INLINE, 0))
        return false;
    vector first = *(const vector *)name;
    if (!vector_any(first == 0)) {
        vector last = *(const vector *)(name + NAME_INLINE + 1 - VECTOR_SIZE);
        if (!vector_any(last == 0))
            return false;
        memcpy(to + VECTOR_SIZE, name + VECTOR_SIZE, NAME_INLINE - VECTOR_SIZE);
    }
    *(vector *)to = first;
    return true;
}
#endif

#endif
