/* File name patterns, as a shell has them. libc's fnmatch may allocate and depends on the locale; this
 * runs inside hooks. */
#ifndef SHIM_GLOB_H
#define SHIM_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern, `size` bytes of it, match the path? '*' and '?' stand for anything but '/'; [a-z] and
 * [!a-z] for one byte; '\' takes the next byte as it is. A pattern without '/' is held against the last
 * part of the path, one with '/' against the path as it was given. Async-signal-safe. */
bool glob_matches(const char *pattern, size_t size, const char *path);

#endif
