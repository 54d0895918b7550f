/* Text being put together inside a hook: small on the caller's stack, longer in memory of its own, never
 * from malloc. Stacks of coroutines are small, so what lies on them is.
 *
 * A function that returns false had no memory (or could not do its work): the draft is as before, or holds
 * nothing of use, and is to be ended all the same. None of them changes errno, but for draft_format and
 * draft_format_wide, as the function that they stand for does. */
#ifndef SHIM_DRAFT_H
#define SHIM_DRAFT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>
#include <wchar.h>

enum { DRAFT_SMALL = 1024 };

struct draft {
    char *text; /* `small`, or a mapping of `room` bytes */
    size_t size, room;
    _Alignas(wchar_t) char small[DRAFT_SMALL];
};

void draft_begin(struct draft *draft);
void draft_end(struct draft *draft);

/* Makes room for so many bytes more. */
bool draft_reserve(struct draft *draft, size_t more);
bool draft_add(struct draft *draft, const void *bytes, size_t size);
/* Adds text as wide characters. A stream's charset may not have what is not ASCII: such a byte is written
 * \xNN. */
bool draft_widen(struct draft *draft, const char *text, size_t size);
/* The same inside a JSON string, of right UTF-8: as \uNNNN. */
bool draft_widen_json(struct draft *draft, const char *text, size_t size);
/* What the program's buffers hold, which may be bad addresses, as may the array itself unless it is trusted
 * (H22). False when not everything can be read. */
bool draft_peek(struct draft *draft, const struct iovec *buffers, int count, bool trusted);

/* How a printf function was called: by its plain name, or by the fortified one with this flag (H18). */
enum { FORMAT_PLAIN = -1 };

/* Appends what vsnprintf, or its fortified name, makes of it. Leaves `arguments` as they were. */
bool draft_format(struct draft *draft, int flag, const char *format, va_list arguments);
/* The same in wide characters, in a draft that holds nothing else. */
bool draft_format_wide(struct draft *draft, int flag, const wchar_t *format, va_list arguments);

static inline const wchar_t *draft_wide(const struct draft *draft) {
    return (const wchar_t *)(const void *)draft->text;
}

#endif
