/* Names may come from a client: in a line that somebody reads, no byte of one may end the line, drive a
 * terminal, or close the quotes that it stands in. Such bytes are written \xNN. */
#ifndef SHIM_HIDDEN_H
#define SHIM_HIDDEN_H

#include "text.h"

#include <stdbool.h>

/* Is this byte not to be shown as it is? U+0080 to U+009F are control characters too, in UTF-8 two bytes. */
static inline bool hidden_byte(unsigned char before, unsigned char byte, unsigned char after, char quote) {
    if (byte < 0x20 || byte == 0x7f || byte == (unsigned char)quote || byte == '\\')
        return true;
    return (byte == 0xc2 && after >= 0x80 && after < 0xa0) || (before == 0xc2 && byte >= 0x80 && byte < 0xa0);
}

static inline void hidden_put(char to[4], unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    to[0] = '\\';
    to[1] = 'x';
    to[2] = digits[byte >> 4];
    to[3] = digits[byte & 15];
}

/* Adds a text so, to be read between quotes. */
static inline void hidden_put_text(struct text *text, const char *part, char quote) {
    unsigned char before = 0;
    for (; *part != '\0'; before = (unsigned char)*part++) {
        char shown[5] = {*part};
        if (hidden_byte(before, (unsigned char)*part, (unsigned char)part[1], quote))
            hidden_put(shown, (unsigned char)*part);
        text_put(text, shown);
    }
}

#endif
