/* The witness: a preload that stands outside the shim and writes down what the public API says.
 *
 * A client puts a marker of its own into every request. Loaded before the shim
 * (LD_PRELOAD="libwitness.so libctxshim.so"), the witness sees every buffer a server reads, writes or
 * logs. It looks for markers in the bytes that really moved, asks ctxshim_stack() *after* the real call
 * which context is current, and appends one line per buffer to a file of the process in $WITNESS_DIR:
 *
 *     pid TAB tid TAB station TAB call TAB fd TAB marker[,marker...] TAB context NEWLINE
 *
 * station is "read", "write" or "log" (a stdio call, or bytes written to a regular file); fd is kind:number.
 * It judges nothing: that is judge.c.
 *
 * How to add a call: give it a row in WITNESSED and a body further down: bind(), the real call, saw().
 *
 * A write to a stream socket is looked at *inside* the call: what the shim knows of it holds for that call,
 * and need not hold any longer when it has returned. So the same source is built a second time
 * (WITNESS_INNER) and loaded behind the shim, where the shim's own call comes by; that one records these
 * writes and nothing else, and the outer one, where it finds it, leaves them to it. Both write to one file.
 *
 * Rules kept here:
 *  - The host's errno, results and output stay as they are.
 *  - It shares no code with the shim and knows nothing of it but one public symbol. Its own files are opened
 *    and written by libc's functions themselves, so the shim never sees a record.
 *  - A record is one O_APPEND write, done before the hook returns: it survives SIGKILL.
 *  - The file belongs to one process: after a fork the child opens its own, on its first sighting. A program
 *    may clear its environment (read once, at start-up) or close every fd (checked before each write). */
#define _GNU_SOURCE 1
#include "markers.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* An optimising <stdio.h> has these as macros. */
#undef fputs_unlocked
#undef fwrite_unlocked

#define EXPORTED __attribute__((visibility("default")))

/* Fortified names that no header declares unless _FORTIFY_SOURCE is set. */
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *buffer, size_t size, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buffer, size_t size, off64_t offset, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags, __SOCKADDR_ARG address,
                       socklen_t *length);
int __printf_chk(int flag, const char *format, ...);
int __vprintf_chk(int flag, const char *format, va_list arguments);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

/* Every function whose real one is needed. The variadic ones go on to their v-functions. */
#define WITNESSED(ROW)                                                                                       \
    ROW(read)                                                                                                \
    ROW(pread)                                                                                               \
    ROW(pread64)                                                                                             \
    ROW(readv)                                                                                               \
    ROW(preadv)                                                                                              \
    ROW(preadv64)                                                                                            \
    ROW(preadv2)                                                                                             \
    ROW(recv)                                                                                                \
    ROW(recvfrom)                                                                                            \
    ROW(recvmsg)                                                                                             \
    ROW(recvmmsg)                                                                                            \
    ROW(__read_chk)                                                                                          \
    ROW(__pread_chk)                                                                                         \
    ROW(__pread64_chk)                                                                                       \
    ROW(__recv_chk)                                                                                          \
    ROW(__recvfrom_chk)                                                                                      \
    ROW(write)                                                                                               \
    ROW(pwrite)                                                                                              \
    ROW(pwrite64)                                                                                            \
    ROW(writev)                                                                                              \
    ROW(pwritev)                                                                                             \
    ROW(pwritev64)                                                                                           \
    ROW(pwritev2)                                                                                            \
    ROW(send)                                                                                                \
    ROW(sendto)                                                                                              \
    ROW(sendmsg)                                                                                             \
    ROW(sendmmsg)                                                                                            \
    ROW(sendfile)                                                                                            \
    ROW(sendfile64)                                                                                          \
    ROW(vfprintf)                                                                                            \
    ROW(vprintf)                                                                                             \
    ROW(vdprintf)                                                                                            \
    ROW(__vfprintf_chk)                                                                                      \
    ROW(__vprintf_chk)                                                                                       \
    ROW(__vdprintf_chk)                                                                                      \
    ROW(fputs)                                                                                               \
    ROW(fputs_unlocked)                                                                                      \
    ROW(puts)                                                                                                \
    ROW(fwrite)                                                                                              \
    ROW(fwrite_unlocked)

