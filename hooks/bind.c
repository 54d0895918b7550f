/* The table of real functions, filled with dlsym(RTLD_NEXT): whatever another preload put there stays in
 * the chain (H24). Each row names a function that this libc has, so no lookup fails, and a lookup that
 * succeeds does not allocate (H1, H2). */
#include "../shim/annotate.h"
#include "../shim/start.h"
#include "hook.h"

#include <dlfcn.h>
#include <string.h>

struct hooks_real hooks_real;

#define HOOK_ROW(name, family, rules) extern const enum hook_row hook_body_##name;
#include "hooks.def"
#undef HOOK_ROW

static const struct binding {
    const char *name;
    size_t offset;
    const enum hook_row *body; /* makes a row without a body a link error */
} bindings[] = {
#define HOOK_ROW(name, family, rules) {#name, offsetof(struct hooks_real, name), &hook_body_##name},
#include "hooks.def"
#undef HOOK_ROW
};

_Static_assert(sizeof bindings / sizeof *bindings == HOOK_ROWS, "a binding for each row");

void hooks_bind(void) {
    for (const struct binding *binding = bindings; binding < bindings + HOOK_ROWS; binding++) {
        void *function = dlsym(RTLD_NEXT, binding->name);
        memcpy((char *)&hooks_real + binding->offset, &function, sizeof function);
    }
#if defined(__x86_64__)
    memcpy(&hook_real_vfork, &hooks_real.vfork, sizeof hook_real_vfork);
    memcpy(&hook_real_syscall, &hooks_real.syscall, sizeof hook_real_syscall);
#endif
}

/* The one constructor; glibc's loader hands every one main's arguments. It runs first of all (-z initfirst),
 * before libc's own start-up. */
__attribute__((constructor)) static void start(int argc, char **argv, char **environment) {
    (void)argc;
    (void)argv;
    hooks_bind();
    Dl_info self = {0};
    dladdr(&hooks_real, &self);
    shim_start(environment, self.dli_fname != NULL ? self.dli_fname : "");
    hooks_gates(annotate_on);
}
