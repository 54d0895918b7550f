/* The program that the command's tests start: prints what it was given, one fact a line: its pid, arguments,
 * environment, signals, descriptors, and whether the stand-in library is loaded. Ends with status 7. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_signals(void) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
            fputs(line, stdout);
    if (status)
        fclose(status);
}

static void show_descriptors(void) {
    for (int fd = 0; fd < 256; fd++) {
        char path[64];
        char target[256] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0)
            printf("fd %d\n", fd);
    }
}

int main(int argc, char **argv, char **environment) {
    printf("pid %d\n", (int)getpid());
    for (int i = 0; i < argc; i++)
        printf("arg <%s>\n", argv[i]);
    for (char **variable = environment; *variable; variable++)
        printf("env %s\n", *variable);
    show_signals();
    show_descriptors();
    printf("loaded %s\n", dlsym(RTLD_DEFAULT, "stand_in_library") ? "yes" : "no");
    return 7;
}
