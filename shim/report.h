/* What is said of a scope that was not closed as it should have been (`verbose`). */
#ifndef SHIM_REPORT_H
#define SHIM_REPORT_H

#include "../ctxstore/flow.h"

/* The whole report, one line: which scope, where and by which thread it was opened, what became of it, and
 * the same of the scope around it. Cut to fit, always terminated. */
void report_text(char *buffer, size_t size, enum scope_fault fault, const struct scope_view *scope,
                 const struct scope_view *around);
/* Says it on stderr: for scope_report. */
void report_scope(enum scope_fault fault, const struct scope_view *scope, const struct scope_view *around);
/* Says on stderr that a watcher of this key sets it without end, and is not told again: for watch_report. */
void report_watch(const struct key *key);

#endif
