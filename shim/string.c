/* The functions of <string.h> that the shim uses, its own (H8): hidden, so that every call in here, also
 * those that the compiler makes of an assignment, stays in here. A sanitizer's runtime, or another preload,
 * stands in front of libc's: it would be called before it is ready, since our constructor is the first, and
 * would watch our memory.
 *
 * Short texts are what most of them see: those that may see long ones, names and whole buffers, take sixteen
 * or eight bytes at a time. */
#include "../ctxstore/vector.h"

#include <string.h>
#include <wchar.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the system's are not for people. */

/* What may point anywhere, into anything. */
typedef uint64_t __attribute__((may_alias, aligned(1))) word;
typedef uint32_t __attribute__((may_alias, aligned(1))) half;

static inline word word_of(unsigned char byte) {
    return 0x0101010101010101ULL * byte;
}

/* Is one of its bytes zero? */
static inline int has_zero(word bytes) {
    return ((bytes - word_of(1)) & ~bytes & word_of(0x80)) != 0;
}

/* Where the first zero byte of a word is, of which there is one; the machines that we know are little-endian.
 */
static inline size_t zero_at(word bytes) {
    return (size_t)__builtin_ctzll((bytes - word_of(1)) & ~bytes & word_of(0x80)) / 8;
}

/* What is no multiple of a piece's size ends in a piece that overlaps the one before. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    char *out = to;
    const char *in = from;
    if (size >= VECTOR_SIZE) {
        size_t last = size - VECTOR_SIZE;
        for (size_t i = 0; i < last; i += VECTOR_SIZE)
            *(vector *)(out + i) = *(const vector *)(in + i);
        *(vector *)(out + last) = *(const vector *)(in + last);
    } else if (size >= sizeof(word)) {
        size_t last = size - sizeof(word);
        *(word *)out = *(const word *)in;
        *(word *)(out + last) = *(const word *)(in + last);
    } else if (size >= sizeof(half)) {
        size_t last = size - sizeof(half);
        *(half *)out = *(const half *)in;
        *(half *)(out + last) = *(const half *)(in + last);
    } else {
        while (size-- > 0)
            *out++ = *in++;
    }
    return to;
}

void *mempcpy(void *restrict to, const void *restrict from, size_t size) {
    return (char *)memcpy(to, from, size) + size;
}

void *memmove(void *to, const void *from, size_t size) {
    char *out = to;
    const char *in = from;
    if (out <= in || out >= in + size)
        for (size_t i = 0; i < size; i++)
            out[i] = in[i];
    else
        while (size-- > 0)
            out[size] = in[size];
    return to;
}

void *memset(void *memory, int byte, size_t size) {
    char *out = memory;
    word filled = word_of((unsigned char)byte);
    if (size >= VECTOR_SIZE) {
        vector wide = (vector)(uint64_t __attribute__((vector_size(16)))){filled, filled};
        size_t last = size - VECTOR_SIZE;
        for (size_t i = 0; i < last; i += VECTOR_SIZE)
            *(vector *)(out + i) = wide;
        *(vector *)(out + last) = wide;
        return memory;
    }
    for (; size >= sizeof(word); size -= sizeof(word), out += sizeof(word))
        *(word *)out = filled;
    while (size-- > 0)
        *out++ = (char)byte;
    return memory;
}

int memcmp(const void *one, const void *other, size_t size) {
    const unsigned char *a = one, *b = other;
    for (; size >= sizeof(word) && *(const word *)a == *(const word *)b; size -= sizeof(word)) {
        a += sizeof(word);
        b += sizeof(word);
    }
    for (; size > 0; size--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

void *memchr(const void *memory, int byte, size_t size) {
    const unsigned char *at = memory;
    for (; size >= sizeof(word) && !has_zero(*(const word *)at ^ word_of((unsigned char)byte));
         size -= sizeof(word))
        at += sizeof(word);
    for (; size > 0; size--, at++)
        if (*at == (unsigned char)byte)
            return (void *)(uintptr_t)at;
    return NULL;
}

void *memrchr(const void *memory, int byte, size_t size) {
    const unsigned char *start = memory;
    for (; size >= sizeof(word) &&
           !has_zero(*(const word *)(start + size - sizeof(word)) ^ word_of((unsigned char)byte));)
        size -= sizeof(word);
    while (size-- > 0)
        if (start[size] == (unsigned char)byte)
            return (void *)(uintptr_t)(start + size);
    return NULL;
}

size_t strnlen(const char *text, size_t most) {
    size_t length = 0;
    while (length < most && text[length] != '\0')
        length++;
    return length;
}

/* Where the first zero byte among the sixteen at `at` is; 16: there is none. */
static inline size_t zero_in(const char *at) {
    word low = *(const word *)at, high = *(const word *)(at + sizeof(word));
    if (has_zero(low))
        return zero_at(low);
    return sizeof(word) + (has_zero(high) ? zero_at(high) : sizeof(word));
}

/* Aligned vectors never reach into a page that the text is not in; nor does the first one, unless the text
 * begins at the end of a page. */
size_t strlen(const char *text) {
    enum { PAGE = 4096 };
    const char *at = text;
    if ((uintptr_t)text % PAGE <= PAGE - VECTOR_SIZE) {
        size_t length = zero_in(text);
        if (length < VECTOR_SIZE)
            return length;
        at += VECTOR_SIZE - (uintptr_t)text % VECTOR_SIZE;
    } else {
        for (; (uintptr_t)at % VECTOR_SIZE != 0; at++)
            if (*at == '\0')
                return (size_t)(at - text);
    }
    while (!vector_any(*(const vector *)at == 0))
        at += VECTOR_SIZE;
    return (size_t)(at - text) + zero_in(at);
}

char *strcpy(char *restrict to, const char *restrict from) {
    return memcpy(to, from, strlen(from) + 1);
}

int strncmp(const char *one, const char *other, size_t most) {
    for (; most > 0; most--, one++, other++)
        if (*one != *other || *one == '\0')
            return (unsigned char)*one - (unsigned char)*other;
    return 0;
}

int strcmp(const char *one, const char *other) {
    return strncmp(one, other, SIZE_MAX);
}

char *strchr(const char *text, int byte) {
    for (; *text != (char)byte; text++)
        if (*text == '\0')
            return NULL;
    return (char *)(uintptr_t)text;
}

char *strrchr(const char *text, int byte) {
    return memrchr(text, byte, strlen(text) + 1);
}

size_t strspn(const char *text, const char *wanted) {
    size_t length = 0;
    while (text[length] != '\0' && strchr(wanted, text[length]) != NULL)
        length++;
    return length;
}

size_t strcspn(const char *text, const char *stops) {
    size_t length = 0;
    while (text[length] != '\0' && strchr(stops, text[length]) == NULL)
        length++;
    return length;
}

size_t wcslen(const wchar_t *text) {
    size_t length = 0;
    while (text[length] != L'\0')
        length++;
    return length;
}

wchar_t *wmemchr(const wchar_t *text, wchar_t wanted, size_t size) {
    for (; size > 0; size--, text++)
        if (*text == wanted)
            return (wchar_t *)(uintptr_t)text;
    return NULL;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
