/* Files that the shim makes and maps: the timeline's (trace.c), and the record of leaks (leaks_region.c).
 *
 * The program must not notice. Nobody's file is written to, and no link is followed. Space is taken before it
 * is touched: a disk that is full means that something is not recorded, and not that the program dies of
 * SIGBUS. And nothing is made that the limit on a file's size forbids, which would be a signal, too. */
#ifndef SHIM_MAPFILE_H
#define SHIM_MAPFILE_H

#include <stdbool.h>
#include <stddef.h>

/* A new file of that many bytes; its descriptor, to be closed. -EEXIST: there is something of that name; any
 * other negative number: it cannot be. */
long mapfile_make(const char *path, size_t size);
/* One for this process alone: with its number behind the path. A process that executes another program has
 * another file: "path.12", "path.12.2". */
long mapfile_make_own(const char *path, size_t size);
/* Maps it, shared, and takes space for the first bytes of it. NULL: there is none. */
void *mapfile_map(long fd, size_t size, size_t first);
/* Takes space for a part, at the borders of pages. False: there is none, and it must not be touched. */
bool mapfile_take(void *part, size_t size);

/* In a fork child: what is written there from now on, by a call that was interrupted when the process forked,
 * reaches the parent's file no longer. */
void mapfile_leave(void *memory, size_t size);

#endif