#define MEMBER(name) __typeof__(name) *(name);
static struct { WITNESSED(MEMBER) } next; /* the next object's functions: the shim's, or libc's own */
#undef MEMBER

static struct {
    __typeof__(open) *open;
    __typeof__(fcntl) *fcntl;
    __typeof__(write) *write;
    __typeof__(close) *close;
    __typeof__(pread64) *pread64;
    __typeof__(lseek64) *lseek64;
} libc; /* libc's own: for the record file, and to look at files that the program sends */

/* What finds the inner one: a name that only it exports. */
#ifdef WITNESS_INNER
EXPORTED extern const bool witness_inner;
const bool witness_inner = true;
static const bool inner = true;
#    define OUTERMOST __attribute__((visibility("hidden")))
#else
static const bool inner = false;
#    define OUTERMOST EXPORTED
#endif
static bool divided; /* there are both */

static size_t (*ask)(char *buffer, size_t size);
static char directory[PATH_MAX - 64]; /* "" until the constructor has run: nothing is recorded */
static unsigned long long image;      /* tells two programs executed by one pid apart; both know the same */

/* dlsym() gives an object pointer; POSIX promises that its bytes are the function's address. */
static void look_up(void *handle, const char *name, void *slot) {
    void *const found = dlsym(handle, name);
    memcpy(slot, &found, sizeof found);
}

/* Idempotent, and first run while there is one thread (a constructor, ours or an earlier one). */
static void bind_all(void) {
    static atomic_bool bound;
    if (atomic_load_explicit(&bound, memory_order_acquire))
        return;
    const int error = errno;
#define BIND(name) look_up(RTLD_NEXT, #name, &next.name);
    WITNESSED(BIND)
#undef BIND
    atomic_store_explicit(&bound, true, memory_order_release);
    errno = error;
}

__attribute__((constructor)) static void start(void) {
    bind_all();
    void *const own = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (own == NULL)
        return;
    look_up(own, "open", &libc.open);
    look_up(own, "fcntl", &libc.fcntl);
    look_up(own, "write", &libc.write);
    look_up(own, "close", &libc.close);
    look_up(own, "pread64", &libc.pread64);
    look_up(own, "lseek64", &libc.lseek64);
    look_up(RTLD_DEFAULT, "ctxshim_stack", &ask);

    divided = inner || dlsym(RTLD_DEFAULT, "witness_inner") != NULL;
    const void *const random = (const void *)getauxval(AT_RANDOM); /* other bytes at each exec */
    if (random != NULL)
        memcpy(&image, random, sizeof image);
    const char *const wanted = getenv("WITNESS_DIR");
    if (wanted != NULL && strlen(wanted) < sizeof directory)
        memcpy(directory, wanted, strlen(wanted) + 1);
}

/* ---- The record file ---- */

/* Who opened the file and where: pid << 32 | fd; 0 when nobody has. One word, so that threads which open it
 * at the same time settle by one compare-and-swap, and no lock is held across a fork. */
static _Atomic uint64_t record_file;

/* Which file that is: a program may close any fd, and the number may then be its own. */
static _Atomic dev_t record_device;
static _Atomic ino_t record_inode;

/* A number far above those a program would get, so that its own stay what they were. */
static int move_up(int fd) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    const int ceiling = limit.rlim_cur > 65536 ? 65536 : (int)limit.rlim_cur;
    const int high = ceiling > 128 ? libc.fcntl(fd, F_DUPFD_CLOEXEC, ceiling - 16) : -1;
    if (high < 0)
        return fd;
    libc.close(fd);
    return high;
}

static bool still_ours(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_dev == record_device && status.st_ino == record_inode;
}

/* The record file's fd in this process, or -1. */
static int record_fd(pid_t pid) {
    uint64_t known = atomic_load(&record_file);
    if ((pid_t)(known >> 32) == pid && still_ours((int)(uint32_t)known))
        return (int)(uint32_t)known;

    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%d-%llx.witness", directory, (int)pid, image);
    const int low = libc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (low < 0)
        return -1;
    const int fd = move_up(low);
    struct stat status;
    if (fstat(fd, &status) == 0) { /* all openers of one process store the same */
        record_device = status.st_dev;
        record_inode = status.st_ino;
    }
    if (!atomic_compare_exchange_strong(&record_file, &known, (uint64_t)pid << 32 | (uint32_t)fd)) {
        libc.close(fd); /* another thread was first */
        return (int)(uint32_t)known;
    }
    return fd;
}

