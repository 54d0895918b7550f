/* The W3C's text formats: see w3c.h. */
#include "w3c.h"

#include <stdint.h>
#include <string.h>

/* --- traceparent ----------------------------------------------------------------------------------- */

/* The value of a lowercase hex digit, or -1. */
static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `length` lowercase hex digits; and, where it asks for an id, not all zero. */
static bool is_hex(const char *text, size_t length, bool id) {
    bool zero = true;
    for (size_t i = 0; i < length; i++) {
        if (hex_value(text[i]) < 0)
            return false;
        zero = zero && text[i] == '0';
    }
    return !id || !zero;
}

/* version "-" trace id "-" span id "-" flags, and for versions to come "-" and more. */
bool traceparent_parse(const char *text, struct traceparent *parent) {
    enum { TRACE = 3, SPAN = TRACE + TRACE_ID + 1, FLAGS = SPAN + SPAN_ID + 1 };
    if (strnlen(text, TRACEPARENT) < TRACEPARENT)
        return false;
    char after = text[TRACEPARENT];
    bool known = text[0] == '0' && text[1] == '0';
    if (after != '\0' && (known || after != '-'))
        return false;
    if (!is_hex(text, 2, false) || (text[0] == 'f' && text[1] == 'f') || text[TRACE - 1] != '-' ||
        text[SPAN - 1] != '-' || text[FLAGS - 1] != '-')
        return false;
    if (!is_hex(text + TRACE, TRACE_ID, true) || !is_hex(text + SPAN, SPAN_ID, true) ||
        !is_hex(text + FLAGS, 2, false))
        return false;
    memcpy(parent->trace_id, text + TRACE, TRACE_ID);
    memcpy(parent->span_id, text + SPAN, SPAN_ID);
    parent->flags = (unsigned)hex_value(text[FLAGS + 1]) & 3U; /* the lower of the two digits */
    return true;
}

void traceparent_format(const struct traceparent *parent, char text[TRACEPARENT + 1]) {
    char *to = text;
    memcpy(to, "00-", 3);
    memcpy(to += 3, parent->trace_id, TRACE_ID);
    *(to += TRACE_ID) = '-';
    memcpy(to += 1, parent->span_id, SPAN_ID);
    memcpy(to += SPAN_ID, "-00", 4);
    to[2] = (char)('0' + (parent->flags & 3U));
}

/* --- percent-encoding -------------------------------------------------------------------------------- */

/* A byte of a baggage's value, as it is: 21, 23-2B, 2D-3A, 3C-5B, 5D-7E. */
static bool is_value_byte(unsigned char byte) {
    return byte > ' ' && byte < 0x7F && byte != '"' && byte != ',' && byte != ';' && byte != '\\';
}

static bool stays(unsigned char byte) {
    return is_value_byte(byte) && byte != '%';
}

size_t percent_length(unsigned char byte) {
    return stays(byte) ? 1 : 3;
}

char *percent_put(char *to, unsigned char byte) {
    static const char digits[] = "0123456789ABCDEF";
    if (stays(byte)) {
        *to = (char)byte;
        return to + 1;
    }
    to[0] = '%';
    to[1] = digits[byte >> 4];
    to[2] = digits[byte & 15];
    return to + 3;
}

static int any_hex_value(char c) {
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : hex_value(c);
}

size_t percent_decode(const char *text, size_t length, char *to, size_t room) {
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = length - i > 2 ? any_hex_value(text[i + 1]) : -1;
            int low = length - i > 2 ? any_hex_value(text[i + 2]) : -1;
            byte = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (byte == 0 || used == room)
            return SIZE_MAX;
        to[used++] = (char)byte;
    }
    return used;
}

/* --- baggage ----------------------------------------------------------------------------------------- */

/* A character of a token (RFC 7230). */
static bool is_token(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* What is left to read of one member. */
struct scan {
    const char *at, *end;
};

static void skip_blanks(struct scan *scan) {
    while (scan->at < scan->end && is_blank(*scan->at))
        scan->at++;
}

static bool scan_token(struct scan *scan) {
    const char *start = scan->at;
    while (scan->at < scan->end && is_token(*scan->at))
        scan->at++;
    return scan->at > start;
}

static void scan_value(struct scan *scan) {
    while (scan->at < scan->end && is_value_byte((unsigned char)*scan->at))
        scan->at++;
}

static bool scan_sign(struct scan *scan, char sign) {
    skip_blanks(scan);
    if (scan->at == scan->end || *scan->at != sign)
        return false;
    scan->at++;
    skip_blanks(scan);
    return true;
}

/* key "=" value *( ";" key [ "=" value ] ), with blanks around each. */
static bool is_member(struct scan scan) {
    if (!scan_token(&scan) || !scan_sign(&scan, '='))
        return false;
    scan_value(&scan);
    while (scan_sign(&scan, ';')) {
        if (!scan_token(&scan))
            return false;
        if (scan_sign(&scan, '='))
            scan_value(&scan);
    }
    return scan.at == scan.end;
}

size_t baggage_copy(const char *text, char *to, size_t room) {
    size_t used = 0, members = 0;
    while (room > 0 && *text != '\0' && members < BAGGAGE_MEMBERS) {
        struct scan member = {text, text + strcspn(text, ",")};
        text = member.end + (*member.end == ',');
        skip_blanks(&member);
        while (member.end > member.at && is_blank(member.end[-1]))
            member.end--;
        size_t length = (size_t)(member.end - member.at), comma = members > 0;
        if (!is_member(member) || length + comma >= room - used)
            continue;
        if (comma)
            to[used++] = ',';
        memcpy(to + used, member.at, length);
        used += length;
        members++;
    }
    if (room > 0)
        to[used] = '\0';
    return used;
}
