/* File name patterns: see glob.h. */
#include "glob.h"

#include <string.h>

/* One element of a pattern and the byte at `text`. Returns what follows the element, or NULL when it does
 * not match. */
static const char *element_matches(const char *pattern, const char *end, char byte) {
    if (*pattern == '?')
        return byte != '/' ? pattern + 1 : NULL;
    if (*pattern == '\\' && pattern + 1 < end)
        return pattern[1] == byte ? pattern + 2 : NULL;
    const char *close =
        *pattern == '[' && end - pattern > 2 ? memchr(pattern + 2, ']', (size_t)(end - pattern) - 2) : NULL;
    if (close == NULL)
        return *pattern == byte ? pattern + 1 : NULL;
    const char *at = pattern + 1;
    bool inverted = *at == '!' || *at == '^', found = false;
    if (inverted && ++at == close && (close = memchr(at + 1, ']', (size_t)(end - at) - 1)) == NULL)
        return NULL;
    while (at < close) {
        bool range = at + 2 < close && at[1] == '-';
        found |= byte >= at[0] && byte <= at[range ? 2 : 0];
        at += range ? 3 : 1;
    }
    return byte != '/' && found != inverted ? close + 1 : NULL;
}

/* Backtracks to the last star alone: what an earlier one could still take, the last one can. But for '/',
 * which ends what any star can take. */
static bool matches(const char *pattern, const char *end, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text != '\0' || pattern < end) {
        const char *next = NULL;
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            resume = text;
            continue;
        }
        if (pattern < end && *text != '\0')
            next = element_matches(pattern, end, *text);
        if (next != NULL) {
            pattern = next;
            text++;
        } else if (star != NULL && *resume != '\0' && *resume != '/') {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    return true;
}

bool glob_matches(const char *pattern, size_t size, const char *path) {
    const char *base = strrchr(path, '/');
    if (base != NULL && memchr(pattern, '/', size) == NULL)
        path = base + 1;
    return size > 0 && matches(pattern, pattern + size, path);
}
