/* H21: a process that shuts itself in with a filter of system calls. From then on we ask nothing of the
 * kernel; what contexts need more memory for stays empty. */
#include "hook.h"

#include <stdarg.h>

HOOK(int, prctl, (int option, ...)) {
    va_list arguments;
    va_start(arguments, option);
    unsigned long a = va_arg(arguments, unsigned long), b = va_arg(arguments, unsigned long);
    unsigned long c = va_arg(arguments, unsigned long), d = va_arg(arguments, unsigned long);
    va_end(arguments);
    bool open_before = option == PR_SET_SECCOMP && process_shut(true);
    int result = REAL(prctl)(option, a, b, c, d);
    if (result != 0 && open_before)
        process_shut(false);
    return result;
}
