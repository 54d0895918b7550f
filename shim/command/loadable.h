/* What the loader would ignore without a word: the judgement that comes before a program is started. */
#ifndef CTXSHIM_COMMAND_LOADABLE_H
#define CTXSHIM_COMMAND_LOADABLE_H

#include "elf_image.h"

/* NULL when the file can be preloaded, and then `kind` says into which programs. Else a sentence "what is
 * wrong; what to do", to be freed with g_free. */
char *loadable_check_library(const char *path, struct elf_kind *kind);

/* NULL when a library of that kind will be loaded into the program at `path`; also when that cannot be told
 * (a program that may be executed but not read, an interpreter that does not exist): then executing it
 * will say more. Else a sentence as above. A script is judged by its interpreter. */
char *loadable_check_program(const char *path, const struct elf_kind *library);

/* Does the program at `path` ask for gcc's AddressSanitizer? Its runtime gives up when another library was
 * loaded before it, unless it is told not to (H8). clang's is inside the program, and ThreadSanitizer's does
 * not mind. */
bool loadable_checks_order(const char *path);

#endif
