/* Writes to stdout, stderr and files in every way, and tells the test what each call gave.
 *
 *     program [--no-context] SCENE [ARGUMENT]
 *
 * A scene runs in the context "job", unless told otherwise. The scenes of calls.c are single functions; those
 * here are stories. */
#include "program.h"

#include <ctxshim.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

static const char *argument;

static char notes[1 << 16];
static size_t noted;

void note(const char *what, long result) {
    int error = errno;
    noted += (size_t)snprintf(notes + noted, sizeof notes - noted, "%s: %ld errno %d\n", what, result, error);
    errno = error;
}
#define NOTE(call) note(#call, (long)(call))

static void tell(void) {
    for (size_t told = 0; told < noted;) {
        ssize_t result = write(9, notes + told, noted - told);
        if (result <= 0)
            return;
        told += (size_t)result;
    }
}

/* --- lines and their pieces -------------------------------------------------------------------------------
 */

static void pieces(void) {
    fprintf(stderr, "a%d", 1);
    fputs("b", stderr);
    fputc('c', stderr);
    NOTE(write(2, "d", 1));
    fwrite("e\nf", 1, 3, stderr);
    dprintf(2, "g\n");
}

static void without_context_between(void) {
    ctxshim_scope inner = ctxshim_attach(NULL);
    fputs("free\nhalf", stderr);
    ctxshim_pop(&inner);
    fputs(" line\nab", stderr);
    inner = ctxshim_attach(NULL);
    fprintf(stderr, "%s", "cd\n");
    NOTE(write(2, "x", 1));
    ctxshim_pop(&inner);
    NOTE(write(2, "y\nz\n", 4));
}

static void nothing(void) {
    NOTE(write(2, "", 0));
    NOTE(write(2, NULL, 0));
    NOTE(writev(2, NULL, 0));
    NOTE(fputs("", stderr));
    NOTE(fwrite("abc", 0, 3, stderr));
    NOTE(fwrite("abc", 3, 0, stderr));
    NOTE(dprintf(2, "%s", ""));
    NOTE(write(2, "end\n", 4));
}

static void name(void) {
    CTXSHIM_SCOPE(argument);
    fputs("line\n", stderr);
    NOTE(write(2, "line\n", 5));
}

static void long_name(void) {
    static char text[3000];
    memset(text, 'n', sizeof text - 1);
    CTXSHIM_SCOPE(text);
    fputs("line\n", stderr);
    NOTE(write(2, "line\nline\n", 10));
}

/* --- sizes and shortages ----------------------------------------------------------------------------------
 */

enum { MEGABYTE = 1 << 20, LINE = 64 };

/* Numbered lines. */
static char *big(void) {
    static char text[MEGABYTE + 1];
    for (size_t at = 0; at < MEGABYTE; at += LINE)
        snprintf(text + at, LINE + 1, "%063zu\n", at);
    return text;
}

static void megabyte(void) {
    NOTE(write(2, big(), MEGABYTE));
    struct iovec halves[] = {{big(), 1000}, {big() + 1000, MEGABYTE - 1000}};
    NOTE(writev(2, halves, 2));
    NOTE(fwrite(big(), 1, MEGABYTE, stderr));
    NOTE(fprintf(stderr, "%s", big()));
    NOTE(dprintf(2, "%s", big()));
    NOTE(fputs(big(), stderr));
}

static void nonblocking(void) {
    const char *text = big();
    fcntl(2, F_SETFL, fcntl(2, F_GETFL) | O_NONBLOCK);
    for (size_t done = 0; done < MEGABYTE;) {
        size_t most = 1 + (done * 7919) % 30000, left = MEGABYTE - done;
        struct iovec parts[] = {{(void *)(uintptr_t)(text + done), 1},
                                {(void *)(uintptr_t)(text + done + 1), (most < left ? most : left) - 1}};
        ssize_t result =
            done % 2 == 0 ? write(2, text + done, most < left ? most : left) : writev(2, parts, 2);
        if (result < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = 2, .events = POLLOUT}, 1, -1);
        else if (result <= 0)
            abort();
        else
            done += (size_t)result;
    }
}

