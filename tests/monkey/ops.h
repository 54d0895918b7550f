/* Every operation. Each throws the dice for what it does, and tells what came of it. */
#ifndef TESTS_MONKEY_OPS_H
#define TESTS_MONKEY_OPS_H

#include "../../hooks/fortified.h"
#include "monkey.h"

/* ThreadSanitizer knows no threads and locks of C's, none of the newest functions, no threads that libc
 * starts, of a fork child not that it is alone, and of one that is cancelled not what it has locked. */
#ifdef __SANITIZE_THREAD__
#    define UNDER_TSAN true
#else
#    define UNDER_TSAN false
#endif
#ifdef __SANITIZE_ADDRESS__
#    define UNDER_ASAN true
#else
#    define UNDER_ASAN false
#endif

#define OPERATION(name, weight, where) void name(void);
#include "ops.def"
#undef OPERATION

#endif
