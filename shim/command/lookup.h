/* Finding a program as execvp does. */
#ifndef CTXSHIM_COMMAND_LOOKUP_H
#define CTXSHIM_COMMAND_LOOKUP_H

/* The path that executing `name` would start: `name` itself when it has a '/', else the first executable of
 * that name in PATH. To be freed with g_free. NULL with errno: ENOENT when there is none, EISDIR for a
 * directory, EACCES when all that was found may not be executed, or what else stat says. */
char *lookup_program(const char *name);

#endif
