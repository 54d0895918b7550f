/* A core file: what a process had in memory when it died. */
#ifndef CTXSHIM_COMMAND_CORE_IMAGE_H
#define CTXSHIM_COMMAND_CORE_IMAGE_H

#include "target.h"

struct core_image;

/* NULL with `error` set. */
struct core_image *core_image_open(const char *path, GError **error);
void core_image_free(struct core_image *core);

/* Adds the mapped files (struct mapping) and the threads (struct task), as its notes have them. */
void core_image_mappings(const struct core_image *core, GArray *mappings);
void core_image_tasks(const struct core_image *core, GArray *tasks);

/* Pages that a process had not changed are not in its core file: they are read from the files they came from,
 * if those are still there. */
bool core_image_read(const struct core_image *core, const GArray *mappings, uint64_t address, void *to,
                     size_t size);

#endif