/* stderr is a file that may not grow past `limit`; then it may. Arguments: limit, and the context after. */
static void cut(void) {
    static const char text[] = "hello\nworld\n";
    char *context;
    rlim_t limit = (rlim_t)strtoul(argument, &context, 10);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, RLIM_INFINITY});
    ssize_t done = write(2, text, sizeof text - 1);
    note("cut", done);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    ctxshim_scope other = *context != '\0' ? ctxshim_root(context + 1) : (ctxshim_scope){0};
    done = done < 0 ? 0 : done;
    NOTE(write(2, text + done, sizeof text - 1 - (size_t)done));
    ctxshim_pop(&other);
}

static void bad_memory(void) {
    void *volatile nowhere = (void *)16; /* volatile: or the compiler warns of what is meant */
    volatile size_t most = SIZE_MAX;
    volatile int less = -1, more = 5000;
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    memset(page, 'x', 4096);
    struct iovec bad[] = {{"ok", 2}, {nowhere, 5}};
    struct msghdr message = {.msg_iov = nowhere, .msg_iovlen = 1};
    NOTE(write(2, nowhere, 5));
    NOTE(write(2, nowhere, most));
    NOTE(write(2, page + 4096, 5));
    NOTE(writev(2, nowhere, 2));
    NOTE(writev(2, bad, less));
    NOTE(writev(2, bad, more));
    NOTE(writev(2, bad + 1, 1));
    NOTE(send(2, nowhere, 5, 0));
    NOTE(sendmsg(2, nowhere, 0));
    NOTE(sendmsg(2, &message, 0));
}

static void closed(void) {
    close(2);
    NOTE(write(2, "x\n", 2));
    NOTE(fputs("x\n", stderr));
    NOTE(fprintf(stderr, "x\n"));
    NOTE(dprintf(2, "x\n"));
    errno = ENOENT;
    perror("x");
    note("perror", 0);
}

/* Whatever stderr is, it takes nothing. */
static void refused(void) {
    if (argument != NULL)
        signal(SIGPIPE, SIG_IGN);
    NOTE(write(2, "x\n", 2));
    NOTE(fputs("x\n", stderr));
    NOTE(fprintf(stderr, "x %d\n", 1));
    NOTE(fwrite("x\ny\n", 2, 2, stderr));
    NOTE(fputc('x', stderr));
    NOTE(dprintf(2, "x %d\n", 1));
    NOTE(ferror(stderr));
}

static void datagram_full(void) {
    static char text[300000];
    int size = 4096;
    memset(text, 'x', sizeof text);
    setsockopt(2, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    socklen_t length = sizeof size;
    getsockopt(2, SOL_SOCKET, SO_SNDBUF, &size, &length);
    NOTE(send(2, text, (size_t)size - 32, MSG_DONTWAIT));
    NOTE(send(2, text, (size_t)size, MSG_DONTWAIT));
}

/* --- files ------------------------------------------------------------------------------------------------
 */

static int log_open(int flags) {
    return open(argument, O_CREAT | flags, 0600);
}

static void say_to(int fd, const char *text) {
    NOTE(write(fd, text, strlen(text)));
}

static void file_append(void) {
    int fd = log_open(O_WRONLY | O_APPEND);
    say_to(fd, "one\n");
    FILE *stream = fopen(argument, "ae");
    setvbuf(stream, NULL, _IOFBF, 64);
    fprintf(stream, "two\nthree");
    putc_unlocked('!', stream);
    putc_unlocked('\n', stream);
    fputs("four", stream);
    NOTE(fclose(stream));
}

static void file_fdopen(void) {
    FILE *stream = fdopen(log_open(O_WRONLY | O_APPEND), "a");
    for (int i = 0; i < 100; i++)
        fprintf(stream, "line %d\n", i);
    NOTE(fclose(stream));
}

static void file_binary(void) {
    static unsigned char record[4096];
    int fd = log_open(O_WRONLY | O_APPEND);
    for (size_t i = 0; i < sizeof record; i++)
        record[i] = (unsigned char)(i * 31);
    NOTE(write(fd, record, sizeof record));
    say_to(fd, "looks like text\n");
    NOTE(write(fd, record, sizeof record));
}

static void file_turns_binary(void) {
    int fd = log_open(O_WRONLY | O_APPEND);
    ctxshim_scope none = ctxshim_attach(NULL);
    NOTE(write(fd, "a\0b\n", 4));
    ctxshim_pop(&none);
    say_to(fd, "text\n");
}

static void file_read_write(void) {
    int fd = log_open(O_RDWR | O_APPEND);
    say_to(fd, "one\n");
}

static void file_not_append(void) {
    int fd = log_open(O_WRONLY);
    say_to(fd, "one\n");
    FILE *stream = fopen(argument, "w");
    fputs("two\n", stream);
    NOTE(fclose(stream));
}

#define ENDS(name, call)                                                                                     \
    static void ends_##name(void) {                                                                          \
        int fd = log_open(O_WRONLY | O_APPEND);                                                              \
        say_to(fd, "one\n");                                                                                 \
        NOTE((long)(intptr_t)(call) == -1);                                                                  \
        say_to(fd, "two\n");                                                                                 \
    }
