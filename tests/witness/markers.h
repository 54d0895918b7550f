/* Markers that the load client puts into requests, CTXM-<8 hex>-<8 hex>-E, and where they are in what a call
 * moves.
 */
#ifndef TESTS_WITNESS_MARKERS_H
#define TESTS_WITNESS_MARKERS_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/uio.h>

#define MARKER_LENGTH (sizeof "CTXM-01234567-01234567-E" - 1)
#define DISTINCT_MAX 8

/* What one call's buffer holds. The same marker several times is one sighting; different ones are mixed. */
struct scan {
    unsigned distinct;
    char marker[DISTINCT_MAX][MARKER_LENGTH];
    size_t kept; /* bytes in tail: the end of what was scanned so far, in case a marker goes on in the next
                    piece */
    char tail[MARKER_LENGTH - 1];
};

void scan_bytes(struct scan *scan, const char *bytes, size_t length);
/* The next piece of what is scattered. */
void scan_piece(struct scan *scan, const char *bytes, size_t length);
/* The first `moved` bytes of a scattered buffer. */
void scan_pieces(struct scan *scan, const struct iovec *piece, size_t count, size_t moved);
/* The text that a format gives; errno stays. */
void scan_format(struct scan *scan, const char *format, va_list arguments);

#endif
