/* What the tests of the command share: a directory of a test's own, where the stand-in library is
 * "libctxshim.so" beside a copy of the command; and the real command, run there, with what it said. */
#ifndef TESTS_COMMAND_ROOM_H
#define TESTS_COMMAND_ROOM_H

#include <glib.h>
#include <sys/types.h>

#define PROGRAMS BUILD "/tests/command/"
#define NOBODY 65534 /* the user that another user is */

extern char *room;    /* the test's own directory */
extern char *command; /* room/bin/ctxshim */
extern char *show;    /* absolute */

/* Of the last command. */
extern struct result {
    char *out;
    char *err;
    int status; /* as a shell has it */
} result;

void open_room(void);
void close_room(void);

/* Paths in it; the files are made. */
char *in_room(const char *name);
char *write_room(const char *name, const void *data, size_t size, mode_t mode);
char *script(const char *name, const char *text);
char *copy(const char *source, const char *name, mode_t mode);
/* One that was built for these tests. */
char *program(const char *name);

/* Runs them; the environment may be NULL: as it is. */
void start(char **arguments, char **environment, GSpawnChildSetupFunc in_child);
/* `ctxshim ARG...`, ended by NULL. */
void ctxshim(const char *first, ...);
void ctxshim_as_nobody(const char *first, ...);
/* With one variable set before. */
void ctxshim_with(const char *variable, const char *value, const char *first, ...);

/* The rest of the line that begins so, or "". */
char *line_of(const char *output, const char *beginning);
void expect_status(int status);
void expect_started(void);
/* One line on stderr, "ctxshim: SUBJECT: ... WORDS ... ; WHAT TO DO"; nothing was started. */
void expect_refusal(int status, const char *subject, const char *words);
void skip_unless_root(void);

#endif