static struct iovec nowhere = {"", 0};
ENDS(lseek, lseek(fd, 0, SEEK_END))
ENDS(lseek64, lseek64(fd, 0, SEEK_CUR))
ENDS(pwrite, pwrite(fd, "", 0, 0))
ENDS(pwrite64, pwrite64(fd, "", 0, 0))
ENDS(pwritev, pwritev(fd, &nowhere, 1, 0))
ENDS(pwritev64, pwritev64(fd, &nowhere, 1, 0))
ENDS(pwritev2, pwritev2(fd, &nowhere, 1, 0, 0))
ENDS(pwritev64v2, pwritev64v2(fd, &nowhere, 1, 0, 0))
ENDS(ftruncate, ftruncate(fd, 4))
ENDS(ftruncate64, ftruncate64(fd, 4))
ENDS(fallocate, fallocate(fd, 0, 0, 4))
ENDS(fallocate64, fallocate64(fd, 0, 0, 4))
ENDS(posix_fallocate, posix_fallocate(fd, 0, 4))
ENDS(posix_fallocate64, posix_fallocate64(fd, 0, 4))
ENDS(mmap, mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0))
ENDS(mmap64, mmap64(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0))
ENDS(setfl, fcntl(fd, F_SETFL, 0))
ENDS(sendfile, sendfile(fd, open("/dev/null", O_RDONLY), NULL, 1))

#define ENDS_STREAM(name, call)                                                                              \
    static void ends_##name(void) {                                                                          \
        fpos_t position;                                                                                     \
        fpos64_t position64;                                                                                 \
        FILE *stream = fopen(argument, "a");                                                                 \
        fputs("one\n", stream);                                                                              \
        fflush(stream);                                                                                      \
        fgetpos(stream, &position);                                                                          \
        fgetpos64(stream, &position64);                                                                      \
        call;                                                                                                \
        fputs("two\n", stream);                                                                              \
        NOTE(fclose(stream));                                                                                \
    }
ENDS_STREAM(fseek, fseek(stream, 0, SEEK_END))
ENDS_STREAM(fseeko, fseeko(stream, 0, SEEK_SET))
ENDS_STREAM(fseeko64, fseeko64(stream, 0, SEEK_CUR))
ENDS_STREAM(rewind, rewind(stream))
ENDS_STREAM(fsetpos, fsetpos(stream, &position))
ENDS_STREAM(fsetpos64, fsetpos64(stream, &position64))

static void file_copies(void) {
    int fd = log_open(O_WRONLY | O_APPEND), copy = dup(fd), other = fcntl(fd, F_DUPFD, 30);
    say_to(fd, "a");
    say_to(copy, "b");
    say_to(other, "c\nd");
    say_to(fd, "e\n");
    close(fd);
    say_to(copy, "f\n");
    lseek(other, 0, SEEK_SET);
    say_to(copy, "g\n");
}

/* --- which descriptors ------------------------------------------------------------------------------------
 */

static void copies(void) {
    int copy = dup(2), other = dup2(2, 40), third = dup3(2, 41, O_CLOEXEC);
    say_to(2, "a");
    say_to(copy, "b");
    say_to(other, "c\n");
    say_to(third, "d\n");
}

static void replaced(void) {
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
    int fd = log_open(O_WRONLY);
    dup2(fd, 2);
    say_to(2, "as stderr\n");
    say_to(fd, "as itself\n");
    dup2(saved, 2);
    say_to(2, "again\n");
}

/* A number that another call got is not stderr. */
static void taken(void) {
    int saved = dup(2), pair[2], end[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, end);
    close(2);
    NOTE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    NOTE(pair[0] == 2);
    say_to(2, "data\n");
    char text[64] = "";
    NOTE(read(pair[1], text, sizeof text));
    dup2(saved, 2);
    fputs(text, stderr);
}

