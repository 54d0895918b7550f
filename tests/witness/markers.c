/* Markers in buffers: see markers.h. */
#define _GNU_SOURCE 1
#include "markers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "CTXM-"

static bool all_hex(const char *text, size_t length) {
    return strspn(text, "0123456789abcdefABCDEF") >= length;
}

/* marker: at least MARKER_LENGTH bytes that begin with PREFIX */
static bool well_formed(const char *marker) {
    char text[MARKER_LENGTH + 1];
    memcpy(text, marker, MARKER_LENGTH);
    text[MARKER_LENGTH] = '\0';
    return all_hex(text + 5, 8) && text[13] == '-' && all_hex(text + 14, 8) && strcmp(text + 22, "-E") == 0;
}

static void note(struct scan *scan, const char *marker) {
    for (unsigned i = 0; i < scan->distinct; i++) {
        if (memcmp(scan->marker[i], marker, MARKER_LENGTH) == 0)
            return;
    }
    if (scan->distinct < DISTINCT_MAX)
        memcpy(scan->marker[scan->distinct++], marker, MARKER_LENGTH);
}

void scan_bytes(struct scan *scan, const char *bytes, size_t length) {
    const char *const end = bytes + length;
    const char *at = bytes;
    while ((at = memmem(at, (size_t)(end - at), PREFIX, sizeof PREFIX - 1)) != NULL) {
        if ((size_t)(end - at) < MARKER_LENGTH)
            return;
        if (well_formed(at))
            note(scan, at);
        at += sizeof PREFIX - 1;
    }
}

/* One piece of a scattered buffer. The seam is the end of what came before and the beginning of this piece:
 * each part is shorter than a marker, so a marker found there spans them. */
void scan_piece(struct scan *scan, const char *bytes, size_t length) {
    char seam[2 * sizeof scan->tail];
    const size_t head = length < sizeof scan->tail ? length : sizeof scan->tail;
    const size_t total = scan->kept + head;
    memcpy(seam, scan->tail, scan->kept);
    memcpy(seam + scan->kept, bytes, head);
    if (scan->kept > 0)
        scan_bytes(scan, seam, total);
    scan_bytes(scan, bytes, length);

    if (length >= sizeof scan->tail) {
        scan->kept = sizeof scan->tail;
        memcpy(scan->tail, bytes + length - scan->kept, scan->kept);
        return;
    }
    scan->kept = total < sizeof scan->tail ? total : sizeof scan->tail;
    memcpy(scan->tail, seam + total - scan->kept, scan->kept);
}

void scan_pieces(struct scan *scan, const struct iovec *piece, size_t count, size_t moved) {
    for (size_t i = 0; i < count && moved > 0; i++) {
        const size_t length = piece[i].iov_len < moved ? piece[i].iov_len : moved;
        if (length > 0)
            scan_piece(scan, piece[i].iov_base, length);
        moved -= length;
    }
}

/* The text a format gives. Formatting it twice is the price of a stream that stays the program's own. */
void scan_format(struct scan *scan, const char *format, va_list arguments) {
    char text[2048];
    const int error = errno; /* for %m, here and in the real call */
    va_list copy;
    va_copy(copy, arguments);
    const int length = vsnprintf(text, sizeof text, format, copy);
    va_end(copy);
    if (length > 0 && (size_t)length < sizeof text)
        scan_bytes(scan, text, (size_t)length);
    if (length > 0 && (size_t)length >= sizeof text) {
        char *const whole = malloc((size_t)length + 1);
        errno = error;
        va_copy(copy, arguments);
        if (whole != NULL && vsnprintf(whole, (size_t)length + 1, format, copy) == length)
            scan_bytes(scan, whole, (size_t)length);
        va_end(copy);
        free(whole);
    }
    errno = error;
}
