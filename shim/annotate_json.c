/* Lines that are JSON objects get their context in a first member: {"ctxshim":"conn#3 req#2","level":...
 * (option annotate_format). Only where the next thing in the line is a member's name: so it is an object, and
 * not an empty one. */
#include "annotate.h"

#include <string.h>

static bool is_object(const char *line, const char *end) {
    for (line++; line < end && (*line == ' ' || *line == '\t'); line++)
        ;
    return line < end && *line == '"';
}

enum json_lines annotate_json_lines(const char *text, size_t size, bool midline) {
    bool objects = false, others = false, opened = false;
    for (const char *line = text, *end = text + size; line < end; midline = false) {
        if (!midline) {
            opened |= *line == '{';
            objects |= *line == '{' && is_object(line, end);
            others |= *line != '{' || !is_object(line, end);
        }
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        line = newline != NULL ? newline + 1 : end;
    }
    if (opened && others)
        return JSON_MIXED;
    return objects ? JSON_OBJECTS : JSON_NONE;
}

/* How many bytes of UTF-8 begin here that JSON takes as they are; 0: it is to be escaped. */
static size_t plain_at(const unsigned char *at) {
    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f && at[0] != '"' && at[0] != '\\';
    size_t more = at[0] >= 0xf0 && at[0] < 0xf5   ? 3
                  : at[0] >= 0xe0 && at[0] < 0xf0 ? 2
                  : at[0] >= 0xc2                 ? 1
                                                  : 0;
    if (more == 0 || at[0] >= 0xf5 || (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90) ||
        (at[0] == 0xc2 && at[1] < 0xa0))
        return 0;
    for (size_t i = 1; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

size_t annotate_json_member(char member[JSON_MEMBER], bool doubtful) {
    static const char open[] = "\"ctxshim\":\"", close[] = "\",", digits[] = "0123456789abcdef";
    enum { ESCAPED = 6, NAME = (JSON_MEMBER - sizeof open - sizeof close) / ESCAPED };
    char name[NAME] = "", *to = member;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return 0;
    context_format(thread->flow.current, name, sizeof name);
    thread_leave();
    if (name[0] == '\0')
        return 0;
    to = mempcpy(to, open, sizeof open - 1);
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0';) {
        size_t plain = plain_at(at);
        if (plain > 0) {
            to = mempcpy(to, at, plain);
            at += plain;
        } else {
            to = mempcpy(to, (char[]){'\\', 'u', '0', '0', digits[*at >> 4], digits[*at & 15]}, ESCAPED);
            at++;
        }
    }
    if (doubtful && to[-1] != '?')
        *to++ = '?';
    to = mempcpy(to, close, sizeof close - 1);
    return (size_t)(to - member);
}
