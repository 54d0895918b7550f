/* The program that runs one case: `cases RULE/TITLE`. Exit: 0 when all it says is so. As `cases --show
 * ARG...` it is a program that a case executes: it writes its stack, its arguments and its environment, a
 * line each. */
#include "case.h"

#include <stdlib.h>

static struct case_entry *first;
static _Atomic int failures;

void case_add(struct case_entry *entry) {
    entry->next = first;
    first = entry;
}

/* Past every hook: a case may be about stderr. */
void case_fail(const char *file, int line, const char *what, const char *got) {
    char text[1024];
    int length =
        snprintf(text, sizeof text, "%s:%d: %s%s%s\n", file, line, what, got[0] ? ", but it is " : "", got);
    atomic_fetch_add(&failures, 1);
    kernel_call(SYS_write, 2, (long)text, length, 0, 0, 0);
}

const char *stack_now(void) {
    static _Thread_local char text[512];
    ctxshim_stack(text, sizeof text);
    return text;
}

void case_expect_stack(const char *file, int line, const char *expected) {
    char what[600], got[600];
    if (strcmp(stack_now(), expected) == 0)
        return;
    snprintf(what, sizeof what, "the stack ought to be \"%s\"", expected);
    snprintf(got, sizeof got, "\"%s\"", stack_now());
    case_fail(file, line, what, got);
}

void count_destroy(void *value) {
    atomic_fetch_add((_Atomic int *)value, 1);
}

void settle(void) {
    ctxshim_scope scope = ctxshim_push("settle");
    ctxshim_pop(&scope);
}

int listen_somewhere(void) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any.sun_family) == 0 && listen(fd, 64) == 0);
    return fd;
}

int raw_connect(int listener) {
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    REQUIRE(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    long fd = kernel_call(SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, 0);
    REQUIRE(fd >= 0 && kernel_call(SYS_connect, fd, (long)&address, size, 0, 0, 0) == 0);
    return (int)fd;
}

void raw_write(int fd, const char *text) {
    long length = (long)strlen(text);
    REQUIRE(kernel_call(SYS_write, fd, (long)text, length, 0, 0, 0) == length);
}

long raw_read(int fd, char *buffer, size_t size) {
    struct pollfd ready = {fd, POLLIN, 0};
    if (kernel_call(SYS_poll, (long)&ready, 1, 1000, 0, 0, 0) != 1)
        return -1;
    return kernel_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

void raw_close(int fd) {
    kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

void watch(int epoll, int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    REQUIRE(epoll_ctl(epoll, operation, fd, &event) == 0);
}

void poke(int fd) {
    REQUIRE(eventfd_write(fd, 1) == 0);
}

void say_to(int fd, const char *text) {
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

long hear(int fd) {
    char buffer[4096];
    return read(fd, buffer, sizeof buffer);
}

struct reader {
    int fd;
    long result;
    char stack[128];
};

static void *read_alone(void *argument) {
    struct reader *reader = argument;
    reader->result = hear(reader->fd);
    ctxshim_stack(reader->stack, sizeof reader->stack);
    return NULL;
}

void case_expect_reader(const char *file, int line, int fd, const char *expected) {
    struct reader reader = {.fd = fd};
    pthread_t thread;
    ctxshim_scope empty = ctxshim_attach(NULL);
    REQUIRE(pthread_create(&thread, NULL, read_alone, &reader) == 0);
    ctxshim_pop(&empty);
    pthread_join(thread, NULL);
    if (reader.result <= 0)
        case_fail(file, line, "there is nothing to read", "");
    if (strcmp(reader.stack, expected) != 0)
        case_fail(file, line, expected, reader.stack);
}

extern char **environ;

static int show(char **arguments) {
    printf("stack=%s\n", stack_now());
    for (; *arguments != NULL; arguments++)
        printf("argument=%s\n", *arguments);
    for (char **variable = environ; *variable != NULL; variable++)
        printf("%s\n", *variable);
    return 0;
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--show") == 0)
        return show(arguments + 2);
    signal(SIGPIPE, SIG_IGN);
    for (struct case_entry *entry = first; count == 2 && entry != NULL; entry = entry->next)
        if (strcmp(entry->name, arguments[1]) == 0) {
            entry->body();
            return atomic_load(&failures) != 0;
        }
    fprintf(stderr, "usage: %s RULE/TITLE\n", arguments[0]);
    return 2;
}
