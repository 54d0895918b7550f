/* Suppressions: see suppressions.h. */
#include "suppressions.h"

#include "escape.h"
#include "target.h"

#include <stdio.h>
#include <string.h>

struct suppression {
    char *pattern; /* as it was written */
    GRegex *regex;
    guint64 used; /* leaks */
};

struct suppressions {
    GArray *all; /* of struct suppression */
};

static void suppression_clear(gpointer data) {
    struct suppression *suppression = data;
    g_free(suppression->pattern);
    g_regex_unref(suppression->regex);
}

/* * is anything; ^ at the beginning and $ at the end hold on to them; all else is itself. */
static GRegex *compile(const char *pattern) {
    GString *expression = g_string_new(NULL);
    size_t length = strlen(pattern);
    for (size_t i = 0; i < length; i++) {
        if (pattern[i] == '*') {
            g_string_append(expression, ".*");
        } else if ((pattern[i] == '^' && i == 0) || (pattern[i] == '$' && i == length - 1)) {
            g_string_append_c(expression, pattern[i]);
        } else {
            char *literal = g_regex_escape_string(pattern + i, 1);
            g_string_append(expression, literal);
            g_free(literal);
        }
    }
    GRegex *regex = g_regex_new(expression->str, G_REGEX_RAW | G_REGEX_DOTALL, 0, NULL);
    g_string_free(expression, TRUE);
    return regex;
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
    GRegex *regex = *pattern != '\0' ? compile(pattern) : NULL;
    if (regex == NULL)
        return FALSE;
    struct suppression suppression = {g_strdup(pattern), regex, 0};
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

static gboolean matches(const struct suppression *suppression, const char *operations,
                        const GPtrArray *stack) {
    if (g_regex_match(suppression->regex, operations, 0, NULL))
        return TRUE;
    for (guint i = 0; i < stack->len; i++)
        if (g_regex_match(suppression->regex, g_ptr_array_index(stack, i), 0, NULL))
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
