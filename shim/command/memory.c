/* Another process's memory: see memory.h. */
#include "memory.h"

#include "core_image.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

struct memory {
    int pid;                 /* 0: a core file */
    struct core_image *core; /* NULL: a process */
    GArray *mappings;
    GArray *tasks;
};

GQuark memory_error(void) {
    return g_quark_from_static_string("ctxshim-memory");
}

static void mapping_clear(gpointer data) {
    g_free(((struct mapping *)data)->path);
}

static void task_clear(gpointer data) {
    g_free(((struct task *)data)->name);
}

static struct memory *memory_new(int pid, struct core_image *core) {
    struct memory *memory = g_new0(struct memory, 1);
    memory->pid = pid;
    memory->core = core;
    memory->mappings = g_array_new(FALSE, TRUE, sizeof(struct mapping));
    memory->tasks = g_array_new(FALSE, TRUE, sizeof(struct task));
    g_array_set_clear_func(memory->mappings, mapping_clear);
    g_array_set_clear_func(memory->tasks, task_clear);
    return memory;
}

void memory_free(struct memory *memory) {
    g_array_unref(memory->mappings);
    g_array_unref(memory->tasks);
    if (memory->core != NULL)
        core_image_free(memory->core);
    g_free(memory);
}

/* --- a process ----------------------------------------------------------------------------------------- */

/* The text of a file in /proc, or NULL; to be freed. */
static char *proc_text(int pid, const char *file) {
    char *path = g_strdup_printf("/proc/%d/%s", pid, file), *text = NULL;
    bool got = g_file_get_contents(path, &text, NULL, NULL);
    g_free(path);
    return got ? text : NULL;
}

static void mappings_parse(GArray *mappings, const char *text) {
    char **lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        struct mapping mapping = {0};
        int path = 0;
        if (sscanf(*line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &mapping.start, &mapping.end,
                   &mapping.offset, &path) < 3 ||
            path == 0)
            continue;
        mapping.path = g_strdup(*line + path);
        g_array_append_val(mappings, mapping);
    }
    g_strfreev(lines);
}

struct memory *memory_of_process(int pid, GError **error) {
    char byte;
    char *maps = proc_text(pid, "maps");
    if (maps == NULL) {
        g_set_error(error, memory_error(), errno,
                    errno == EACCES ? "it is somebody else's process (%s); ask as its user or as root"
                                    : "there is no such process (%s)",
                    g_strerror(errno));
        return NULL;
    }
    struct memory *memory = memory_new(pid, NULL);
    mappings_parse(memory->mappings, maps);
    g_free(maps);
    const struct mapping *first = (const struct mapping *)(void *)memory->mappings->data;
    if (memory->mappings->len > 0 && memory_read(memory, first->start, &byte, 1))
        return memory;
    g_set_error(error, memory_error(), errno,
                "its memory cannot be read (%s); ask as root, or allow it: kernel.yama.ptrace_scope=0",
                memory->mappings->len > 0 ? g_strerror(errno)
                                          : "it has none: a kernel thread, or it has ended");
    memory_free(memory);
    return NULL;
}

/* The last number of the line NSpid: in the innermost namespace, which is the process's own. */
static int inner_tid(const char *status, int tid) {
    const char *line = status != NULL ? strstr(status, "\nNSpid:") : NULL;
    if (line == NULL)
        return tid;
    line += strlen("\nNSpid:");
    char *numbers = g_strndup(line, strcspn(line, "\n"));
    const char *last = strrchr(g_strstrip(numbers), '\t');
    int inner = atoi(last != NULL ? last + 1 : numbers);
    g_free(numbers);
    return inner > 0 ? inner : tid;
}

static int by_tid(gconstpointer one, gconstpointer other) {
    return ((const struct task *)one)->tid - ((const struct task *)other)->tid;
}

static void tasks_list(struct memory *memory) {
    char *path = g_strdup_printf("/proc/%d/task", memory->pid);
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *entry;
    while (directory != NULL && (entry = g_dir_read_name(directory)) != NULL) {
        int tid = atoi(entry);
        char *comm = g_strdup_printf("task/%d/comm", tid), *status = g_strdup_printf("task/%d/status", tid);
        char *name = proc_text(memory->pid, comm), *facts = proc_text(memory->pid, status);
        struct task task = {tid, inner_tid(facts, tid), name != NULL ? g_strchomp(name) : g_strdup("")};
        g_array_append_val(memory->tasks, task);
        g_free(facts);
        g_free(status);
        g_free(comm);
    }
    if (directory != NULL)
        g_dir_close(directory);
    g_free(path);
    g_array_sort(memory->tasks, by_tid);
}

/* --- a core file --------------------------------------------------------------------------------------- */

struct memory *memory_of_core(const char *path, GError **error) {
    struct core_image *core = core_image_open(path, error);
    if (core == NULL)
        return NULL;
    struct memory *memory = memory_new(0, core);
    core_image_mappings(core, memory->mappings);
    return memory;
}

/* --- both ---------------------------------------------------------------------------------------------- */

bool memory_read(const struct memory *memory, uint64_t address, void *to, size_t size) {
    if (memory->core != NULL)
        return core_image_read(memory->core, memory->mappings, address, to, size);
    struct iovec mine = {to, size}, theirs = {(void *)(uintptr_t)address, size};
    return process_vm_readv(memory->pid, &mine, 1, &theirs, 1, 0) == (ssize_t)size;
}

const GArray *memory_mappings(const struct memory *memory) {
    return memory->mappings;
}

const GArray *memory_tasks(struct memory *memory) {
    g_array_set_size(memory->tasks, 0);
    if (memory->core != NULL)
        core_image_tasks(memory->core, memory->tasks);
    else
        tasks_list(memory);
    return memory->tasks;
}

uint64_t memory_clock(const struct memory *memory) {
    struct timespec now = {0};
    if (memory->core == NULL)
        clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * G_GUINT64_CONSTANT(1000000000) + (uint64_t)now.tv_nsec;
}
