/* Start-up. The options come first (read once, and not at all in a process that runs with somebody's raised
 * rights), then the page that tells a fork, then the main thread's record: from there on hooks work. Last,
 * the context that the process was given. */
#include "start.h"
#include "../ctxstore/kernel.h"
#include "annotate.h"
#include "environment.h"
#include "identity.h"
#include "leaks.h"
#include "options.h"
#include "otel.h"
#include "process.h"
#include "report.h"
#include "rules.h"
#include "say.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

#include <sys/auxv.h>

static void warn_unknown(const char *what, const char *of) {
    say(of == NULL
            ? (const char *[]){"ctxshim: unknown option '", what, "' is ignored; help=1 lists them all\n",
                               NULL}
            : (const char *[]){"ctxshim: option ", of, " does not know '", what,
                               "', or has no room for it, so that it is ignored; help=1 says what it takes\n",
                               NULL});
}

static void help_line(const char *name, const char *values, const char *help) {
    say((const char *[]){"  ", name, "=", values, "\n        ", help, "\n", NULL});
}

void shim_start(char *const *environment, const char *library) {
    bool trusted = getauxval(AT_SECURE) == 0;
    options_read(trusted ? environment_get(environment, "CTXSHIM_OPTIONS=") : NULL, warn_unknown);
    annotate_start();
    if (!process_start()) {
        if (options.verbose)
            say((const char *[]){"ctxshim: no memory at start-up; contexts stay empty\n", NULL});
        return;
    }
    host_code_begin = thread_pause;
    host_code_end = thread_resume;
    thread_begin_main();
    if (trusted && options.environment)
        environment_start(environment, library);
    rules_process_begins();
    identity_start();
    otel_publish();
    trace_start();
    if (options.leaks && !leaks_start())
        say((const char *[]){"ctxshim: leaks: no memory for what is found; nothing is looked for\n", NULL});
    if (options.help) {
        say((const char *[]){"CTXSHIM_OPTIONS=key=value:key=value\n", NULL});
        options_help(help_line);
    }
    if (options.verbose) {
        if (!options.leaks)
            scope_report = report_scope;
        watch_report = report_watch;
        say((const char *[]){"ctxshim: ready\n", NULL});
    }
}

void shim_begins_main(void) {
    if (options.stacks > 0 && process_started() && !unwind_start((unsigned)options.stacks))
        say((const char *[]){
            "ctxshim: stacks: libunwind.so.8 cannot be used (Debian: libunwind8); places alone are kept\n",
            NULL});
}
