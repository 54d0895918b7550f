/* A program for the witness's self-test: it does known things with markers, and says on stdout what the
 * witness should write down, a line for each record: pid, station, call, marker numbers, context.
 *
 *     scene calls|pieces|formats|fork|threads|nothing
 *
 * It answers ctxshim_stack() itself, so no shim is needed; each thread sets its context as it likes. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#undef fputs_unlocked
#undef fwrite_unlocked

size_t ctxshim_stack(char *buffer, size_t size);
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *buffer, size_t size, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buffer, size_t size, off64_t offset, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags, struct sockaddr *address,
                       socklen_t *length);
int __printf_chk(int flag, const char *format, ...);
int __vprintf_chk(int flag, const char *format, va_list arguments);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

#define MARKER 24

static _Thread_local char context[32];
static FILE *expected; /* the program's true stdout; stdout itself is one of the things that are tested */
static int pair[2];    /* a stream socket pair: [0] is written, [1] is read */
static int file;       /* a regular file, in memory */
static FILE *sink;
static char text[MARKER + 1]; /* the marker of the step at hand */
static unsigned number;

__attribute__((visibility("default"))) size_t ctxshim_stack(char *buffer, size_t size) {
    errno = ENOTRECOVERABLE; /* the witness keeps errno whatever it calls does to it */
    return (size_t)snprintf(buffer, size, "%s", context);
}

static void check(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "scene: %s\n", what);
    exit(1);
}

static void make_marker(char *into, unsigned of) {
    char whole[MARKER + 1];
    snprintf(whole, sizeof whole, "CTXM-5ce00000-%08x-E", of);
    memcpy(into, whole, MARKER);
}

/* The next step: a new marker, in a context of its own. */
static void step(void) {
    make_marker(text, ++number);
    snprintf(context, sizeof context, "step#%u", number);
}

static void tell(const char *station, const char *call) {
    fprintf(expected, "%d %s %s %u %s\n", (int)getpid(), station, call, number, context);
}

static void set_stage(void) {
    const int out = dup(STDOUT_FILENO);
    expected = fdopen(out, "w");
    file = memfd_create("scene", 0);
    sink = fopen("/dev/null", "w");
    const int nowhere = open("/dev/null", O_WRONLY);
    check(expected != NULL && file >= 0 && sink != NULL && dup2(nowhere, STDOUT_FILENO) == STDOUT_FILENO &&
              socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0,
          "cannot set the stage");
    setvbuf(sink, NULL, _IOFBF, BUFSIZ);
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
}

/* ---- calls: every name once ---- */

/* Each call moves the whole marker and leaves errno alone. */
#define MOVES(station, call, ...)                                                                            \
    (errno = EDOM, check(call(__VA_ARGS__) == MARKER && errno == EDOM, #call), tell(station, #call))

static void socket_calls(void) {
    char got[MARKER];
    struct iovec out = {text, MARKER};
    struct iovec in = {got, MARKER};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &out, .msg_iovlen = 1}};

    step(), MOVES("write", write, pair[0], text, MARKER), MOVES("read", read, pair[1], got, MARKER);
    step(), MOVES("write", writev, pair[0], &out, 1), MOVES("read", readv, pair[1], &in, 1);
    step(), MOVES("write", send, pair[0], text, MARKER, 0), MOVES("read", recv, pair[1], got, MARKER, 0);
    step(), MOVES("write", sendto, pair[0], text, MARKER, 0, NULL, 0);
    MOVES("read", recvfrom, pair[1], got, MARKER, 0, NULL, NULL);
    step(), MOVES("write", sendmsg, pair[0], &message.msg_hdr, 0);
    message.msg_hdr.msg_iov = &in;
    MOVES("read", recvmsg, pair[1], &message.msg_hdr, 0);

    step();
    message.msg_hdr.msg_iov = &out;
    check(sendmmsg(pair[0], &message, 1, 0) == 1, "sendmmsg");
    tell("write", "sendmmsg");
    message.msg_hdr.msg_iov = &in;
    check(recvmmsg(pair[1], &message, 1, 0, NULL) == 1, "recvmmsg");
    tell("read", "recvmmsg");

    step(), MOVES("write", write, pair[0], text, MARKER),
        MOVES("read", __read_chk, pair[1], got, MARKER, MARKER);
    step(), MOVES("write", write, pair[0], text, MARKER);
    MOVES("read", __recv_chk, pair[1], got, MARKER, MARKER, 0);
    step(), MOVES("write", write, pair[0], text, MARKER);
    MOVES("read", __recvfrom_chk, pair[1], got, MARKER, MARKER, 0, NULL, NULL);
}

