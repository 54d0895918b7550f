/* The options of `ctxshim run`: the rows of ../options.def in the manner of a command line, and the few that
 * are the command's own. */
#ifndef CTXSHIM_COMMAND_OPTIONS_H
#define CTXSHIM_COMMAND_OPTIONS_H

#include <glib.h>
#include <stdbool.h>

struct options {
    const char *library; /* --library, or NULL */
    char *trace;         /* the file of --trace, absolute; or NULL */
    bool help;
    bool leaks;              /* --leaks: stay, and report */
    const char *record_path; /* --record-path, --log-path, --suppressions; or NULL */
    const char *log_path;
    const char *suppressions;
    int exitcode;       /* in place of 0 when leaks were found */
    GString *additions; /* what goes to the end of CTXSHIM_OPTIONS: "key=value:key=value" */
};

/* The index in argv of PROGRAM, which is where options end (argc when there is none). `argv` is left such
 * that options_parse understands it. */
int options_end(int argc, char **argv);

/* Reads the options argv[1] to argv[end - 1]. False with `error` set when one is wrong. */
bool options_parse(int end, char **argv, struct options *options, GError **error);

/* The text of --help, to be freed with g_free. */
char *options_help(void);

#endif
