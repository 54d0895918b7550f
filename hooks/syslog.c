/* syslog: what a program logs there carries the context, too (H30). */
#include "gate.h"

#include <stdarg.h>

/* A priority that is masked out is none of libc's business either: it does not look at the format. */
static bool is_logged(int priority) {
    return annotate_syslog && (setlogmask(0) & LOG_MASK(LOG_PRI(priority))) != 0;
}

static void log_plain(int priority, const char *format, va_list arguments) {
    if (!is_logged(priority)) {
        REAL(vsyslog)(priority, format, arguments);
        return;
    }
    char room[SYSLOG_FORMAT];
    REAL(vsyslog)(priority, annotate_syslog_format(format, false, room), arguments);
}

static void log_fortified(int priority, int flag, const char *format, va_list arguments) {
    if (!is_logged(priority)) {
        REAL(__vsyslog_chk)(priority, flag, format, arguments);
        return;
    }
    char room[SYSLOG_FORMAT];
    REAL(__vsyslog_chk)(priority, flag, annotate_syslog_format(format, flag > 0, room), arguments);
}

GATED_HOOK(void, vsyslog, (int priority, const char *format, va_list arguments)) {
    frame_settle(HERE);
    log_plain(priority, format, arguments);
}

GATED_HOOK(void, syslog, (int priority, const char *format, ...)) {
    va_list arguments;
    frame_settle(HERE);
    va_start(arguments, format);
    log_plain(priority, format, arguments);
    va_end(arguments);
}

GATED_HOOK(void, __vsyslog_chk, (int priority, int flag, const char *format, va_list arguments)) {
    frame_settle(HERE);
    log_fortified(priority, flag, format, arguments);
}

GATED_HOOK(void, __syslog_chk, (int priority, int flag, const char *format, ...)) {
    va_list arguments;
    frame_settle(HERE);
    va_start(arguments, format);
    log_fortified(priority, flag, format, arguments);
    va_end(arguments);
}
