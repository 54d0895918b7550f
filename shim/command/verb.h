/* The command line of a verb: options of its own, --help, and subjects (a process, a file). */
#ifndef CTXSHIM_COMMAND_VERB_H
#define CTXSHIM_COMMAND_VERB_H

#include <glib.h>

struct verb {
    const char *name;
    const char *subjects; /* as --help shows them: "PID|CORE" */
    const char *summary, *description;
    const GOptionEntry *entries; /* its options, without --help; NULL: none */
    gpointer data;               /* for their callbacks */
    int most;                    /* subjects; there has to be one */
    const char *wants;           /* what is said when there are others: "it takes one process id" */
};

/* True: the options are taken, and argv[1] is the first subject. False: there is nothing left to do, and
 * `status` is the exit status. */
gboolean verb_parse(const struct verb *verb, int *argc, char **argv, int *status);

#endif
