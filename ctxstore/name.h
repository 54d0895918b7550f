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

/* A look at a NUL-terminated name before it is copied. */
enum name_fit {
    NAME_FITS,
    NAME_LONG,
    NAME_UNSURE, /* it lies so near the end of a page that what is behind it may not be there */
};
#ifdef NAME_BYTEWISE
struct name_look {
    enum name_fit fit;
    size_t length;
};
static inline struct name_look name_look(const char *name) {
    size_t length = strnlen(name, NAME_INLINE + 1);
    return (struct name_look){length <= NAME_INLINE ? NAME_FITS : NAME_LONG, length};
}
static inline void name_copy(char *to, const char *name, struct name_look checked) {
    name_store(to, name, checked.length);
}
static inline size_t name_length(const char *name) {
    return strlen(name);
}
#else
enum { PAGE_BYTES = 4096 };

struct name_look {
    enum name_fit fit;
    vector first;
};
static inline __attribute__((always_inline)) struct name_look name_look(const char *name) {
    if (__builtin_expect((uintptr_t)name % PAGE_BYTES >= PAGE_BYTES - NAME_INLINE, 0))
        return (struct name_look){.fit = NAME_UNSURE};
    struct name_look checked = {NAME_FITS, *(const vector *)name};
    if (!vector_any(checked.first == 0)) {
        vector last = *(const vector *)(name + NAME_INLINE + 1 - VECTOR_SIZE);
        checked.fit = vector_any(last == 0) ? NAME_FITS : NAME_LONG;
    }
    return checked;
}
/* Of one that fits, also what is behind its end. */
static inline __attribute__((always_inline)) void name_copy(char *to, const char *name,
                                                            struct name_look checked) {
    *(vector *)to = checked.first;
    memcpy(to + VECTOR_SIZE, name + VECTOR_SIZE, NAME_INLINE - VECTOR_SIZE);
}

/* As strlen, for a long one. Aligned vectors never reach into a page that the name is not in. */
static inline __attribute__((always_inline)) size_t name_length(const char *name) {
    const char *at = name + VECTOR_SIZE - (uintptr_t)name % VECTOR_SIZE;
    vector none;
    while (!vector_any(none = *(const vector *)at == 0))
        at += VECTOR_SIZE;
    return (size_t)(at - name) + vector_place(none);
}
#endif

#endif
