/* A program under supervision: see supervise.h, and follow.h for what happens while it runs. */
#include "supervise.h"

#include "command.h"
#include "follow.h"
#include "suppressions.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The private directory; NULL: there is none. */
static char *directory;
static struct suppressions *suppressions;

/* What is not to be reported is read once, and before the program runs: afterwards it would be too late to
 * say that it cannot be. */
int supervise_begin(struct options *options) {
    GError *error = NULL;
    suppressions = suppressions_read(options->suppressions, &error);
    if (suppressions == NULL) {
        command_complain("--suppressions", "%s", error->message);
        g_error_free(error);
        return EXIT_REFUSED;
    }
    if (options->record_path != NULL)
        return 0;
    directory = g_dir_make_tmp("ctxshim-XXXXXX", &error);
    if (directory == NULL) {
        command_complain("run", "no directory for what is found (%s); give --record-path", error->message);
        g_error_free(error);
        return EXIT_NOT_STARTED;
    }
    options->record_path = g_build_filename(directory, "record", NULL);
    g_string_append_printf(options->additions, "%srecord_path=\"%s\"", options->additions->len > 0 ? ":" : "",
                           options->record_path);
    return 0;
}

/* --- afterwards ---------------------------------------------------------------------------------------- */

/* A new file, or the one that the program has begun itself when a signal asked for a report: a regular one of
 * ours, of this name alone, last written to since. -1 with errno. */
static int log_open(const char *path, time_t since) {
    struct stat facts;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST)
        return fd;
    fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_uid == geteuid() &&
                   facts.st_nlink == 1 && facts.st_mtime >= since))
        return fd;
    close(fd);
    errno = EEXIST;
    return -1;
}

/* The report goes where the program's messages did. */
static void choose_output(const struct options *options, pid_t child, time_t since) {
    fflush(stdout);
    if (options->log_path != NULL) {
        char *path = g_strdup_printf("%s.%d", options->log_path, child);
        int fd = log_open(path, since);
        if (fd >= 0)
            dup2(fd, STDOUT_FILENO);
        else
            command_complain(path, "the report goes to stderr (%s)", g_strerror(errno));
        g_free(path);
        if (fd >= 0)
            return;
    }
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* A record's name ends in a pid; ".2" behind it is another program's that the process executed. */
static int pid_of_record(const char *path, const char *prefix) {
    return g_str_has_prefix(path, prefix) ? atoi(path + strlen(prefix)) : 0;
}

/* The child's own first, then those of the processes that it has forked. */
static gint in_order(gconstpointer one, gconstpointer other, gpointer own) {
    const char *a = *(char *const *)one, *b = *(char *const *)other;
    bool first = g_str_has_prefix(a, own), second = g_str_has_prefix(b, own);
    return first != second ? (first ? -1 : 1) : strcmp(a, b);
}

/* Paths of records of this run. In a directory of the user's, those of other processes may be of other runs.
 */
static GPtrArray *records_list(const struct options *options, pid_t child) {
    GPtrArray *records = g_ptr_array_new_with_free_func(g_free);
    char *parent = g_path_get_dirname(options->record_path);
    char *prefix = g_strconcat(options->record_path, ".", NULL);
    char *own = g_strdup_printf("%s%d", prefix, child);
    GDir *entries = g_dir_open(parent, 0, NULL);
    const char *entry;
    while (entries != NULL && (entry = g_dir_read_name(entries)) != NULL) {
        char *path = strchr(options->record_path, '/') != NULL ? g_build_filename(parent, entry, NULL)
                                                               : g_strdup(entry);
        int pid = pid_of_record(path, prefix);
        if (pid > 0 && (directory != NULL || pid == child))
            g_ptr_array_add(records, path);
        else
            g_free(path);
    }
    if (entries != NULL)
        g_dir_close(entries);
    g_ptr_array_sort_with_data(records, in_order, own);
    g_free(own);
    g_free(prefix);
    g_free(parent);
    return records;
}

static bool report(const struct options *options, pid_t child, time_t since) {
    GPtrArray *records = records_list(options, child);
    bool leaks = false;
    choose_output(options, child, since);
    if (records->len == 0)
        command_complain("run", "the program has left no record: it ended before the shim was ready, or may "
                                "not write there");
    for (guint i = 0; i < records->len; i++) {
        GError *error = NULL;
        const char *path = g_ptr_array_index(records, i);
        leaks |= leaks_report(path, suppressions, TRUE, &error) == EXIT_LEAKS;
        if (error != NULL)
            command_complain(path, "%s", error->message);
        g_clear_error(&error);
        if (directory != NULL)
            g_unlink(path);
    }
    fflush(stdout);
    if (directory != NULL)
        g_rmdir(directory);
    g_ptr_array_unref(records);
    return leaks;
}

/* As it did; its core file is the only one. */
static void die_of(int signal) {
    const struct rlimit none = {0};
    sigset_t one;
    setrlimit(RLIMIT_CORE, &none);
    sigemptyset(&one);
    sigaddset(&one, signal);
    struct sigaction fate = {.sa_handler = SIG_DFL};
    sigaction(signal, &fate, NULL);
    kill(getpid(), signal);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

int supervise(const struct options *options, const char *path, char **argv) {
    fflush(NULL);
    time_t since = time(NULL);
    pid_t child = follow_begin() ? fork() : -1;
    if (child < 0) {
        command_complain(argv[0], "it cannot be started (%s); free some memory or descriptors",
                         g_strerror(errno));
        return EXIT_NOT_STARTED;
    }
    if (child == 0) {
        follow_undo();
        _exit(execute(path, argv));
    }
    int status = follow(child);
    bool leaks = report(options, child, since);
    if (WIFSIGNALED(status))
        die_of(WTERMSIG(status));
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status) == 0 && leaks ? options->exitcode : WEXITSTATUS(status);
}
