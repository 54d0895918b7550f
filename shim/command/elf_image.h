/* What an ELF file says about itself in its headers: as much as the kernel and the loader go by. */
#ifndef CTXSHIM_COMMAND_ELF_IMAGE_H
#define CTXSHIM_COMMAND_ELF_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum elf_verdict {
    ELF_GOOD,
    ELF_FOREIGN, /* not ELF at all */
    ELF_BROKEN,  /* ELF by its first bytes, but its headers are cut short or make no sense */
};

/* Whom an image is for: two images can share a process when these are equal. */
struct elf_kind {
    unsigned char class; /* ELFCLASS32 or ELFCLASS64 */
    unsigned char order; /* ELFDATA2LSB or ELFDATA2MSB */
    uint16_t machine;    /* EM_… */
};

struct elf_image {
    struct elf_kind kind;
    uint16_t type;              /* ET_… */
    bool whole;                 /* every loaded segment's bytes are in the file */
    bool dynamic;               /* it has a dynamic section */
    char interpreter[PATH_MAX]; /* PT_INTERP, or "" */
};

/* Reads the headers of the file open at `fd`, by pread. Any file will do, also a hostile one: nothing in it
 * is believed before it is checked. With ELF_GOOD `image` is filled, but of an image of the other byte order
 * only the kind and the type are read, and the rest is taken as good. */
enum elf_verdict elf_image_read(int fd, struct elf_image *image);

/* Does an image of our own class and byte order ask the loader for a library whose name begins so? False also
 * where that cannot be told. */
bool elf_image_needs(int fd, const char *prefix);

bool elf_kind_equal(const struct elf_kind *one, const struct elf_kind *other);

/* For people: "64-bit x86-64". To be freed with g_free. */
char *elf_kind_name(const struct elf_kind *kind);

#endif
