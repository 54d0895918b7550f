/* Another process's memory: see target.h. */
#include "target.h"

#include "core_image.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

struct target {
    struct memory memory;    /* first: its reader finds the rest by it */
    int pid;                 /* 0: a core file */
    struct core_image *core; /* NULL: a process */
    GArray *mappings;
    GArray *tasks;
};

GQuark target_error(void) {
    return g_quark_from_static_string("ctxshim-target");
}

static void mapping_clear(gpointer data) {
    g_free(((struct mapping *)data)->path);
}

static void task_clear(gpointer data) {
    g_free(((struct task *)data)->name);
}

static bool read_pieces(const struct memory *memory, const struct piece *pieces, unsigned count) {
    const struct target *target = (const struct target *)memory;
    struct iovec mine[MEMORY_PIECES], theirs[MEMORY_PIECES];
    ssize_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        mine[i] = (struct iovec){pieces[i].to, pieces[i].size};
        theirs[i] = (struct iovec){(void *)(uintptr_t)pieces[i].from, pieces[i].size};
        size += (ssize_t)pieces[i].size;
        if (target->core != NULL && !core_image_read(target->core, target->mappings,
                                                     (uintptr_t)pieces[i].from, pieces[i].to, pieces[i].size))
            return false;
    }
    return target->core != NULL || process_vm_readv(target->pid, mine, count, theirs, count, 0) == size;
}

static struct target *target_new(int pid, struct core_image *core) {
    struct target *target = g_new0(struct target, 1);
    target->pid = pid;
    target->memory.read = read_pieces;
    target->memory.pid = pid;
    target->core = core;
    target->mappings = g_array_new(FALSE, TRUE, sizeof(struct mapping));
    target->tasks = g_array_new(FALSE, TRUE, sizeof(struct task));
    g_array_set_clear_func(target->mappings, mapping_clear);
    g_array_set_clear_func(target->tasks, task_clear);
    return target;
}

void target_free(struct target *target) {
    g_array_unref(target->mappings);
    g_array_unref(target->tasks);
    if (target->core != NULL)
        core_image_free(target->core);
    g_free(target);
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

struct target *target_process(int pid, GError **error) {
    char byte;
    char *maps = proc_text(pid, "maps");
    if (maps == NULL) {
        g_set_error(error, target_error(), errno,
                    errno == EACCES ? "it is somebody else's process (%s); ask as its user or as root"
                                    : "there is no such process (%s)",
                    g_strerror(errno));
        return NULL;
    }
    struct target *target = target_new(pid, NULL);
    mappings_parse(target->mappings, maps);
    g_free(maps);
    const struct mapping *first = (const struct mapping *)(void *)target->mappings->data;
    if (target->mappings->len > 0 && target_read(target, first->start, &byte, 1))
        return target;
    g_set_error(error, target_error(), errno,
                "its memory cannot be read (%s); ask as root, or allow it: kernel.yama.ptrace_scope=0",
                target->mappings->len > 0 ? g_strerror(errno)
                                          : "it has none: a kernel thread, or it has ended");
    target_free(target);
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

static void tasks_list(struct target *target) {
    char *path = g_strdup_printf("/proc/%d/task", target->pid);
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *entry;
    while (directory != NULL && (entry = g_dir_read_name(directory)) != NULL) {
        int tid = atoi(entry);
        char *comm = g_strdup_printf("task/%d/comm", tid), *status = g_strdup_printf("task/%d/status", tid);
        char *name = proc_text(target->pid, comm), *facts = proc_text(target->pid, status);
        struct task task = {tid, inner_tid(facts, tid), name != NULL ? g_strchomp(name) : g_strdup("")};
        g_array_append_val(target->tasks, task);
        g_free(facts);
        g_free(status);
        g_free(comm);
    }
    if (directory != NULL)
        g_dir_close(directory);
    g_free(path);
    g_array_sort(target->tasks, by_tid);
}

/* --- a core file --------------------------------------------------------------------------------------- */

struct target *target_core(const char *path, GError **error) {
    struct core_image *core = core_image_open(path, error);
    if (core == NULL)
        return NULL;
    struct target *target = target_new(0, core);
    core_image_mappings(core, target->mappings);
    return target;
}

/* --- both ---------------------------------------------------------------------------------------------- */

bool target_read(const struct target *target, uint64_t address, void *to, size_t size) {
    return memory_copy(&target->memory, to, (const void *)(uintptr_t)address, size);
}

const struct memory *target_memory(const struct target *target) {
    return &target->memory;
}

const GArray *target_mappings(const struct target *target) {
    return target->mappings;
}

const GArray *target_tasks(struct target *target) {
    g_array_set_size(target->tasks, 0);
    if (target->core != NULL)
        core_image_tasks(target->core, target->tasks);
    else
        tasks_list(target);
    return target->tasks;
}

uint64_t target_clock(const struct target *target) {
    struct timespec now = {0};
    if (target->core == NULL)
        clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * G_GUINT64_CONSTANT(1000000000) + (uint64_t)now.tv_nsec;
}

struct target *target_open(const char *subject, GError **error) {
    guint64 pid;
    if (g_ascii_string_to_unsigned(subject, 10, 1, G_MAXINT, &pid, NULL))
        return target_process((int)pid, error);
    return target_core(subject, error);
}
