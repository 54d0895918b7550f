/* Sixteen bytes at once, of any alignment, into and out of anything: with what gcc and clang know of vectors,
 * on every machine. */
#ifndef CTXSTORE_VECTOR_H
#define CTXSTORE_VECTOR_H

#include <stdbool.h>
#include <stdint.h>

enum { VECTOR_SIZE = 16 }; /* said so: a checker takes sizeof for 1 */
typedef signed char __attribute__((vector_size(16), may_alias, aligned(1))) vector;

/* Is any byte of a comparison's result true? */
static inline __attribute__((always_inline)) bool vector_any(vector found) {
#if defined(__SSE2__)
    return __builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))found) != 0;
#else
    typedef uint64_t __attribute__((vector_size(16))) words;
    return (((words)found)[0] | ((words)found)[1]) != 0;
#endif
}

/* Which byte of a comparison's result is the first that is true? There is one. */
static inline __attribute__((always_inline)) unsigned vector_place(vector found) {
#if defined(__SSE2__)
    return (unsigned)__builtin_ctz(
        (unsigned)__builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))found));
#else
    unsigned first = 0;
    while (found[first] == 0)
        first++;
    return first;
#endif
}

#endif