static void told_but_not_moved(void) {
    NOTE(lseek(2, 0, SEEK_CUR) >= 0);
    NOTE(lseek(2, 0, SEEK_END) >= 0);
    say_to(2, "one\n");
    NOTE(lseek(2, 1, SEEK_SET));
    say_to(2, "two\n");
}

static void stderr_turns_binary(void) {
    say_to(2, "one\n");
    NOTE(fwrite("\1\2\3\n", 1, 4, stderr));
    say_to(2, "two\n");
    fprintf(stderr, "three\n");
}

/* --- processes, threads, signals --------------------------------------------------------------------------
 */

static void forks(void) {
    fprintf(stderr, "parent\n");
    pid_t child = fork();
    if (child == 0) {
        fprintf(stderr, "child %d\n", (int)getpid());
        say_to(2, "child\n");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    fprintf(stderr, "parent %d\n", (int)getpid());
}

static void *chat(void *memory) {
    const char *who = memory;
    ctxshim_scope scope = ctxshim_root(who);
    for (int i = 0; i < 1000; i++)
        if (i % 3 == 0)
            fprintf(stderr, "%s says %d\n", who, i);
        else if (i % 3 == 1)
            dprintf(2, "%s says %d\n", who, i);
        else
            fputs(*who == 'x' ? "x says\n" : *who == 'y' ? "y says\n" : "z says\n", stderr);
    ctxshim_pop(&scope);
    return NULL;
}

static void threads(void) {
    pthread_t thread[3];
    const char *const names[] = {"x", "y", "z"};
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, chat, (void *)(uintptr_t)names[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
}

static int cleanups;
static void cleanup(void *memory) {
    (void)memory;
    cleanups++;
}

static void *blocked(void *memory) {
    int kind = *(int *)memory;
    pthread_cleanup_push(cleanup, NULL);
    for (ssize_t done = 1; done != 0;) {
        if (kind == 0)
            done = write(2, big(), 200000);
        else if (kind == 1)
            done = writev(2, &(struct iovec){big(), 3 * LINE}, 1);
        else if (kind == 2)
            fwrite(big(), 1, 200000, stderr);
        else if (kind == 3)
            fprintf(stderr, "%s\n", "text");
        else
            dprintf(2, "%200000d\n", 1);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static long mapped_pages(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%ld", &pages) != 1)
        abort();
    fclose(file);
    return pages;
}

/* A full pipe, whose reader is ourselves: each kind of call is cancelled in it, and nothing stays locked. */
static void cancelled(void) {
    int ends[2], saved = dup(2);
    static char drain[1 << 20];
    long before = 0;
    if (pipe(ends) != 0)
        abort();
    dup2(ends[1], 2);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (int round = 0; round < 10; round++) {
        int kind = round % 5;
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, blocked, &kind);
        usleep(100000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        NOTE(result == PTHREAD_CANCELED);
        note("cleanups", cleanups);
        clearerr(stderr);
        while (read(ends[0], drain, sizeof drain) > 0)
            ;
        if (round == 4)
            before = mapped_pages();
        NOTE(fprintf(stderr, "after\n"));
        NOTE(write(2, "after\n", 6));
        while (read(ends[0], drain, sizeof drain) > 0)
            ;
    }
    NOTE(mapped_pages() - before < 16);
    dup2(saved, 2);
    tell();
    _exit(0); /* a cancelled fprintf leaves glibc's list of streams broken, plain as it is */
}

static volatile sig_atomic_t ticks;
static void tick(int number) {
    (void)number;
    int error = errno;
    if (write(2, "tick\n", 5) != 5)
        abort();
    ticks++;
    errno = error;
}

static void signals(void) {
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = tick, .sa_flags = SA_RESTART}, NULL);
    ualarm(1000, 500);
    while (ticks < 500) {
        CTXSHIM_SCOPE("loop");
        if (write(2, "tock\n", 5) != 5)
            abort();
    }
    ualarm(0, 0);
}

/* One request, served by an event loop of its own. */
__attribute__((noinline)) static void serve(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    char volatile text[4096];
    int loop = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0),
        client = socket(AF_INET, SOCK_STREAM, 0);
    bool good = bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
                connect(client, (struct sockaddr *)&address, size) == 0 && write(client, "x", 1) == 1;
    int server = accept(listener, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN};
    good = good && epoll_ctl(loop, EPOLL_CTL_ADD, server, &event) == 0;
    good = good && epoll_wait(loop, &event, 1, -1) == 1 && read(server, (char *)text, 1) == 1;
    fputs("inside\n", stderr);
    note("served", good);
}

static ctxshim_scope request(const char *name) {
    return ctxshim_root(name);
}

/* Two requests' lines come out in the second; then what each writes by itself. */
static void gathered(void) {
    ctxshim_scope scope = request("a");
    NOTE(write(2, "a1\na2\n", 6));
    ctxshim_pop(&scope);
    scope = request("b");
    NOTE(write(2, "b1\nb2\n", 6));
    ctxshim_pop(&scope);
    scope = request("c"); /* gathers its line */
    ctxshim_pop(&scope);
    scope = request("d");
    NOTE(write(2, "c\nd\n", 4));
    ctxshim_pop(&scope);
    scope = request("e");
    for (int i = 0; i < 16; i++)
        NOTE(write(2, i < 15 ? "." : "\n", 1));
    for (int i = 0; i < 16; i++)
        NOTE(write(2, "e\n", 2));
    ctxshim_pop(&scope);
}

static void loop_left(void) {
    serve();
    if (*argument == 'f')
        fputs("outside\n", stderr);
    else if (*argument == 'w')
        NOTE(write(2, "outside\n", 8));
    else
        perror("outside");
}

static ssize_t cookie_write(void *cookie, const char *text, size_t size) {
    (void)cookie;
    return write(9, text, size);
}

static void cookie(void) {
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = cookie_write});
    errno = ERANGE;
    NOTE(fprintf(stream, "cookie\n"));
    NOTE(fputs("cookie\n", stream));
    fclose(stream);
}