enum station { READ, WRITE, LOG };

static const char *kind_of(int fd) {
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return "none";
    switch (status.st_mode & S_IFMT) {
    case S_IFSOCK:
        return "socket";
    case S_IFREG:
        return "file";
    case S_IFIFO:
        return "pipe";
    default:
        return "other";
    }
}

/* The line's fields are separated by tabs and the context is the program's text: nothing in it may end a
 * field. */
static void one_line(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ')
            *text = '_';
    }
}

static bool is_stream(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* Is this one of those that the other one looks at? errno may change. */
static bool is_the_others(enum station station, int fd) {
    return divided && (station == WRITE && is_stream(fd)) != inner;
}

/* Asks for the context and writes the record. errno stays. */
static void testify(enum station station, const char *call, int fd, const struct scan *scan) {
    if (scan->distinct == 0 || directory[0] == '\0')
        return;
    const int error = errno;
    if (is_the_others(station, fd)) {
        errno = error;
        return;
    }
    char context[1024] = "";
    if (ask != NULL)
        ask(context, sizeof context);
    one_line(context);

    const char *const kind = kind_of(fd);
    if (station == WRITE && strcmp(kind, "file") == 0)
        station = LOG;
    static const char *const name[] = {[READ] = "read", [WRITE] = "write", [LOG] = "log"};
    char markers[DISTINCT_MAX * (MARKER_LENGTH + 1)];
    for (unsigned i = 0; i < scan->distinct; i++) {
        memcpy(markers + i * (MARKER_LENGTH + 1), scan->marker[i], MARKER_LENGTH);
        markers[i * (MARKER_LENGTH + 1) + MARKER_LENGTH] = ',';
    }
    markers[scan->distinct * (MARKER_LENGTH + 1) - 1] = '\0';

    char line[sizeof context + sizeof markers + 128];
    const pid_t pid = getpid();
    const int length = snprintf(line, sizeof line, "%d\t%d\t%s\t%s\t%s:%d\t%s\t%s\n", (int)pid, (int)gettid(),
                                name[station], call, kind, fd, markers, context);
    const int file = record_fd(pid);
    if (file >= 0 && libc.write(file, line, (size_t)length) != length)
        libc.close(file); /* a torn record: the judge will miss it rather than misread it */
    errno = error;
}

/* ---- What the calls moved ---- */

/* capacity: the buffer's size; with MSG_TRUNC a call may report more than it stored. */
static void saw(enum station station, const char *call, int fd, const void *bytes, size_t capacity,
                ssize_t moved) {
    if (moved <= 0 || (inner && station != WRITE))
        return;
    struct scan scan = {0};
    scan_bytes(&scan, bytes, (size_t)moved < capacity ? (size_t)moved : capacity);
    testify(station, call, fd, &scan);
}

static void saw_pieces(enum station station, const char *call, int fd, const struct iovec *piece,
                       size_t count, ssize_t moved) {
    if (moved <= 0 || (inner && station != WRITE))
        return;
    struct scan scan = {0};
    scan_pieces(&scan, piece, count, (size_t)moved);
    testify(station, call, fd, &scan);
}

/* Bytes that were only peeked at have not moved. */
static void received(const char *call, int fd, const void *bytes, size_t capacity, int flags, ssize_t moved) {
    if ((flags & MSG_PEEK) == 0)
        saw(READ, call, fd, bytes, capacity, moved);
}

static void saw_message(enum station station, const char *call, int fd, const struct msghdr *message,
                        ssize_t moved) {
    saw_pieces(station, call, fd, message->msg_iov, message->msg_iovlen, moved);
}

static void saw_messages(enum station station, const char *call, int fd, const struct mmsghdr *message,
                         int count) {
    for (int i = 0; i < count; i++)
        saw_message(station, call, fd, &message[i].msg_hdr, (ssize_t)message[i].msg_len);
}

/* The bytes that went from a file to fd without passing through the program: read again, by position. behind
 * is where they end, -1 when the file's own position says so. errno stays. */
static void saw_file(const char *call, int fd, int file, off64_t behind, ssize_t moved) {
    if (moved <= 0 || directory[0] == '\0')
        return;
    const int error = errno;
    struct scan scan = {0};
    char bytes[16384];
    off64_t at = (behind >= 0 ? behind : libc.lseek64(file, 0, SEEK_CUR)) - moved;
    while (moved > 0 && at >= 0) {
        const size_t wanted = (size_t)moved < sizeof bytes ? (size_t)moved : sizeof bytes;
        const ssize_t got = libc.pread64(file, bytes, wanted, at);
        if (got <= 0)
            break;
        scan_piece(&scan, bytes, (size_t)got);
        at += got;
        moved -= got;
    }
    errno = error;
    testify(WRITE, call, fd, &scan);
}

static void logged(const char *call, FILE *stream, const struct scan *scan) {
    if (scan->distinct > 0)
        testify(LOG, call, fileno_unlocked(stream), scan);
}

/* ---- Reads ---- */

OUTERMOST ssize_t read(int fd, void *buffer, size_t size) {
    bind_all();
    const ssize_t moved = next.read(fd, buffer, size);
    saw(READ, "read", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room) {
    bind_all();
    const ssize_t moved = next.__read_chk(fd, buffer, size, room);
    saw(READ, "__read_chk", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
    bind_all();
    const ssize_t moved = next.pread(fd, buffer, size, offset);
    saw(READ, "pread", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset) {
    bind_all();
    const ssize_t moved = next.pread64(fd, buffer, size, offset);
    saw(READ, "pread64", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t __pread_chk(int fd, void *buffer, size_t size, off_t offset, size_t room) {
    bind_all();
    const ssize_t moved = next.__pread_chk(fd, buffer, size, offset, room);
    saw(READ, "__pread_chk", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t __pread64_chk(int fd, void *buffer, size_t size, off64_t offset, size_t room) {
    bind_all();
    const ssize_t moved = next.__pread64_chk(fd, buffer, size, offset, room);
    saw(READ, "__pread64_chk", fd, buffer, size, moved);
    return moved;
}

OUTERMOST ssize_t readv(int fd, const struct iovec *piece, int count) {
    bind_all();
    const ssize_t moved = next.readv(fd, piece, count);
    saw_pieces(READ, "readv", fd, piece, (size_t)count, moved);
    return moved;
}

OUTERMOST ssize_t preadv(int fd, const struct iovec *piece, int count, off_t offset) {
    bind_all();
    const ssize_t moved = next.preadv(fd, piece, count, offset);
    saw_pieces(READ, "preadv", fd, piece, (size_t)count, moved);
    return moved;
}

OUTERMOST ssize_t preadv64(int fd, const struct iovec *piece, int count, off64_t offset) {
    bind_all();
    const ssize_t moved = next.preadv64(fd, piece, count, offset);
    saw_pieces(READ, "preadv64", fd, piece, (size_t)count, moved);
    return moved;
}

OUTERMOST ssize_t preadv2(int fd, const struct iovec *piece, int count, off_t offset, int flags) {
    bind_all();
    const ssize_t moved = next.preadv2(fd, piece, count, offset, flags);
    saw_pieces(READ, "preadv2", fd, piece, (size_t)count, moved);
    return moved;
}

OUTERMOST ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    bind_all();
    const ssize_t moved = next.recv(fd, buffer, size, flags);
    received("recv", fd, buffer, size, flags, moved);
    return moved;
}

OUTERMOST ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags) {
    bind_all();
    const ssize_t moved = next.__recv_chk(fd, buffer, size, room, flags);
    received("__recv_chk", fd, buffer, size, flags, moved);
    return moved;
}

OUTERMOST ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address,
                           socklen_t *length) {
    bind_all();
    const ssize_t moved = next.recvfrom(fd, buffer, size, flags, address, length);
    received("recvfrom", fd, buffer, size, flags, moved);
    return moved;
}

OUTERMOST ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
                                 __SOCKADDR_ARG address, socklen_t *length) {
    bind_all();
    const ssize_t moved = next.__recvfrom_chk(fd, buffer, size, room, flags, address, length);
    received("__recvfrom_chk", fd, buffer, size, flags, moved);
    return moved;
}

OUTERMOST ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    bind_all();
    const ssize_t moved = next.recvmsg(fd, message, flags);
    if ((flags & MSG_PEEK) == 0)
        saw_message(READ, "recvmsg", fd, message, moved);
    return moved;
}

OUTERMOST int recvmmsg(int fd, struct mmsghdr *message, unsigned count, int flags, struct timespec *timeout) {
    bind_all();
    const int got = next.recvmmsg(fd, message, count, flags, timeout);
    if ((flags & MSG_PEEK) == 0)
        saw_messages(READ, "recvmmsg", fd, message, got);
    return got;
}

/* ---- Writes ---- */

EXPORTED ssize_t write(int fd, const void *bytes, size_t size) {
    bind_all();
    const ssize_t moved = next.write(fd, bytes, size);
    saw(WRITE, "write", fd, bytes, size, moved);
    return moved;
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    bind_all();
    const ssize_t moved = next.pwrite(fd, bytes, size, offset);
    saw(WRITE, "pwrite", fd, bytes, size, moved);
    return moved;
}

EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    bind_all();
    const ssize_t moved = next.pwrite64(fd, bytes, size, offset);
    saw(WRITE, "pwrite64", fd, bytes, size, moved);
    return moved;
}

EXPORTED ssize_t writev(int fd, const struct iovec *piece, int count) {
    bind_all();
    const ssize_t moved = next.writev(fd, piece, count);
    saw_pieces(WRITE, "writev", fd, piece, (size_t)count, moved);
    return moved;
}

EXPORTED ssize_t pwritev(int fd, const struct iovec *piece, int count, off_t offset) {
    bind_all();
    const ssize_t moved = next.pwritev(fd, piece, count, offset);
    saw_pieces(WRITE, "pwritev", fd, piece, (size_t)count, moved);
    return moved;
}

EXPORTED ssize_t pwritev64(int fd, const struct iovec *piece, int count, off64_t offset) {
    bind_all();
    const ssize_t moved = next.pwritev64(fd, piece, count, offset);
    saw_pieces(WRITE, "pwritev64", fd, piece, (size_t)count, moved);
    return moved;
}

EXPORTED ssize_t pwritev2(int fd, const struct iovec *piece, int count, off_t offset, int flags) {
    bind_all();
    const ssize_t moved = next.pwritev2(fd, piece, count, offset, flags);
    saw_pieces(WRITE, "pwritev2", fd, piece, (size_t)count, moved);
    return moved;
}

EXPORTED ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    bind_all();
    const ssize_t moved = next.send(fd, bytes, size, flags);
    saw(WRITE, "send", fd, bytes, size, moved);
    return moved;
}

EXPORTED ssize_t sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG address,
                        socklen_t length) {
    bind_all();
    const ssize_t moved = next.sendto(fd, bytes, size, flags, address, length);
    saw(WRITE, "sendto", fd, bytes, size, moved);
    return moved;
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    bind_all();
    const ssize_t moved = next.sendmsg(fd, message, flags);
    saw_message(WRITE, "sendmsg", fd, message, moved);
    return moved;
}

