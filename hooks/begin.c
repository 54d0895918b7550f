/* Where main begins: the last moment before the program's own code at which libraries may be loaded. In our
 * constructor that must not be done: it runs first of all (-z initfirst), and the loader would begin libc
 * from there, without the arguments and the environment that it then never gets.
 *
 * There is one implementation behind both of the symbol's versions, so either is served. */
#include "../shim/start.h"
#include "hook.h"

HOOK(int, __libc_start_main,
     (int (*program)(int, char **, char **), int argc, char **argv, void (*begin)(void), void (*end)(void),
      void (*loader_end)(void), void *stack_end)) {
    shim_begins_main();
    return REAL(__libc_start_main)(program, argc, argv, begin, end, loader_end, stack_end);
}
