/* The words in which the command and the debugger say what the shim's records say in numbers. An index past
 * the end, or without a word, has none. */
#ifndef CTXSHIM_COMMAND_WORDS_H
#define CTXSHIM_COMMAND_WORDS_H

#include "../openfile.h"
#include "../provenance.h"

/* By enum evidence. */
static const char *const evidences[] = {
#define EVIDENCE_WORD(name, word) [name] = word,
    EVIDENCES(EVIDENCE_WORD)
#undef EVIDENCE_WORD
};

/* By enum file_kind: over what it came. */
static const char *const carriers[] = {
    [FILE_PLAIN] = "registration", [FILE_LISTENER] = "listener", [FILE_CONNECTION] = "connection",
    [FILE_OUTBOUND] = "outbound",  [FILE_EVENTFD] = "eventfd",   [FILE_TIMERFD] = "timerfd",
    [FILE_EPOLL] = "epoll",        [FILE_PIPE] = "pipe",         [FILE_DATAGRAM] = "datagram",
    [FILE_STRANGER] = "stranger",
};

#endif