EXPORTED int sendmmsg(int fd, struct mmsghdr *message, unsigned count, int flags) {
    bind_all();
    const int sent = next.sendmmsg(fd, message, count, flags);
    saw_messages(WRITE, "sendmmsg", fd, message, sent);
    return sent;
}

EXPORTED ssize_t sendfile(int fd, int file, off_t *offset, size_t size) {
    bind_all();
    const ssize_t moved = next.sendfile(fd, file, offset, size);
    saw_file("sendfile", fd, file, moved > 0 && offset != NULL ? *offset : -1, moved);
    return moved;
}

EXPORTED ssize_t sendfile64(int fd, int file, off64_t *offset, size_t size) {
    bind_all();
    const ssize_t moved = next.sendfile64(fd, file, offset, size);
    saw_file("sendfile64", fd, file, moved > 0 && offset != NULL ? *offset : -1, moved);
    return moved;
}

/* ---- Log lines ---- */

OUTERMOST int vfprintf(FILE *stream, const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.vfprintf(stream, format, arguments);
    if (printed > 0)
        logged("vfprintf", stream, &scan);
    return printed;
}

OUTERMOST int fprintf(FILE *stream, const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.vfprintf(stream, format, arguments);
    va_end(arguments);
    if (printed > 0)
        logged("fprintf", stream, &scan);
    return printed;
}

