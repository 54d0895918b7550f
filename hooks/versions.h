/* H7: functions of which libc has an older kind as well, under the same name, with another layout or meaning.
 * A program that was linked against the older kind must get libc's own.
 *
 * An unversioned hook catches references to every version. One under a version of its own catches those to a
 * version of exactly that name; and where it is the default version, those without one and dlsym's. So these
 * hooks stand under the version that came with the kind they know, and under each later one that is the same
 * function. dlsym(RTLD_NEXT) gives the default version, which is of that kind. (A node of any other name than
 * libc's own catches nothing.) An object that was linked without libc has references without a version: alone
 * it gets the older kind, and under the shim ours, so each family is here in whole. Where a system never had
 * the older kind, as on aarch64, they are unversioned like all others. */
#ifndef HOOKS_VERSIONS_H
#define HOOKS_VERSIONS_H

/* After the hook `name`; the version, a string, is a node of ../shim/ctxshim.map. The older one, when there
 * are two, is the same function by an earlier version's name: the map keeps `older_...` itself inside. */
#if defined(__x86_64__)
#    define HOOK_VERSION(name, version) HOOK_SYMVER(#    name, #    name "@@@" version)
#    define HOOK_OLDER_VERSION(name, version)                                                                \
        __asm__(".globl older_" #name "\n .type older_" #name ", %function\n .set older_" #name ", " #name); \
        HOOK_SYMVER("older_" #name, #name "@" version)
#    define HOOK_SYMVER(symbol, versioned) __asm__(".symver " symbol ", " versioned)
#else
#    define HOOK_VERSION(name, version) _Static_assert(1, version)
#    define HOOK_OLDER_VERSION(name, version) _Static_assert(1, version)
#endif

#endif
