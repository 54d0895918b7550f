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

/* The addresses of the object that has `inside`. */
struct extent {
    uintptr_t inside, low, high;
};

static int extent_find(struct dl_phdr_info *object, size_t size, void *memory) {
    struct extent *extent = memory;
    uintptr_t low = UINTPTR_MAX, high = 0;
    (void)size;
    for (const ElfW(Phdr) *part = object->dlpi_phdr; part < object->dlpi_phdr + object->dlpi_phnum; part++) {
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD)
            continue;
        low = start < low ? start : low;
        high = start + part->p_memsz > high ? start + part->p_memsz : high;
    }
    if (extent->inside < low || extent->inside >= high)
        return 0;
    extent->low = low;
    extent->high = high;
    return 1;
}

static gate_function *real_of(enum hook_row row) {
    gate_function *real;
    memcpy(&real, (const char *)&hooks_real + row * sizeof real, sizeof real);
    return real;
}

void hooks_gates(bool used) {
    struct extent libc = {.inside = (uintptr_t)dlsym(RTLD_NEXT, "gnu_get_libc_version")};
    if (used)
        dl_iterate_phdr(extent_find, &libc);
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        gate_function *real = real_of(gates[i]->row);
        bool libcs = (uintptr_t)real >= libc.low && (uintptr_t)real < libc.high;
        gates[i]->target = used && libcs ? gates[i]->body : real;
    }
}
