/* What the files of the `ctxshim` command share: its verbs, its exit statuses and how it complains.
 *
 * The command is one thread and runs briefly: nothing here is thread- or signal-safe, and what GLib
 * allocates may stay until exit. */
#ifndef CTXSHIM_COMMAND_H
#define CTXSHIM_COMMAND_H

#include <glib.h>

/* As a shell has them for programs it cannot start. */
enum exit_status {
    EXIT_OUTPUT = 1,        /* what was asked for could not be written */
    EXIT_REFUSED = 2,       /* a wrong option, or a program that the shim would not reach */
    EXIT_LEAKS = 23,        /* context leaks were found */
    EXIT_NOT_STARTED = 126, /* found, but it cannot be executed */
    EXIT_NOT_FOUND = 127,
};

/* The verbs. argv[0] is the verb itself; each returns the exit status. */
int command_run(int argc, char **argv);
int command_hooks(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_leaks(int argc, char **argv);
int command_holders(int argc, char **argv);
int command_trace(int argc, char **argv);

/* Prints the report of a record (a file or a pid). Returns 0, EXIT_LEAKS, or EXIT_REFUSED with `error` set.
 * `quiet`: nothing is printed when there is nothing to report. */
struct suppressions;
int leaks_report(const char *subject, struct suppressions *suppressions, gboolean quiet, GError **error);

/* One line on stderr: "ctxshim: SUBJECT: MESSAGE". A control character in either is written as '?', so that
 * it stays one line. */
void command_complain(const char *subject, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Flushes stdout. Returns `status`, or EXIT_OUTPUT with a complaint when anything was lost. */
int command_output_done(int status);

#endif
