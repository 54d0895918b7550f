/* The memory of another process, as it runs or as a core file keeps it: read, and nothing else. The process
 * is not stopped, signalled or loaded with anything. */
#ifndef CTXSHIM_COMMAND_TARGET_H
#define CTXSHIM_COMMAND_TARGET_H

#include "../../ctxstore/peek.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct target;

/* A thread, as the kernel knows it. */
struct task {
    int tid;    /* here */
    int inside; /* in the process's own pid namespace */
    char *name; /* "" when it is not known */
};

/* A part of the address space that is a file's. */
struct mapping {
    uint64_t start, end; /* addresses */
    uint64_t offset;     /* in the file, bytes */
    char *path;
};

/* Each returns NULL with `error` set to one line that names the cause and the way out. */
struct target *target_process(int pid, GError **error);
struct target *target_core(const char *path, GError **error);
/* A number is a pid, anything else a core file. */
struct target *target_open(const char *subject, GError **error);
void target_free(struct target *target);

/* Copies `size` bytes; false when they cannot be read, all of them. */
bool target_read(const struct target *target, uint64_t address, void *to, size_t size);
/* The same for the store's own readers. */
const struct memory *target_memory(const struct target *target);
/* What the process has mapped, in struct mapping; and its threads, in struct task. Both belong to `target`.
 */
const GArray *target_mappings(const struct target *target);
/* The threads as of now: asked anew at each call. */
const GArray *target_tasks(struct target *target);
/* CLOCK_MONOTONIC where it can be compared with the process's own, in nanoseconds; 0: a core file. */
uint64_t target_clock(const struct target *target);

GQuark target_error(void);

#endif
