/* What leak finding keeps: one region of memory, in a file when `record_path` names one, that `ctxshim leaks`
 * reads: while the process runs, after it ended, crashed or was killed. The shim records, the command
 * explains.
 *
 *      header | module | leak | stack | leak | ...          used: up to here it may be read
 *
 * Entries are appended under one lock, whole, and `used` is raised when one is there; of a leak that happens
 * again only `count`, `last` and `age` change. Addresses are (module, offset), so that they mean something
 * when the process, or the library, is gone. A full region counts what it drops. Everything is host-endian; a
 * reader believes nothing: sizes and numbers are checked there. */
#ifndef SHIM_RECORD_H
#define SHIM_RECORD_H

#include <stdatomic.h>
#include <stdint.h>

#define RECORD_MARK "ctxshim record"
enum { RECORD_VERSION = 1, RECORD_SIZE = 1 << 20, RECORD_EXE = 256, RECORD_BUILD_ID = 20 };

struct record_header {
    char mark[16];
    uint32_t version;
    int32_t pid;
    uint64_t size;            /* bytes, of the region */
    uint64_t started;         /* nanoseconds of CLOCK_REALTIME */
    _Atomic uint64_t used;    /* bytes, this header included */
    _Atomic uint64_t dropped; /* entries that found no room */
    _Atomic uint32_t ended;   /* 1: the process has come to its end, and looked at what was left */
    uint32_t leaks_after;     /* the option, seconds */
    char exe[RECORD_EXE];
};

enum record_type { RECORD_MODULE = 1, RECORD_STACK, RECORD_LEAK };
struct record_entry {
    uint32_t size; /* bytes, this included; a multiple of 8 */
    uint32_t type; /* enum record_type */
};

/* A loaded file, by a number from 1. */
struct record_module {
    struct record_entry entry;
    uint32_t number;
    uint32_t build_id_size;
    uint64_t base; /* where it is loaded: address - base is the file's own */
    uint8_t build_id[RECORD_BUILD_ID];
    char path[]; /* ends with NUL */
};

struct record_place {
    uint32_t module; /* 0: none is known, and the offset is the address */
    uint32_t reserved;
    uint64_t offset;
};

struct record_stack {
    struct record_entry entry;
    uint32_t number; /* as leaks name it */
    uint32_t frames;
    struct record_place frame[]; /* innermost first */
};

/* Kinds of leaks, and their words. */
#define LEAK_KINDS(ROW)                                                                                      \
    ROW(LEAK_UNPOPPED, "unpopped scope")                                                                     \
    ROW(LEAK_MISUSED, "misused scope")                                                                       \
    ROW(LEAK_RETAINED, "retained context")                                                                   \
    ROW(LEAK_CONTAMINATED, "contaminated ingress")                                                           \
    ROW(LEAK_VALUE, "leaked value")
enum leak_kind {
#define LEAK_ROW(name, word) name,
    LEAK_KINDS(LEAK_ROW)
#undef LEAK_ROW
};

enum { RECORD_TEXTS = 4 }; /* operation path, thread's name, what it is about, how it came there */
struct record_leak {
    struct record_entry entry;
    uint32_t kind;  /* enum leak_kind */
    int32_t tid;    /* of the thread in which it was found */
    uint32_t stack; /* number of the stack that opened or captured it; 0: only the place is known */
    uint32_t other_stack;
    struct record_place place; /* where it was opened, captured, or set */
    struct record_place other; /* of the scope that it was misused against; module 0 and offset 0: none */
    uint64_t first;            /* nanoseconds of CLOCK_REALTIME */
    _Atomic uint64_t last;
    _Atomic uint64_t count;
    uint64_t age; /* nanoseconds that it was held after its request was over, the longest; 0: not that kind */
    char texts[]; /* RECORD_TEXTS of them, each ends with NUL */
};

#endif
