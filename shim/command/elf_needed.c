/* Which libraries an image asks for. As in elf_image.c nothing is believed before it is checked: what makes
 * no sense is not there. */
#include "elf_image.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

enum { PARTS_AT_MOST = 256, ENTRIES_AT_MOST = 4096, NAME_ROOM = 64 };

struct image {
    int fd;
    ElfW(Phdr) parts[PARTS_AT_MOST];
    unsigned count;
};

static bool read_at(int fd, void *buffer, size_t size, uint64_t offset) {
    return offset <= INT64_MAX && pread(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

static bool read_parts(struct image *image) {
    ElfW(Ehdr) header;
    if (!read_at(image->fd, &header, sizeof header, 0) || header.e_phentsize != sizeof *image->parts ||
        header.e_phnum > PARTS_AT_MOST)
        return false;
    image->count = header.e_phnum;
    return read_at(image->fd, image->parts, header.e_phnum * sizeof *image->parts, header.e_phoff);
}

/* Where in the file the byte at an address is; UINT64_MAX: nowhere. */
static uint64_t offset_of(const struct image *image, uint64_t address) {
    for (const ElfW(Phdr) *part = image->parts; part < image->parts + image->count; part++)
        if (part->p_type == PT_LOAD && address >= part->p_vaddr && address - part->p_vaddr < part->p_filesz)
            return part->p_offset + (address - part->p_vaddr);
    return UINT64_MAX;
}

static bool name_begins(const struct image *image, uint64_t offset, const char *prefix) {
    char name[NAME_ROOM];
    size_t length = strlen(prefix);
    return length <= sizeof name && read_at(image->fd, name, length, offset) &&
           memcmp(name, prefix, length) == 0;
}

/* Two passes over the dynamic section: the names lie where one of its entries says. */
static bool needs(const struct image *image, const ElfW(Phdr) * dynamic, const char *prefix) {
    uint64_t names = UINT64_MAX;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < ENTRIES_AT_MOST && (i + 1) * sizeof(ElfW(Dyn)) <= dynamic->p_filesz; i++) {
            ElfW(Dyn) entry;
            if (!read_at(image->fd, &entry, sizeof entry, dynamic->p_offset + i * sizeof entry))
                return false;
            if (pass == 0 && entry.d_tag == DT_STRTAB)
                names = offset_of(image, entry.d_un.d_ptr);
            if (pass == 1 && names != UINT64_MAX && entry.d_tag == DT_NEEDED &&
                name_begins(image, names + entry.d_un.d_val, prefix))
                return true;
        }
    return false;
}

bool elf_image_needs(int fd, const char *prefix) {
    struct image image = {.fd = fd};
    if (!read_parts(&image))
        return false;
    for (unsigned i = 0; i < image.count; i++)
        if (image.parts[i].p_type == PT_DYNAMIC)
            return needs(&image, &image.parts[i], prefix);
    return false;
}
