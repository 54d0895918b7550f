/* How a hook is made. To interpose one more function:
 *
 *   1. Add its row to hooks.def, in its family.
 *   2. If no system header declares it (fortified names), declare it in fortified.h.
 *   3. Write its body in the family's file:
 *
 *          HOOK(ssize_t, read, (int fd, void *buffer, size_t size)) {
 *              struct passage passage = rules_read_begin(fd, HERE);         capture
 *              ssize_t result = REAL(read)(fd, buffer, size);               the real call
 *              ...rules_read_end(&passage, result, ...);                    adopt
 *              return result;
 *          }
 *
 *      A hook that only annotations need goes behind a gate, and is nothing but a jump without them (gate.h).
 *
 *   4. Decide nothing in it. What a call means for contexts is a rule of flow, and lives in shim/.
 *
 * A row without a body does not link, a body without a row does not compile, nor does one whose
 * signature differs from the system's. Hooks are of default visibility, and unversioned but where libc has an
 * older function of the same name (versions.h): under another version they would link and silently not
 * interpose. */
#ifndef HOOKS_HOOK_H
#define HOOKS_HOOK_H

#include "../shim/rules.h"
#include "bind.h"
#include "fortified.h"

#include <aio.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <syslog.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>
#include <wchar.h>

/* What nobody ought to use any longer is interposed all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* The real functions: what the next object in the lookup order has. */
struct hooks_real {
#define HOOK_ROW(name, family, rules) __typeof__(name) *name;
#include "hooks.def"
#undef HOOK_ROW
};
extern struct hooks_real hooks_real;

#if defined(__x86_64__)
extern void *hook_real_vfork;   /* where vfork's jump leads (fork.c) */
extern void *hook_real_syscall; /* and syscall's (syscall.c) */
#endif

enum hook_row {
#define HOOK_ROW(name, family, rules) hook_row_##name,
#include "hooks.def"
#undef HOOK_ROW
    HOOK_ROWS
};

#define REAL(name)                                                                                           \
    (__builtin_expect(hooks_real.name != NULL, 1) ? hooks_real.name : (hooks_bind(), hooks_real.name))

#define HOOK(type, name, parameters)                                                                         \
    extern const enum hook_row hook_body_##name;                                                             \
    const enum hook_row hook_body_##name = hook_row_##name;                                                  \
    __attribute__((visibility("default"))) type name parameters

#define BOUND(name) __builtin_expect(hooks_real.name != NULL, 1)

/* Stands apart from a hook, so that its usual case is a jump to the real function and needs no stack. */
#define APART __attribute__((noinline)) static

/* One buffer, as the rules take them. */
#define ONE_BUFFER(buffer, size) (&(struct iovec){(void *)(uintptr_t)(buffer), (size)}), 1

/* The address in a parameter that libc's headers may make a union of pointers to each kind. */
static inline const void *any_address(const void *parameter) {
    const void *address;
    __builtin_memcpy(&address, parameter, sizeof address);
    return address;
}
#define ANY_ADDRESS(parameter) any_address(&(parameter))

#endif