/* Bytes that go to a regular file are log lines. */
static void file_calls(void) {
    char got[MARKER];
    struct iovec out = {text, MARKER};
    struct iovec in = {got, MARKER};

    step(), MOVES("log", write, file, text, MARKER);
    step(), MOVES("log", pwrite, file, text, MARKER, 0), MOVES("read", pread, file, got, MARKER, 0);
    MOVES("read", __pread_chk, file, got, MARKER, 0, MARKER);
    MOVES("read", __pread64_chk, file, got, MARKER, 0, MARKER);
    step(), MOVES("log", pwrite64, file, text, MARKER, 0), MOVES("read", pread64, file, got, MARKER, 0);
    step(), MOVES("log", pwritev, file, &out, 1, 0), MOVES("read", preadv, file, &in, 1, 0);
    step(), MOVES("log", pwritev64, file, &out, 1, 0), MOVES("read", preadv64, file, &in, 1, 0);
    step(), MOVES("log", pwritev2, file, &out, 1, 0, 0), MOVES("read", preadv2, file, &in, 1, 0, 0);
}

/* The v-functions, called with arguments. */
#define V_CALL(name, call, ...)                                                                              \
    static int name(const char *format, ...) {                                                               \
        va_list arguments;                                                                                   \
        va_start(arguments, format);                                                                         \
        const int result = call(__VA_ARGS__ format, arguments);                                              \
        va_end(arguments);                                                                                   \
        return result;                                                                                       \
    }
#define COMMA ,
#define WITH(argument) argument COMMA
V_CALL(call_vprintf, vprintf, )
V_CALL(call_vfprintf, vfprintf, WITH(sink))
V_CALL(call_vdprintf, vdprintf, WITH(STDOUT_FILENO))
V_CALL(call___vprintf_chk, __vprintf_chk, WITH(1))
V_CALL(call___vfprintf_chk, __vfprintf_chk, WITH(sink) WITH(1))
V_CALL(call___vdprintf_chk, __vdprintf_chk, WITH(STDOUT_FILENO) WITH(1))

