/* Core files: see core_image.h. libelf reads them; their notes are checked here, since a core file may be
 * anybody's. */
#include "core_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

struct core_image {
    int fd;
    Elf *elf;
    size_t segments;
};

static struct core_image *refuse(struct core_image *core, GError **error, const char *why) {
    g_set_error(error, target_error(), 0, "%s", why);
    core_image_free(core);
    return NULL;
}

struct core_image *core_image_open(const char *path, GError **error) {
    struct core_image *core = g_new0(struct core_image, 1);
    GElf_Ehdr header;
    core->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (core->fd < 0)
        return refuse(core, error, g_strerror(errno));
    elf_version(EV_CURRENT);
    core->elf = elf_begin(core->fd, ELF_C_READ_MMAP, NULL);
    if (core->elf == NULL || gelf_getehdr(core->elf, &header) == NULL || header.e_type != ET_CORE)
        return refuse(core, error, "it is no core file; give a pid or a core file");
    if (gelf_getclass(core->elf) != ELFCLASS64 || elf_getphdrnum(core->elf, &core->segments) != 0)
        return refuse(core, error, "it is a core file of another kind of machine, or broken");
    return core;
}

void core_image_free(struct core_image *core) {
    elf_end(core->elf);
    if (core->fd >= 0)
        close(core->fd);
    g_free(core);
}

/* Calls `take` with each note of the core's own kind. */
static void each_note(const struct core_image *core, unsigned type,
                      void (*take)(const char *bytes, size_t size, GArray *into), GArray *into) {
    for (size_t i = 0; i < core->segments; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(core->elf, (int)i, &segment) == NULL || segment.p_type != PT_NOTE)
            continue;
        Elf_Data *data =
            elf_getdata_rawchunk(core->elf, (int64_t)segment.p_offset, segment.p_filesz, ELF_T_NHDR);
        GElf_Nhdr note;
        size_t name, at = 0, next;
        while (data != NULL && (next = gelf_getnote(data, at, &note, &name, &at)) > 0) {
            if (note.n_type == type)
                take((const char *)data->d_buf + at, note.n_descsz, into);
            at = next;
        }
    }
}

/* NT_FILE: a count and a page size, `count` times (start, end, offset in pages), then as many paths. */
static void take_files(const char *bytes, size_t size, GArray *mappings) {
    uint64_t count, page, row[3];
    if (size < 2 * sizeof count)
        return;
    memcpy(&count, bytes, sizeof count);
    memcpy(&page, bytes + sizeof count, sizeof page);
    if (count > (size - 2 * sizeof count) / sizeof row)
        return;
    const char *rows = bytes + 2 * sizeof count, *path = rows + count * sizeof row, *end = bytes + size;
    for (uint64_t i = 0; i < count && path < end; i++) {
        size_t length = strnlen(path, (size_t)(end - path));
        memcpy(row, rows + i * sizeof row, sizeof row);
        struct mapping mapping = {row[0], row[1], row[2] * page, g_strndup(path, length)};
        g_array_append_val(mappings, mapping);
        path += length + 1;
    }
}

static void take_thread(const char *bytes, size_t size, GArray *tasks) {
    struct elf_prstatus status;
    if (size < sizeof status)
        return;
    memcpy(&status, bytes, sizeof status);
    struct task task = {status.pr_pid, status.pr_pid, g_strdup("")};
    g_array_append_val(tasks, task);
}

void core_image_mappings(const struct core_image *core, GArray *mappings) {
    each_note(core, NT_FILE, take_files, mappings);
}

void core_image_tasks(const struct core_image *core, GArray *tasks) {
    each_note(core, NT_PRSTATUS, take_thread, tasks);
}

static bool read_at(int fd, void *to, size_t size, uint64_t offset) {
    return pread(fd, to, size, (off_t)offset) == (ssize_t)size;
}

/* From the file that was mapped there. */
static bool read_file(const GArray *mappings, uint64_t address, void *to, size_t size) {
    for (guint i = 0; i < mappings->len; i++) {
        const struct mapping *mapping = &g_array_index(mappings, struct mapping, i);
        if (address < mapping->start || address >= mapping->end || size > mapping->end - address)
            continue;
        struct stat facts;
        int fd = open(mapping->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        bool done = fd >= 0 && fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) &&
                    read_at(fd, to, size, mapping->offset + (address - mapping->start));
        if (fd >= 0)
            close(fd);
        return done;
    }
    return false;
}

bool core_image_read(const struct core_image *core, const GArray *mappings, uint64_t address, void *to,
                     size_t size) {
    for (size_t i = 0; i < core->segments; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(core->elf, (int)i, &segment) == NULL || segment.p_type != PT_LOAD ||
            address < segment.p_vaddr || address - segment.p_vaddr >= segment.p_filesz)
            continue;
        uint64_t within = address - segment.p_vaddr;
        return size <= segment.p_filesz - within && read_at(core->fd, to, size, segment.p_offset + within);
    }
    return read_file(mappings, address, to, size);
}
