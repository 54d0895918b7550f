/* `ctxshim run`: becomes the program, with the library before it in LD_PRELOAD. Same pid, same descriptors,
 * signals and environment but for two variables (three, for an AddressSanitizer's program); the exit status
 * is the program's. */
#include "command.h"

#include "loadable.h"
#include "lookup.h"
#include "options.h"
#include "supervise.h"
#include "trace_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CTXSHIM_MULTIARCH
#    error "the Makefile gives the directory of libraries: -DCTXSHIM_MULTIARCH='\"x86_64-linux-gnu\"'"
#endif

static const char library_name[] = "libctxshim.so";

/* ---- The library. */

/* Beside the command (a build directory), or where an installation has it; to be freed. NULL if nowhere. */
static char *find_library(void) {
    static const char *const places[] = {"", "../lib/ctxshim", "../lib/" CTXSHIM_MULTIARCH "/ctxshim",
                                         "../lib64/ctxshim"};
    char *self = g_file_read_link("/proc/self/exe", NULL);
    char *directory = g_path_get_dirname(self ? self : "");
    char *found = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(places) && self && !found; i++) {
        char *path = g_build_filename(directory, places[i], library_name, NULL);
        if (access(path, F_OK) == 0)
            found = g_canonicalize_filename(path, NULL);
        g_free(path);
    }
    g_free(directory);
    g_free(self);
    return found;
}

/* The path to preload, absolute because the program may change its directory; NULL after a complaint. */
static char *choose_library(const char *asked, struct elf_kind *kind) {
    char *path = asked ? g_canonicalize_filename(asked, NULL) : find_library();
    if (!path) {
        command_complain(library_name,
                         "it is not beside this command nor in ../lib/ctxshim; build or install "
                         "it, or give it with --library=PATH");
        return NULL;
    }
    char *refusal = loadable_check_library(path, kind);
    if (!refusal && strpbrk(path, " :$"))
        refusal =
            g_strdup("LD_PRELOAD cannot hold a path with a space, ':' or '$'; move it, or give a symbolic "
                     "link to it with --library=PATH");
    if (!refusal)
        return path;
    command_complain(path, "%s", refusal);
    return NULL;
}

/* ---- The environment. */

/* An entry without '/' is searched for by the loader, and so cannot be compared here. */
static bool is_listed(const char *preload, const char *library) {
    struct stat wanted;
    struct stat listed;
    bool found = false;
    char **entries = g_strsplit_set(preload, " :", -1);
    for (char **entry = entries; *entry && !found; entry++)
        found = strchr(*entry, '/') && stat(library, &wanted) == 0 && stat(*entry, &listed) == 0 &&
                wanted.st_dev == listed.st_dev && wanted.st_ino == listed.st_ino;
    g_strfreev(entries);
    return found;
}

static bool set_joined(const char *variable, const char *first, const char *second) {
    char *joined =
        *first && *second ? g_strconcat(first, ":", second, NULL) : g_strconcat(first, second, NULL);
    bool set = setenv(variable, joined, 1) == 0;
    g_free(joined);
    return set;
}

/* What is set by hand comes after, and wins. */
static bool set_environment(const char *path, const char *library, const char *additions) {
    const char *preload = getenv("LD_PRELOAD");
    const char *options = getenv("CTXSHIM_OPTIONS");
    bool set = true;
    if (!preload || !is_listed(preload, library))
        set = set_joined("LD_PRELOAD", library, preload ? preload : "");
    if (set && *additions)
        set = set_joined("CTXSHIM_OPTIONS", options ? options : "", additions);
    const char *checks = getenv("ASAN_OPTIONS");
    if (set && loadable_checks_order(path))
        set = set_joined("ASAN_OPTIONS", "verify_asan_link_order=0", checks ? checks : "");
    return set;
}

/* ---- The program. */

static int complain_not_found(const char *program, int problem) {
    if (problem == ENOENT) {
        command_complain(program, strchr(program, '/') ? "no such file; check the path"
                                                       : "not found; install it, or give its path");
        return EXIT_NOT_FOUND;
    }
    if (problem == EISDIR)
        command_complain(program, "is a directory; give the path of a program");
    else if (problem == EACCES)
        command_complain(program, "may not be executed; check its permissions");
    else
        command_complain(program, "cannot be executed (%s); check the path", g_strerror(problem));
    return EXIT_NOT_STARTED;
}

int execute(const char *path, char **argv) {
    execv(path, argv);
    int problem = errno;
    if (problem == ENOENT) {
        command_complain(argv[0], "the interpreter that it names does not exist; install it");
        return EXIT_NOT_FOUND;
    }
    command_complain(argv[0], "cannot be executed (%s); see whether it starts without ctxshim",
                     g_strerror(problem));
    return EXIT_NOT_STARTED;
}

static int run(struct options *options, char **argv) {
    struct elf_kind kind;
    char *library = choose_library(options->library, &kind);
    if (!library)
        return EXIT_REFUSED;
    char *path = lookup_program(argv[0]);
    if (!path)
        return complain_not_found(argv[0], errno);
    char *refusal = loadable_check_program(path, &kind);
    if (refusal) {
        command_complain(argv[0], "%s", refusal);
        return EXIT_REFUSED;
    }
    GError *error = NULL;
    if (options->trace && !trace_file_clear(options->trace, &error)) {
        command_complain("--trace", "%s", error->message);
        return EXIT_REFUSED;
    }
    int unsupervised = options->leaks ? supervise_begin(options) : 0;
    if (unsupervised != 0)
        return unsupervised;
    if (!set_environment(path, library, options->additions->str)) {
        command_complain(argv[0], "the environment cannot be changed (%s); free some memory",
                         g_strerror(errno));
        return EXIT_NOT_STARTED;
    }
    return options->leaks ? supervise(options, path, argv) : execute(path, argv);
}

static int print_help(void) {
    fputs(options_help(), stdout);
    return command_output_done(0);
}

int command_run(int argc, char **argv) {
    struct options options = {.additions = g_string_new(NULL), .exitcode = EXIT_LEAKS};
    GError *error = NULL;
    int end = options_end(argc, argv);
    if (!options_parse(end, argv, &options, &error)) {
        command_complain("run", "%s; \"ctxshim run --help\" lists the options", error->message);
        return EXIT_REFUSED;
    }
    if (options.help)
        return print_help();
    if (end == argc) {
        command_complain("run", "no program given; it is ctxshim run [OPTIONS] [--] PROGRAM [ARG...]");
        return EXIT_REFUSED;
    }
    return run(&options, argv + end);
}
