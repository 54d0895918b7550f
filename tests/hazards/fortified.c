/* H18: fortified calls do what the plain ones do, and die as they do when a buffer is too small. Sizes come
 * from the command line, so that the compiler knows the buffers alone. */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

static int two[2];
static size_t size;
static char *volatile format = "%s %d\n";

static long f_read(void) {
    char buffer[8];
    return read(two[1], buffer, size);
}
static long f_recv(void) {
    char buffer[8];
    return recv(two[1], buffer, size, 0);
}
static long f_recvfrom(void) {
    char buffer[8];
    return recvfrom(two[1], buffer, size, 0, NULL, NULL);
}
static long f_poll(void) {
    struct pollfd polled[8] = {{two[1], POLLIN, 0}};
    for (int i = 1; i < 8; i++)
        polled[i].fd = -1;
    return poll(polled, size, 0);
}
static long f_ppoll(void) {
    struct pollfd polled[8] = {{two[1], POLLIN, 0}};
    for (int i = 1; i < 8; i++)
        polled[i].fd = -1;
    return ppoll(polled, size, &(struct timespec){0, 0}, NULL);
}
static long f_open(void) {
    volatile int flags = size > 8 ? O_RDWR | O_CREAT : O_RDONLY; /* __open_2 dies of O_CREAT without a mode */
    return open("/dev/null", flags) >= 0;
}
static long f_openat(void) {
    volatile int flags = size > 8 ? O_RDWR | O_CREAT : O_RDONLY;
    return openat(AT_FDCWD, "/dev/null", flags) >= 0;
}
static long f_printf(void) {
    return printf(format, "text", (int)size);
}
static long f_fprintf(void) {
    return fprintf(stderr, format, "text", (int)size);
}
static long f_dprintf(void) {
    return dprintf(1, format, "text", (int)size);
}
static long f_wprintf(void) {
    return fwprintf(fopen("/dev/null", "w"), L"%ls %d\n", L"text", (int)size);
}
static long f_percent_n(void) {
    char writable[16] = "x%n\n";
    int count = 0;
    if (size > 8)
        return printf(writable, &count); /* *** %n in writable segment detected *** */
    return count;
}

static const struct {
    const char *name;
    long (*call)(void);
} calls[] = {{"read", f_read},       {"recv", f_recv},       {"recvfrom", f_recvfrom}, {"poll", f_poll},
             {"ppoll", f_ppoll},     {"open", f_open},       {"openat", f_openat},     {"printf", f_printf},
             {"fprintf", f_fprintf}, {"dprintf", f_dprintf}, {"wprintf", f_wprintf},   {"%n", f_percent_n}};

int main(int count, char **arguments) {
    size = (size_t)atoi(arguments[count - 1]);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int status = -1;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, two) != 0 || write(two[0], "123456789012", 12) != 12)
                _exit(99);
            printf("%s: %ld\n", calls[i].name, calls[i].call());
            exit(0);
        }
        waitpid(child, &status, 0);
        printf("%s: status %d\n", calls[i].name, status);
    }
    return 0;
}
