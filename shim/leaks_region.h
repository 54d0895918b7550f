/* The region that leaks are kept in: how it is made, and how entries come into it. */
#ifndef SHIM_LEAKS_REGION_H
#define SHIM_LEAKS_REGION_H

#include "record.h"

#include <stdbool.h>
#include <stddef.h>

/* A new, empty one in `leaks_region`. False without memory. */
bool leaks_region_begin(void);
/* Nanoseconds of CLOCK_REALTIME. */
uint64_t leaks_clock(void);

/* Under the caller's lock: room for an entry, not yet to be read; its size may be made smaller before the
 * end. NULL: none is left, which is counted. */
void *leaks_entry_begin(size_t size, enum record_type type);
void leaks_entry_end(const struct record_entry *entry);

#endif
