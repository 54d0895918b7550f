/* The W3C's text formats, as they come from a stranger: traceparent and baggage, and the percent-encoding
 * that the latter and we use. Nothing here allocates, locks, or reads behind a text's end; tests call it
 * alone.
 *
 * Sources: W3C Trace Context (level 2), W3C Baggage, RFC 7230 (tokens), RFC 3986 (percent-encoding). */
#ifndef SHIM_W3C_H
#define SHIM_W3C_H

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_ID = 32, SPAN_ID = 16, TRACEPARENT = 55, BAGGAGE_MEMBERS = 180, BAGGAGE_ROOM = 8193 };

struct traceparent {
    char trace_id[TRACE_ID]; /* lowercase hex, not all zero */
    char span_id[SPAN_ID];   /* the same */
    unsigned flags;          /* bit 0: sampled; bit 1: the trace id is random */
};

/* False for what is no traceparent; of a version that is not known yet only what version 00 has is read. */
bool traceparent_parse(const char *text, struct traceparent *parent);
/* Writes version 00 and a NUL. */
void traceparent_format(const struct traceparent *parent, char text[TRACEPARENT + 1]);

/* Copies those members of a baggage that are what they ought to be, as many as the room (with a NUL) and
 * BAGGAGE_MEMBERS allow, each whole or not at all, without blanks around. Returns the length. */
size_t baggage_copy(const char *text, char *to, size_t room);

/* How many bytes of a percent-encoded text this byte becomes: 1 or 3. */
size_t percent_length(unsigned char byte);
/* Writes them; returns behind. */
char *percent_put(char *to, unsigned char byte);
/* Decodes `length` bytes; returns the length, or SIZE_MAX for a wrong or a NUL byte, or for want of room. */
size_t percent_decode(const char *text, size_t length, char *to, size_t room);

#endif
