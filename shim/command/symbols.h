/* Names and lines for addresses that were recorded elsewhere, by elfutils. */
#ifndef CTXSHIM_COMMAND_SYMBOLS_H
#define CTXSHIM_COMMAND_SYMBOLS_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

struct symbols;

struct symbols *symbols_new(void);
void symbols_free(struct symbols *symbols);

/* "function file.c:12", or as much of it as is known; at least "(module+0x1a2b)". `offset` is the file's own
 * address. A file that has changed since (another build id; `id_size` 0: not known) is not asked. To be freed
 * with g_free. */
char *symbols_name(struct symbols *symbols, const char *path, const uint8_t *build_id, size_t id_size,
                   uint64_t offset);

#endif
