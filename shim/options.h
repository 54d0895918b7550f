/* The options of this process, as CTXSHIM_OPTIONS had them at start-up (H23: read once). */
#ifndef SHIM_OPTIONS_H
#define SHIM_OPTIONS_H

enum { OPTION_LIST_ROOM = 1024, OPTION_TEXT_ROOM = 512 };

#define FLAG(name, default, help) int name;
#define CHOICE(name, default, words, help) int name;
#define NUMBER(name, default, most, help) int name;
#define TEXT(name, help) char name[OPTION_TEXT_ROOM];
#define LIST(name, help) char name[OPTION_LIST_ROOM];
struct options {
#include "options.def"
};
#undef FLAG
#undef CHOICE
#undef NUMBER
#undef TEXT
#undef LIST

enum annotate_format { ANNOTATE_PREFIX, ANNOTATE_JSON };
enum dispatch { DISPATCH_AUTO, DISPATCH_EXACT, DISPATCH_BATCH };

/* Written by options_read alone, before the program's main; constant afterwards. */
extern struct options options;

/* Sets the defaults, then reads `text` (may be NULL): key=value pairs separated by any of ": ," and
 * white space; a value may be quoted with " or '. Calls `warn` with the key (or the value, when `of`
 * names its key) of each that is not known. */
void options_read(const char *text, void (*warn)(const char *what, const char *of));

/* Writes the table of options with `line`, one option a call. */
void options_help(void (*line)(const char *name, const char *values, const char *help));

#endif