OUTERMOST int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.__vfprintf_chk(stream, flag, format, arguments);
    if (printed > 0)
        logged("__vfprintf_chk", stream, &scan);
    return printed;
}

OUTERMOST int __fprintf_chk(FILE *stream, int flag, const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.__vfprintf_chk(stream, flag, format, arguments);
    va_end(arguments);
    if (printed > 0)
        logged("__fprintf_chk", stream, &scan);
    return printed;
}

OUTERMOST int vprintf(const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.vprintf(format, arguments);
    if (printed > 0)
        logged("vprintf", stdout, &scan);
    return printed;
}

OUTERMOST int printf(const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.vprintf(format, arguments);
    va_end(arguments);
    if (printed > 0)
        logged("printf", stdout, &scan);
    return printed;
}

OUTERMOST int __vprintf_chk(int flag, const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.__vprintf_chk(flag, format, arguments);
    if (printed > 0)
        logged("__vprintf_chk", stdout, &scan);
    return printed;
}

OUTERMOST int __printf_chk(int flag, const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.__vprintf_chk(flag, format, arguments);
    va_end(arguments);
    if (printed > 0)
        logged("__printf_chk", stdout, &scan);
    return printed;
}

OUTERMOST int vdprintf(int fd, const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.vdprintf(fd, format, arguments);
    if (printed > 0)
        testify(LOG, "vdprintf", fd, &scan);
    return printed;
}

