/* Reading ELF headers defensively: sizes and offsets are held against the file's size before use, and what
 * the kernel would not take (too many program headers, an unterminated PT_INTERP) is not taken here. */
#include "elf_image.h"

#include <elf.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux reads no larger table of program headers. */
#define HEADERS_MAX 65536

/* The headers of both classes, brought to the larger. */
struct program_table {
    uint64_t offset;
    uint16_t entry_size;
    uint16_t count;
};

struct segment {
    uint32_t type;
    uint64_t offset;
    uint64_t size; /* in the file */
};

static bool read_at(int fd, void *buffer, size_t size, uint64_t offset) {
    return offset <= INT64_MAX && pread(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

static bool inside(uint64_t offset, uint64_t size, uint64_t file_size) {
    return offset <= file_size && size <= file_size - offset;
}

/* The file header from e_type on differs in byte order alone, the rest in class. */
static bool read_header(int fd, struct elf_image *image, struct program_table *table) {
    if (image->kind.class == ELFCLASS64) {
        Elf64_Ehdr header;
        if (!read_at(fd, &header, sizeof header, 0))
            return false;
        *table = (struct program_table){header.e_phoff, header.e_phentsize, header.e_phnum};
        image->type = header.e_type;
        image->kind.machine = header.e_machine;
    } else {
        Elf32_Ehdr header;
        if (!read_at(fd, &header, sizeof header, 0))
            return false;
        *table = (struct program_table){header.e_phoff, header.e_phentsize, header.e_phnum};
        image->type = header.e_type;
        image->kind.machine = header.e_machine;
    }
    return true;
}

static bool read_segment(int fd, uint64_t offset, unsigned char class, struct segment *segment) {
    if (class == ELFCLASS64) {
        Elf64_Phdr header;
        if (!read_at(fd, &header, sizeof header, offset))
            return false;
        *segment = (struct segment){header.p_type, header.p_offset, header.p_filesz};
    } else {
        Elf32_Phdr header;
        if (!read_at(fd, &header, sizeof header, offset))
            return false;
        *segment = (struct segment){header.p_type, header.p_offset, header.p_filesz};
    }
    return true;
}

static bool read_interpreter(int fd, const struct segment *segment, struct elf_image *image) {
    if (segment->size < 2 || segment->size > sizeof image->interpreter)
        return false;
    if (!read_at(fd, image->interpreter, segment->size, segment->offset))
        return false;
    return image->interpreter[segment->size - 1] == '\0' && image->interpreter[0] != '\0';
}

static bool note_segment(int fd, const struct segment *segment, uint64_t file_size, struct elf_image *image) {
    switch (segment->type) {
    case PT_LOAD:
        image->whole = image->whole && inside(segment->offset, segment->size, file_size);
        return true;
    case PT_DYNAMIC:
        image->dynamic = true;
        return true;
    case PT_INTERP: /* the first one counts */
        return image->interpreter[0] || read_interpreter(fd, segment, image);
    default:
        return true;
    }
}

static enum elf_verdict read_segments(int fd, const struct program_table *table, struct elf_image *image) {
    struct stat status;
    size_t entry = image->kind.class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    size_t size = entry * table->count;
    if (fstat(fd, &status) != 0 || table->entry_size != entry || size > HEADERS_MAX)
        return ELF_BROKEN;
    if (!inside(table->offset, size, (uint64_t)status.st_size))
        return ELF_BROKEN;
    image->whole = true;
    for (uint16_t i = 0; i < table->count; i++) {
        struct segment segment;
        if (!read_segment(fd, table->offset + i * entry, image->kind.class, &segment) ||
            !note_segment(fd, &segment, (uint64_t)status.st_size, image))
            return ELF_BROKEN;
    }
    return ELF_GOOD;
}

enum elf_verdict elf_image_read(int fd, struct elf_image *image) {
    unsigned char ident[EI_NIDENT];
    struct program_table table;
    const unsigned char own_order = G_BYTE_ORDER == G_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;

    memset(image, 0, sizeof *image);
    if (!read_at(fd, ident, SELFMAG, 0) || memcmp(ident, ELFMAG, SELFMAG) != 0)
        return ELF_FOREIGN;
    if (!read_at(fd, ident, sizeof ident, 0))
        return ELF_BROKEN;
    image->kind.class = ident[EI_CLASS];
    image->kind.order = ident[EI_DATA];
    if (image->kind.class != ELFCLASS32 && image->kind.class != ELFCLASS64)
        return ELF_BROKEN;
    if (image->kind.order != ELFDATA2LSB && image->kind.order != ELFDATA2MSB)
        return ELF_BROKEN;
    if (!read_header(fd, image, &table))
        return ELF_BROKEN;
    if (image->kind.order == own_order)
        return read_segments(fd, &table, image);
    image->type = GUINT16_SWAP_LE_BE(image->type);
    image->kind.machine = GUINT16_SWAP_LE_BE(image->kind.machine);
    image->whole = image->dynamic = true;
    return ELF_GOOD;
}

bool elf_kind_equal(const struct elf_kind *one, const struct elf_kind *other) {
    return one->class == other->class && one->order == other->order && one->machine == other->machine;
}

char *elf_kind_name(const struct elf_kind *kind) {
    static const struct {
        uint16_t machine;
        const char *name;
    } machines[] = {
        {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "ARM"},      {EM_AARCH64, "AArch64"},
        {EM_PPC, "PowerPC"}, {EM_PPC64, "PowerPC"}, {EM_RISCV, "RISC-V"}, {EM_S390, "S/390"},
        {EM_MIPS, "MIPS"},   {EM_SPARCV9, "SPARC"}, {EM_ALPHA, "Alpha"},  {EM_LOONGARCH, "LoongArch"},
    };
    const char *bits = kind->class == ELFCLASS64 ? "64-bit" : "32-bit";
    const char *order = kind->order == ELFDATA2MSB ? " big-endian" : "";
    for (gsize i = 0; i < G_N_ELEMENTS(machines); i++)
        if (machines[i].machine == kind->machine)
            return g_strdup_printf("%s %s%s", bits, machines[i].name, order);
    return g_strdup_printf("%s machine 0x%x%s", bits, kind->machine, order);
}