#define ROW(name) {#name, name},
static const struct scene stories[] = {
    ROW(pieces) ROW(without_context_between) ROW(nothing) ROW(name) ROW(long_name) ROW(megabyte)
        ROW(nonblocking) ROW(cut) ROW(bad_memory) ROW(closed) ROW(refused) ROW(datagram_full) ROW(file_append)
            ROW(file_fdopen) ROW(file_binary) ROW(file_turns_binary) ROW(file_read_write) ROW(file_not_append)
                ROW(ends_lseek) ROW(ends_lseek64) ROW(ends_pwrite) ROW(ends_pwrite64) ROW(ends_pwritev)
                    ROW(ends_pwritev64) ROW(ends_pwritev2) ROW(ends_pwritev64v2) ROW(ends_ftruncate)
                        ROW(ends_ftruncate64) ROW(ends_fallocate) ROW(ends_fallocate64)
                            ROW(ends_posix_fallocate) ROW(ends_posix_fallocate64) ROW(ends_mmap)
                                ROW(ends_mmap64) ROW(ends_setfl) ROW(ends_sendfile) ROW(ends_fseek)
                                    ROW(ends_fseeko) ROW(ends_fseeko64) ROW(ends_rewind) ROW(ends_fsetpos)
                                        ROW(ends_fsetpos64) ROW(file_copies) ROW(copies) ROW(replaced)
                                            ROW(taken) ROW(told_but_not_moved) ROW(stderr_turns_binary)
                                                ROW(forks) ROW(threads) ROW(cancelled) ROW(signals)
                                                    ROW(cookie) ROW(loop_left) ROW(gathered){0}};

static bool run(const struct scene *scenes, const char *wanted) {
    for (; scenes->name != NULL; scenes++) {
        if (strcmp(scenes->name, wanted) != 0)
            continue;
        errno = ERANGE;
        scenes->run();
        return true;
    }
    return false;
}

/* --list names the scenes of calls.c. */
int main(int count, char **arguments) {
    bool free_of_context = count > 1 && strcmp(arguments[1], "--no-context") == 0;
    arguments += free_of_context;
    if (strcmp(arguments[1], "--list") == 0) {
        for (const struct scene *scene = calls; scene->name != NULL; scene++)
            puts(scene->name);
        return 0;
    }
    argument = arguments[2];
    atexit(tell);
    ctxshim_scope scope = free_of_context ? (ctxshim_scope){0} : ctxshim_push("job");
    bool known = run(calls, arguments[1]) || run(stories, arguments[1]);
    fflush(stdout);
    ctxshim_pop(&scope);
    return known ? 0 : 99;
}
