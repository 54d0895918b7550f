/* Gates: see gate.h. */
#include "gate.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#define HOOK_ROW(name, family, rules)
#define GATED_ROW(name, family, rules) extern struct gate gate_##name;
#include "hooks.def"

static struct gate *const gates[] = {
#define GATED_ROW(name, family, rules) &gate_##name,
#include "hooks.def"
};
#undef HOOK_ROW

/* The addresses of an object, from the headers at its base. Asking dl_iterate_phdr would ask a sanitizer's.
 */
struct extent {
    uintptr_t low, high;
};

static struct extent extent_of(const void *inside) {
    struct extent extent = {0, 0};
    Dl_info object;
    if (dladdr(inside, &object) == 0)
        return extent;
    const ElfW(Ehdr) *header = object.dli_fbase;
    const ElfW(Phdr) *part = (const void *)((const char *)object.dli_fbase + header->e_phoff);
    extent.low = (uintptr_t)object.dli_fbase;
    for (unsigned i = 0; i < header->e_phnum; i++, part++)
        if (part->p_type == PT_LOAD && extent.low + part->p_vaddr + part->p_memsz > extent.high)
            extent.high = extent.low + part->p_vaddr + part->p_memsz;
    return extent;
}

static gate_function *real_of(enum hook_row row) {
    gate_function *real;
    memcpy(&real, (const char *)&hooks_real + row * sizeof real, sizeof real);
    return real;
}

void hooks_gates(bool used) {
    struct extent libc = {0, 0};
    if (used)
        libc = extent_of(dlsym(RTLD_NEXT, "gnu_get_libc_version"));
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        gate_function *real = real_of(gates[i]->row);
        bool libcs = (uintptr_t)real >= libc.low && (uintptr_t)real < libc.high;
        gates[i]->target = used && libcs ? gates[i]->body : real;
    }
}
