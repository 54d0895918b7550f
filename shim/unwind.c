/* Backtraces: see unwind.h.
 *
 * unw_backtrace walks from its own frame outwards; what lies in this library is left out, so that a stack
 * begins with the program's call. It takes the loader's lock for a moment when it meets an address for the
 * first time, which no thread holds while it runs code of ours (H13).
 *
 * libunwind tests doubtful addresses by writing from them into a pipe of its own. A program that closes all
 * its descriptors (H5) would then have it write into one of *its* files. So before it is first called, the
 * few functions that it uses for that are replaced in its own table of imports, and nowhere else: no
 * descriptor, and no malloc, which may be what was interrupted (H1). */
#include "unwind.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/stack.h"
#include "trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

enum { OURS_AT_MOST = 8, PAGE = 4096, NO_DESCRIPTOR = INT_MAX };

unsigned unwind_one_in;
static int (*backtrace_of)(void **frames, int room);
static uintptr_t ours_low, ours_high;

/* --- what libunwind is given ------------------------------------------------------------------------------
 */

/* A number that no descriptor has, but that libunwind takes for one. */
static int no_pipe(int fds[2], int flags) {
    (void)flags;
    fds[0] = fds[1] = NO_DESCRIPTOR;
    return 0;
}

/* Can this byte be read? */
static ssize_t probe(int fd, const void *address, size_t size) {
    char byte;
    (void)fd;
    (void)size;
    if (kernel_peek(&byte, address, sizeof byte))
        return sizeof byte;
    errno = EFAULT;
    return -1;
}

static ssize_t nothing_left(int fd, void *buffer, size_t size) {
    (void)fd;
    (void)buffer;
    (void)size;
    errno = EAGAIN;
    return -1;
}

/* It writes by way of syscall(3), so that nobody who stands before write(3) notices. */
static long some_calls(long number, long a, long b, long c, long d, long e, long f) {
    if (number == SYS_write)
        return probe((int)a, (const void *)b, (size_t)c);
    if (number == SYS_read)
        return nothing_left((int)a, (void *)b, (size_t)c);
    long result = kernel_call(number, a, b, c, d, e, f);
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}

static void *no_memory(size_t size) {
    (void)size;
    return NULL;
}

static void no_free(void *memory) {
    (void)memory;
}

typedef void any_function(void);
static const struct {
    const char *name;
    any_function *ours;
} replacements[] = {
    {"pipe2", (any_function *)no_pipe},     {"write", (any_function *)probe},
    {"read", (any_function *)nothing_left}, {"syscall", (any_function *)some_calls},
    {"malloc", (any_function *)no_memory},  {"free", (any_function *)no_free},
};

/* The entry may lie in a page that the loader has made read-only. */
static bool entry_set(uintptr_t address, any_function *function) {
    uintptr_t page = address / PAGE * PAGE;
    if (kernel_call(SYS_mprotect, (long)page, PAGE, PROT_READ | PROT_WRITE, 0, 0, 0) != 0)
        return false;
    memcpy((void *)address, &function, sizeof function);
    return true;
}

/* Looks through one table of relocations; counts in `*done` what was replaced. */
static bool table_patch(const struct link_map *library, uintptr_t table, size_t size,
                        const ElfW(Sym) * symbols, const char *names, unsigned *done) {
    const ElfW(Rela) *row = (const ElfW(Rela) *)table, *end = (const ElfW(Rela) *)(table + size);
    for (; row < end; row++) {
        const ElfW(Sym) *symbol = &symbols[row->r_info >> 32];
        for (size_t i = 0; symbol->st_shndx == 0 && i < sizeof replacements / sizeof *replacements; i++) {
            if (strcmp(names + symbol->st_name, replacements[i].name) != 0)
                continue;
            if (!entry_set(library->l_addr + row->r_offset, replacements[i].ours))
                return false;
            *done |= 1U << i;
        }
    }
    return true;
}

/* True when libunwind has no way left to any of them. */
static bool imports_patch(const struct link_map *library) {
    uintptr_t jumps = 0, relocations = 0;
    size_t jumps_size = 0, relocations_size = 0;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    unsigned done = 0;
    for (const ElfW(Dyn) *row = library->l_ld; row->d_tag != DT_NULL; row++) {
        if (row->d_tag == DT_JMPREL)
            jumps = row->d_un.d_ptr;
        else if (row->d_tag == DT_PLTRELSZ)
            jumps_size = row->d_un.d_val;
        else if (row->d_tag == DT_RELA)
            relocations = row->d_un.d_ptr;
        else if (row->d_tag == DT_RELASZ)
            relocations_size = row->d_un.d_val;
        else if (row->d_tag == DT_SYMTAB)
            symbols = (const ElfW(Sym) *)row->d_un.d_ptr;
        else if (row->d_tag == DT_STRTAB)
            names = (const char *)row->d_un.d_ptr;
    }
    return symbols != NULL && names != NULL &&
           table_patch(library, jumps, jumps_size, symbols, names, &done) &&
           table_patch(library, relocations, relocations_size, symbols, names, &done) &&
           done == (1U << sizeof replacements / sizeof *replacements) - 1;
}

/* --- binding ----------------------------------------------------------------------------------------------
 */

bool unwind_start(unsigned one_in) {
    struct dl_find_object ours;
    struct link_map *map = NULL;
    void *library = one_in > 0 ? dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL) : NULL;
    void *function = library != NULL ? dlsym(library, "unw_backtrace") : NULL;
    if (function == NULL || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 ||
        _dl_find_object(&unwind_one_in, &ours) != 0 || !imports_patch(map) || !stacks_begin())
        return false;
    memcpy(&backtrace_of, &function, sizeof function);
    ours_low = (uintptr_t)ours.dlfo_map_start;
    ours_high = (uintptr_t)ours.dlfo_map_end;
    unwind_one_in = one_in;
    trace_scopes = true;
    return true;
}

void unwind_forked(bool alone) {
    if (!alone)
        unwind_one_in = 0;
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

/* Which one is looked at: each thread counts for itself. */
static bool turn_has_come(void) {
    static _Thread_local unsigned count;
    if (++count < unwind_one_in)
        return false;
    count = 0;
    return true;
}

static bool is_ours(const void *address) {
    return (uintptr_t)address >= ours_low && (uintptr_t)address < ours_high;
}

const void *unwind_sample(const void *site) {
    void *frames[OURS_AT_MOST + STACK_FRAMES];
    if (!turn_has_come() || kernel_shut)
        return site;
    int error = errno;
    int count = backtrace_of(frames, OURS_AT_MOST + STACK_FRAMES);
    errno = error;
    void **first = frames, **end = frames + (count > 0 ? count : 0);
    while (first < end && is_ours(*first))
        first++;
    size_t kept = (size_t)(end - first);
    /* cppcheck-suppress knownConditionTrueFalse ; it knows but one way out of the loop. */
    uint16_t number = stack_add(first, (unsigned)(kept < STACK_FRAMES ? kept : STACK_FRAMES));
    return number != 0 ? (const void *)(uintptr_t)number : site;
}
