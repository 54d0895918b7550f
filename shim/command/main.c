/* The `ctxshim` command: finds the verb and leaves the rest to it. */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifndef CTXSHIM_VERSION
#    error "the Makefile gives the version: -DCTXSHIM_VERSION='\"1.2.3\"'"
#endif

static const struct verb {
    const char *name;
    int (*main)(int argc, char **argv);
} verbs[] = {
    {"run", command_run},         {"ps", command_ps},       {"leaks", command_leaks},
    {"holders", command_holders}, {"trace", command_trace}, {"hooks", command_hooks},
};

static const char help[] =
    "Usage:\n"
    "  ctxshim run [OPTIONS] [--] PROGRAM [ARG...]\n"
    "  ctxshim ps [OPTIONS] PID|CORE\n"
    "  ctxshim leaks [OPTIONS] FILE|PID\n"
    "  ctxshim holders [OPTIONS] PID|CORE [OPERATION]\n"
    "  ctxshim trace [OPTIONS] FILE\n"
    "  ctxshim hooks [--names]\n"
    "  ctxshim --help | --version\n"
    "\n"
    "Gives a program that nobody rebuilt a logical call context: which request is this\n"
    "thread, log line or stack doing work for?\n"
    "\n"
    "Commands:\n"
    "  run     start a program under the shim; \"ctxshim run --help\" lists the options\n"
    "  ps      which context each thread of a process works in, seen from outside\n"
    "  leaks   report the context leaks that were recorded, with names and lines\n"
    "  holders which contexts are alive in a process, and who keeps them\n"
    "  trace   turn a recorded timeline into a page, or into what other tools show\n"
    "  hooks   list the functions of libc that the shim stands in front of\n"
    "\n"
    "Examples:\n"
    "  ctxshim run --annotate ./server --debug\n"
    "      each line that the server logs begins with its request: [conn#3 req#2]\n"
    "  ctxshim run --annotate='*.log' ./server\n"
    "      the same for the log files that it appends to\n"
    "  ctxshim ps 4711\n"
    "      what each thread of process 4711 works for, without stopping it\n"
    "  ctxshim hooks | grep epoll\n"
    "      what is seen of event loops\n";

void command_complain(const char *subject, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    char *line = g_strdup_printf("ctxshim: %s: %s", subject, message);
    for (char *at = line; *at; at++)
        if (g_ascii_iscntrl(*at))
            *at = '?';
    fprintf(stderr, "%s\n", line);
    g_free(line);
    g_free(message);
}

int command_output_done(int status) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    command_complain("output", "it cannot be written (%s); free some space or write elsewhere",
                     g_strerror(errno ? errno : EIO));
    return EXIT_OUTPUT;
}

/* Whatever prints a usage says the whole of what was typed. */
static void name_verb(const char *verb) {
    char *name = g_strconcat("ctxshim ", verb, NULL);
    g_set_prgname(name);
    g_free(name);
}

static int run_verb(int argc, char **argv) {
    name_verb(argv[0]);
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(argv[0], verbs[i].name) == 0)
            return verbs[i].main(argc, argv);
    command_complain(argv[0], "no such %s; \"ctxshim --help\" lists them",
                     argv[0][0] == '-' ? "option" : "command");
    return EXIT_REFUSED;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(help, stderr);
        return EXIT_REFUSED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, stdout);
        return command_output_done(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("ctxshim " CTXSHIM_VERSION);
        return command_output_done(0);
    }
    return run_verb(argc - 1, argv + 1);
}
