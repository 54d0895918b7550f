/* Suppression files, in LeakSanitizer's manner: "leak:PATTERN", one a line; # begins a comment, but not
 * within a word: operations have it in their names. */
#ifndef CTXSHIM_COMMAND_SUPPRESSIONS_H
#define CTXSHIM_COMMAND_SUPPRESSIONS_H

#include <glib.h>

struct suppressions;

/* NULL with `error` when the file cannot be read or has a line that means nothing. No path: none. */
struct suppressions *suppressions_read(const char *path, GError **error);
void suppressions_free(struct suppressions *suppressions);

/* Is a leak of this path of operations, opened from these places, suppressed? Counts it, if so. */
gboolean suppressions_match(struct suppressions *suppressions, const char *operations, const GPtrArray *stack,
                            guint64 count);
/* Lists those that were used, on stdout, and begins to count anew. */
void suppressions_print(struct suppressions *suppressions);

#endif