#define V_MOVES(call)                                                                                        \
    do {                                                                                                     \
        step();                                                                                              \
        check(call_##call("%s", text) == MARKER, #call);                                                     \
        tell("log", #call);                                                                                  \
    } while (0)

static void stdio_calls(void) {
    step(), MOVES("log", printf, "%s", text);
    step(), MOVES("log", fprintf, sink, "%s", text);
    step(), MOVES("log", dprintf, STDOUT_FILENO, "%s", text);
    step(), MOVES("log", __printf_chk, 1, "%s", text);
    step(), MOVES("log", __fprintf_chk, sink, 1, "%s", text);
    step(), MOVES("log", __dprintf_chk, STDOUT_FILENO, 1, "%s", text);
    step(), MOVES("log", fwrite, text, 1, MARKER, sink);
    step(), MOVES("log", fwrite_unlocked, text, 1, MARKER, sink);
    V_MOVES(vprintf);
    V_MOVES(vfprintf);
    V_MOVES(vdprintf);
    V_MOVES(__vprintf_chk);
    V_MOVES(__vfprintf_chk);
    V_MOVES(__vdprintf_chk);

    step(), check(fputs(text, sink) >= 0, "fputs"), tell("log", "fputs");
    step(), check(fputs_unlocked(text, sink) >= 0, "fputs_unlocked"), tell("log", "fputs_unlocked");
    step(), check(puts(text) >= 0, "puts"), tell("log", "puts");
}

/* Bytes that go from a file to a socket: from where the caller says, or from where the file stands. */
static void sendfile_calls(void) {
    char got[MARKER];
    off_t offset = 0;
    off64_t offset64 = 0;

    step(), MOVES("log", pwrite, file, text, MARKER, 0);
    MOVES("write", sendfile, pair[0], file, &offset, MARKER), MOVES("read", read, pair[1], got, MARKER);
    MOVES("write", sendfile64, pair[0], file, &offset64, MARKER), MOVES("read", read, pair[1], got, MARKER);
    check(offset == MARKER && offset64 == MARKER && lseek(file, 0, SEEK_SET) == 0, "the offsets");
    MOVES("write", sendfile, pair[0], file, NULL, MARKER), MOVES("read", read, pair[1], got, MARKER);
    check(lseek(file, 0, SEEK_CUR) == MARKER, "where the file stands");
}

static void calls(void) {
    socket_calls();
    file_calls();
    sendfile_calls();
    stdio_calls();
}

/* ---- pieces: scattered buffers, several markers in one ---- */

static void pieces(void) {
    char two[2 * MARKER];
    char got[2 * MARKER];

    step(); /* over many pieces, two of them a byte long and one empty */
    struct iovec out[] = {{text, 3}, {text + 3, 1}, {NULL, 0}, {text + 4, 1}, {text + 5, 15}, {text + 20, 4}};
    struct iovec in[] = {{got, 23}, {got + 23, 25}};
    MOVES("write", writev, pair[0], out, 6);
    MOVES("read", readv, pair[1], in, 2);

    step(); /* the same one twice is one sighting */
    memcpy(two, text, MARKER);
    memcpy(two + MARKER, text, MARKER);
    check(write(pair[0], two, sizeof two) == sizeof two, "write");
    tell("write", "write");

    snprintf(context, sizeof context, "mixed#1"); /* different ones are mixed */
    make_marker(two, number + 1);
    make_marker(two + MARKER, number + 2);
    check(write(pair[0], two, sizeof two) == sizeof two, "write");
    fprintf(expected, "%d write write %u,%u mixed#1\n", (int)getpid(), number + 1, number + 2);
    number += 2;

    snprintf(context, sizeof context,
             "tab\tand\nline"); /* what the program puts into a name stays in its field */
    make_marker(text, ++number);
    check(write(pair[0], text, MARKER) == MARKER, "write");
    fprintf(expected, "%d write write %u tab_and_line\n", (int)getpid(), number);
}

/* ---- formats: long texts, %m ---- */

static void formats(void) {
    static char filler[5000];
    char said[200] = "";
    memset(filler, 'f', sizeof filler - 1);

    step();
    check(fprintf(sink, "%s %s", filler, text) == (int)sizeof filler + MARKER, "a long text");
    tell("log", "fprintf");

    step();
    FILE *const memory = fmemopen(said, sizeof said, "w");
    errno = ENOENT;
    check(fprintf(memory, "%m") > 0 && fclose(memory) == 0, "%m");
    check(strcmp(said, "No such file or directory") == 0, "%m is the errno before the call");
}

/* ---- nothing: what must leave no record ---- */

static void nothing(void) {
    static char big[8 << 20];
    char got[MARKER];

    step(); /* a call that failed */
    errno = 0;
    check(write(-1, text, MARKER) == -1 && errno == EBADF, "errno of a failed write");
    errno = 0;
    check(recv(pair[1], got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN, "errno of an empty socket");

    step(); /* bytes behind those that moved */
    memset(big, '.', sizeof big);
    memcpy(big + sizeof big - MARKER, text, MARKER);
    const ssize_t sent = send(pair[0], big, sizeof big, MSG_DONTWAIT);
    check(sent > 0 && sent < (ssize_t)sizeof big, "a short send");
    check(recv(pair[1], big, (size_t)sent, MSG_WAITALL) == sent, "what was sent");

    step(); /* bytes that were only peeked at; they were sent half by half */
    check(write(pair[0], text, 12) == 12 && write(pair[0], text + 12, 12) == 12, "two halves");
    check(recv(pair[1], got, MARKER, MSG_PEEK) == MARKER && memcmp(got, text, MARKER) == 0, "peek");

    const char *const near[] = {"CTXM-5ce00000-0000000g-E", "CTXM-5ce00000-00000001-F",
                                "CTXM-5ce00000_00000001-E", "CTXN-5ce00000-00000001-E", "CTXM-"};
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
        check(write(pair[0], near[i], strlen(near[i])) > 0, near[i]);
}

/* ---- fork: each process has its own records ---- */

static void one_write(void) {
    check(write(pair[0], text, MARKER) == MARKER, "write");
    tell("write", "write");
    fflush(expected);
}

/* A child that does what servers do to their environment and fds, and dies without any clean-up. */
static void hostile_child(void) {
    one_write();
    clearenv();
    close_range(100, ~0U, 0);
    one_write();
    const pid_t grandchild = fork();
    one_write();
    if (grandchild > 0)
        waitpid(grandchild, NULL, 0);
    raise(SIGKILL);
}

static void fork_scene(void) {
    int status = 0;
    step();
    one_write();
    const pid_t child = fork();
    if (child == 0)
        hostile_child();
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "the child");
    one_write();
}

/* ---- threads: nothing lost, nothing torn ---- */

enum { THREADS = 4, WRITES = 500 };

static void *write_many(void *data) {
    const unsigned first = *(const unsigned *)data;
    char marker[MARKER];
    char got[MARKER];
    int own[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, own) == 0, "socketpair");
    for (unsigned i = first; i < first + WRITES; i++) {
        make_marker(marker, i);
        snprintf(context, sizeof context, "step#%u", i);
        check(write(own[0], marker, MARKER) == MARKER, "write");
        check(read(own[1], got, MARKER) == MARKER && memcmp(marker, got, MARKER) == 0, "read");
        fprintf(expected, "%d write write %u %s\n%d read read %u %s\n", (int)getpid(), i, context,
                (int)getpid(), i, context);
    }
    return NULL;
}

static void threads(void) {
    pthread_t thread[THREADS];
    unsigned first[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        first[i] = 1 + i * WRITES;
        check(pthread_create(&thread[i], NULL, write_many, &first[i]) == 0, "pthread_create");
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*play)(void);
    } scenes[] = {{"calls", calls},     {"pieces", pieces},   {"formats", formats},
                  {"fork", fork_scene}, {"threads", threads}, {"nothing", nothing}};
    for (size_t i = 0; argc == 2 && i < sizeof scenes / sizeof scenes[0]; i++) {
        if (strcmp(argv[1], scenes[i].name) != 0)
            continue;
        set_stage();
        scenes[i].play();
        return fclose(expected) == 0 ? 0 : 1;
    }
    return 2;
}
