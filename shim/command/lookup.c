/* Finding a program as execvp does. An empty element of PATH is the working directory; a file that may not be
 * executed does not end the search, but is remembered. A directory that may not be searched is passed over,
 * as by shells: execvp would report it instead of a program that does not exist. */
#include "lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What execvp takes when there is no PATH. */
static const char default_path[] = "/bin:/usr/bin";

/* 0, or why the file cannot be executed. */
static int check_executable(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static char *search(const char *name, char **directories) {
    int problem = ENOENT;
    for (char **directory = directories; *directory; directory++) {
        char *path = **directory ? g_strconcat(*directory, "/", name, NULL) : g_strconcat("./", name, NULL);
        if (check_executable(path) == 0)
            return path;
        if (access(path, F_OK) == 0)
            problem = EACCES;
        g_free(path);
    }
    errno = problem;
    return NULL;
}

char *lookup_program(const char *name) {
    if (strchr(name, '/')) {
        errno = check_executable(name);
        return errno == 0 ? g_strdup(name) : NULL;
    }
    if (!*name) {
        errno = ENOENT;
        return NULL;
    }
    const char *path = getenv("PATH");
    char **directories = g_strsplit(path ? path : default_path, ":", -1);
    char *found = search(name, directories);
    int saved = errno;
    g_strfreev(directories);
    errno = saved;
    return found;
}
