/* What a running process retains right now: nobody has noted that yet. */
#ifndef CTXSHIM_COMMAND_SURVEY_H
#define CTXSHIM_COMMAND_SURVEY_H

#include "record_file.h"
#include "target.h"

struct census;

/* Adds it to the process's record, in groups as those that the shim makes: the same kind of holder, left
 * there at the same place. */
void survey_add(struct record *record, struct target *target, const struct census *census);

#endif
