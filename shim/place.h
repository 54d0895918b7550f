/* A place in the code as people can look it up: module+offset, for addr2line -e module offset. */
#ifndef SHIM_PLACE_H
#define SHIM_PLACE_H

#include <stddef.h>

/* Writes "/path/module+0x1234" for the call that returns to `site`; its bare address where no module has it,
 * and "an unknown place" for NULL. Cut to fit, always terminated. Asks the kernel (/proc/self/maps), not the
 * loader, whose lock somebody may hold (H13); so it is for reports. */
void place_text(char *buffer, size_t size, const void *site);

#endif
