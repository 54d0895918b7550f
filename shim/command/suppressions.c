/* Suppressions: see suppressions.h. */
#include "suppressions.h"

#include "escape.h"
#include "target.h"

#include <stdio.h>
#include <string.h>

struct suppression {
    char *pattern; /* as it was written */
    guint64 used;  /* leaks */
};

struct suppressions {
    GArray *all; /* of struct suppression */
};

static void suppression_clear(gpointer data) {
    struct suppression *suppression = data;
    g_free(suppression->pattern);
}

/* False when the line means nothing. */
static gboolean line_take(struct suppressions *suppressions, char *line) {
    char *comment = strchr(line, '#');
    if (comment != NULL)
        *comment = '\0';
    g_strstrip(line);
    if (*line == '\0')
        return TRUE;
    const char *pattern = g_str_has_prefix(line, "leak:") ? line + strlen("leak:") : "";
    if (*pattern == '\0')
        return FALSE;
    struct suppression suppression = {g_strdup(pattern), 0};
    g_array_append_val(suppressions->all, suppression);
    return TRUE;
}

struct suppressions *suppressions_read(const char *path, GError **error) {
    char *text = NULL;
    if (path != NULL && !g_file_get_contents(path, &text, NULL, error))
        return NULL;
    struct suppressions *suppressions = g_new0(struct suppressions, 1);
    suppressions->all = g_array_new(FALSE, FALSE, sizeof(struct suppression));
    g_array_set_clear_func(suppressions->all, suppression_clear);
    char **lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    int good = 0;
    while (lines[good] != NULL && line_take(suppressions, lines[good]))
        good++;
    if (lines[good] != NULL) {
        g_set_error(error, target_error(), 0, "line %d of %s is no suppression; write leak:PATTERN", good + 1,
                    path);
        suppressions_free(suppressions);
        suppressions = NULL;
    }
    g_strfreev(lines);
    g_free(text);
    return suppressions;
}

void suppressions_free(struct suppressions *suppressions) {
    g_array_unref(suppressions->all);
    g_free(suppressions);
}

/* * is anything; ^ at the beginning and $ at the end hold on to them; all else is itself. Backtracks to the
 * last star alone, which can take what an earlier one could: names and patterns may be anybody's. */
static gboolean text_matches(const char *pattern, const char *text) {
    gboolean from_start = *pattern == '^', to_end;
    const char *at = from_start ? pattern + 1 : pattern, *end = at + strlen(at);
    const char *star = from_start ? NULL : at, *resume = text;
    to_end = end > at && end[-1] == '$';
    end -= to_end;
    while (at < end || (to_end && *text != '\0')) {
        if (at < end && *at == '*') {
            star = ++at;
            resume = text;
        } else if (at < end && *text != '\0' && *at == *text) {
            at++;
            text++;
        } else if (star != NULL && *resume != '\0') {
            at = star;
            text = ++resume;
        } else {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean matches(const struct suppression *suppression, const char *operations,
                        const GPtrArray *stack) {
    if (text_matches(suppression->pattern, operations))
        return TRUE;
    for (guint i = 0; i < stack->len; i++)
        if (text_matches(suppression->pattern, g_ptr_array_index(stack, i)))
            return TRUE;
    return FALSE;
}

gboolean suppressions_match(struct suppressions *suppressions, const char *operations, const GPtrArray *stack,
                            guint64 count) {
    for (guint i = 0; i < suppressions->all->len; i++) {
        struct suppression *suppression = &g_array_index(suppressions->all, struct suppression, i);
        if (!matches(suppression, operations, stack))
            continue;
        suppression->used += count;
        return TRUE;
    }
    return FALSE;
}

void suppressions_print(const struct suppressions *suppressions) {
    gboolean any = FALSE;
    for (guint i = 0; i < suppressions->all->len; i++) {
        const struct suppression *suppression = &g_array_index(suppressions->all, struct suppression, i);
        if (suppression->used == 0)
            continue;
        if (!any)
            puts("Suppressions used:\n  count template");
        char *pattern = escape_text(suppression->pattern);
        printf("%7" G_GUINT64_FORMAT " %s\n", suppression->used, pattern);
        g_free(pattern);
        any = TRUE;
    }
    if (any)
        putchar('\n');
}
