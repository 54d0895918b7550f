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
