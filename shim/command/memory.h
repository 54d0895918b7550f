/* The memory of another process, as it runs or as a core file keeps it: read, and nothing else. The process
 * is not stopped, signalled or loaded with anything. */
#ifndef CTXSHIM_COMMAND_MEMORY_H
#define CTXSHIM_COMMAND_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct memory;

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
struct memory *memory_of_process(int pid, GError **error);
struct memory *memory_of_core(const char *path, GError **error);
void memory_free(struct memory *memory);

/* Copies `size` bytes; false when they cannot be read, all of them. */
bool memory_read(const struct memory *memory, uint64_t address, void *to, size_t size);
/* What the process has mapped, in struct mapping; and its threads, in struct task. Both belong to `memory`.
 */
const GArray *memory_mappings(const struct memory *memory);
/* The threads as of now: asked anew at each call. */
const GArray *memory_tasks(struct memory *memory);
/* CLOCK_MONOTONIC where it can be compared with the process's own, in nanoseconds; 0: a core file. */
uint64_t memory_clock(const struct memory *memory);

GQuark memory_error(void);

#endif