OUTERMOST int dprintf(int fd, const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.vdprintf(fd, format, arguments);
    va_end(arguments);
    if (printed > 0)
        testify(LOG, "dprintf", fd, &scan);
    return printed;
}

OUTERMOST int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments) {
    struct scan scan = {0};
    bind_all();
    scan_format(&scan, format, arguments);
    const int printed = next.__vdprintf_chk(fd, flag, format, arguments);
    if (printed > 0)
        testify(LOG, "__vdprintf_chk", fd, &scan);
    return printed;
}

OUTERMOST int __dprintf_chk(int fd, int flag, const char *format, ...) {
    struct scan scan = {0};
    va_list arguments;
    bind_all();
    va_start(arguments, format);
    scan_format(&scan, format, arguments);
    const int printed = next.__vdprintf_chk(fd, flag, format, arguments);
    va_end(arguments);
    if (printed > 0)
        testify(LOG, "__dprintf_chk", fd, &scan);
    return printed;
}

OUTERMOST int fputs(const char *text, FILE *stream) {
    struct scan scan = {0};
    bind_all();
    scan_bytes(&scan, text, strlen(text));
    const int result = next.fputs(text, stream);
    if (result >= 0)
        logged("fputs", stream, &scan);
    return result;
}

OUTERMOST int fputs_unlocked(const char *text, FILE *stream) {
    struct scan scan = {0};
    bind_all();
    scan_bytes(&scan, text, strlen(text));
    const int result = next.fputs_unlocked(text, stream);
    if (result >= 0)
        logged("fputs_unlocked", stream, &scan);
    return result;
}

OUTERMOST int puts(const char *text) {
    struct scan scan = {0};
    bind_all();
    scan_bytes(&scan, text, strlen(text));
    const int result = next.puts(text);
    if (result >= 0)
        logged("puts", stdout, &scan);
    return result;
}

OUTERMOST size_t fwrite(const void *items, size_t size, size_t count, FILE *stream) {
    struct scan scan = {0};
    bind_all();
    const size_t written = next.fwrite(items, size, count, stream);
    scan_bytes(&scan, items, size * written);
    logged("fwrite", stream, &scan);
    return written;
}

OUTERMOST size_t fwrite_unlocked(const void *items, size_t size, size_t count, FILE *stream) {
    struct scan scan = {0};
    bind_all();
    const size_t written = next.fwrite_unlocked(items, size, count, stream);
    scan_bytes(&scan, items, size * written);
    logged("fwrite_unlocked", stream, &scan);
    return written;
}
