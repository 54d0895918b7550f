/* A record of leaks (../record.h), from a file or out of a process: checked, so that the rest may believe it.
 */
#ifndef CTXSHIM_COMMAND_RECORD_FILE_H
#define CTXSHIM_COMMAND_RECORD_FILE_H

#include "../record.h"

#include <glib.h>
#include <stddef.h>

/* A place, with its module looked up; `module` is NULL when there is none. */
struct place {
    const struct record_module *module;
    uint64_t offset;
};

/* One leak. All belongs to the record. */
struct leak_seen {
    const struct record_leak *entry;
    const char *operations, *thread, *about, *how;
    GArray *stack,
        *other_stack; /* of struct place, innermost first: at least the place itself; empty: not known */
};

struct record {
    struct record_header *header; /* the whole region, a copy */
    size_t size;
    GPtrArray *modules; /* of struct record_module, by number - 1 */
    GArray *leaks;      /* of struct leak_seen, as they were found */
};

/* Each returns NULL with `error` set to one line that names the cause. */
struct record *record_of_file(const char *path, GError **error);
struct record *record_of_process(const char *pid, GError **error);
void record_free(struct record *record);

#endif
