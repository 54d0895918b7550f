/* Text being put together: see draft.h. */
#include "draft.h"

#include "../ctxstore/kernel.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 4096, WIDE_GROWTH = 4 };

int __vsnprintf_chk(char *text, size_t room, int flag, size_t size, const char *format, va_list arguments);
int __vswprintf_chk(wchar_t *text, size_t room, int flag, size_t size, const wchar_t *format,
                    va_list arguments);

void draft_begin(struct draft *draft) {
    draft->text = draft->small;
    draft->size = 0;
    draft->room = sizeof draft->small;
}

void draft_end(struct draft *draft) {
    if (draft->text != draft->small)
        kernel_unmap(draft->text, draft->room);
    draft_begin(draft);
}

bool draft_reserve(struct draft *draft, size_t more) {
    if (more <= draft->room - draft->size)
        return true;
    if (more > PTRDIFF_MAX - draft->size - PAGE)
        return false;
    size_t room = (draft->size + more + PAGE - 1) & ~(size_t)(PAGE - 1);
    char *text = kernel_map(room);
    if (text == NULL)
        return false;
    size_t size = draft->size;
    memcpy(text, draft->text, size);
    draft_end(draft);
    draft->text = text;
    draft->size = size;
    draft->room = room;
    return true;
}

bool draft_add(struct draft *draft, const void *bytes, size_t size) {
    if (!draft_reserve(draft, size))
        return false;
    memcpy(draft->text + draft->size, bytes, size);
    draft->size += size;
    return true;
}

bool draft_peek(struct draft *draft, const struct iovec *buffers, int count, bool trusted) {
    for (int i = 0; i < count; i++) {
        struct iovec buffer;
        if (trusted)
            buffer = buffers[i];
        else if (!kernel_peek(&buffer, &buffers[i], sizeof buffer))
            return false;
        if (!draft_reserve(draft, buffer.iov_len) ||
            !kernel_peek(draft->text + draft->size, buffer.iov_base, buffer.iov_len))
            return false;
        draft->size += buffer.iov_len;
    }
    return true;
}

/* Each attempt sees the program's errno, for %m. */
bool draft_format(struct draft *draft, int flag, const char *format, va_list arguments) {
    int error = errno, length = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        va_list again;
        va_copy(again, arguments);
        size_t room = draft->room - draft->size;
        errno = error;
        length = flag == FORMAT_PLAIN
                     ? vsnprintf(draft->text + draft->size, room, format, again)
                     : __vsnprintf_chk(draft->text + draft->size, room, flag, room, format, again);
        va_end(again);
        if (length < 0 || (size_t)length < room)
            break;
        if (!draft_reserve(draft, (size_t)length + 1))
            return false;
    }
    if (length < 0 || (size_t)length >= draft->room - draft->size)
        return false;
    draft->size += (size_t)length;
    return true;
}

/* vswprintf does not say how much it wants, nor why it failed. */
bool draft_format_wide(struct draft *draft, int flag, const wchar_t *format, va_list arguments) {
    int error = errno;
    while (true) {
        va_list again;
        va_copy(again, arguments);
        wchar_t *text = (wchar_t *)(void *)draft->text;
        size_t room = draft->room / sizeof(wchar_t);
        errno = error;
        int length = flag == FORMAT_PLAIN ? vswprintf(text, room, format, again)
                                          : __vswprintf_chk(text, room, flag, room, format, again);
        va_end(again);
        if (length >= 0) {
            draft->size = (size_t)length * sizeof(wchar_t);
            return true;
        }
        if ((errno == EILSEQ && error != EILSEQ) || room > INT_MAX / WIDE_GROWTH ||
            !draft_reserve(draft, draft->room * WIDE_GROWTH))
            return false;
    }
}

bool draft_widen(struct draft *draft, const char *text, size_t size) {
    static const wchar_t digits[] = L"0123456789abcdef";
    bool good = true;
    for (const char *end = text + size; good && text < end; text++) {
        unsigned char byte = (unsigned char)*text;
        wchar_t wide[4] = {byte < 0x80 ? byte : L'\\', L'x', digits[byte >> 4], digits[byte & 15]};
        good = draft_add(draft, wide, byte < 0x80 ? sizeof *wide : sizeof wide);
    }
    return good;
}

/* A unit of UTF-16, as JSON has it. */
static bool widen_unit(struct draft *draft, uint32_t unit) {
    static const wchar_t digits[] = L"0123456789abcdef";
    wchar_t wide[] = {L'\\',
                      L'u',
                      digits[unit >> 12 & 15],
                      digits[unit >> 8 & 15],
                      digits[unit >> 4 & 15],
                      digits[unit & 15]};
    return draft_add(draft, wide, sizeof wide);
}

bool draft_widen_json(struct draft *draft, const char *text, size_t size) {
    bool good = true;
    for (const char *end = text + size; good && text < end;) {
        uint32_t code = (unsigned char)*text++;
        if (code < 0x80) {
            good = draft_widen(draft, text - 1, 1);
            continue;
        }
        int more = code >= 0xf0 ? 3 : code >= 0xe0 ? 2 : 1;
        for (code &= 0x3fU >> more; more > 0; more--)
            code = code << 6 | (*text++ & 0x3f);
        if (code >= 0x10000)
            good = widen_unit(draft, 0xd7c0 + (code >> 10));
        good = good && widen_unit(draft, code >= 0x10000 ? 0xdc00 | (code & 0x3ff) : code);
    }
    return good;
}
