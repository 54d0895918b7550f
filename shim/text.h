/* Text put together piece by piece in room of the caller's: cut when it is full, never allocated. */
#ifndef SHIM_TEXT_H
#define SHIM_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *at, *end;
};

/* An empty text in `room` of `size` bytes, one of which stays for its end. */
static inline struct text text_in(char *room, size_t size) {
    return (struct text){room, room + size - 1};
}

static inline void text_put(struct text *text, const char *part) {
    while (*part != '\0' && text->at < text->end)
        *text->at++ = *part++;
}

static inline void text_put_number(struct text *text, uint64_t number) {
    char digits[24], *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    text_put(text, digit);
}

static inline void text_end(const struct text *text) {
    *text->at = '\0';
}

#endif
