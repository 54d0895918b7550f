/* What cases about pipes and socketpairs share. */
#ifndef TESTS_BEHAVIOUR_PIPES_H
#define TESTS_BEHAVIOUR_PIPES_H

#include "case.h"

/* Writes in a context of that name alone. */
static inline void put_in(int fd, const char *name, const void *bytes, size_t size) {
    ctxshim_scope clean = ctxshim_attach(NULL), scope = ctxshim_push(name);
    REQUIRE(write(fd, bytes, size) == (ssize_t)size);
    ctxshim_pop(&scope);
    ctxshim_pop(&clean);
}

static inline void say_in(int fd, const char *name, const char *text) {
    put_in(fd, name, text, strlen(text));
}

/* Reads `size` bytes, and what is current then belongs to that reader alone. */
static inline void expect_read(int fd, size_t size, const char *expected) {
    char buffer[4096];
    EXPECT(read(fd, buffer, size) == (ssize_t)size);
    EXPECT_STACK(expected);
}

static inline void open_pipe(int ends[2], int flags) {
    REQUIRE(pipe2(ends, flags) == 0);
}

static inline void open_pair(int ends[2], int type) {
    REQUIRE(socketpair(AF_UNIX, type, 0, ends) == 0);
}

#endif
