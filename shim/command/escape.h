/* Nothing that a client put into a name may reach a terminal as it is. */
#ifndef CTXSHIM_COMMAND_ESCAPE_H
#define CTXSHIM_COMMAND_ESCAPE_H

/* The text with what is not printable as \uXXXX; to be freed with g_free. */
char *escape_text(const char *text);

#endif
