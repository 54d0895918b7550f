/* Seeds of the binary formats, which nobody wants to write by hand: `seeds record|core|elf` writes one on
 * stdout. The core file is of a process that has the shim and two threads, one of them in an operation of a
 * root. */
#include "../../shim/census.h"
#include "../../shim/record.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/procfs.h>

static char bytes[1 << 16];
static size_t used;

static void *put(size_t size) {
    void *at = bytes + used;
    used += (size + 7) / 8 * 8;
    return at;
}

/* --- a record ------------------------------------------------------------------------------------------ */

static void make_record(void) {
    struct record_header *header = put(sizeof *header);
    memcpy(header->mark, RECORD_MARK, sizeof RECORD_MARK);
    header->version = RECORD_VERSION;
    header->pid = 42;
    header->size = RECORD_SIZE;
    strcpy(header->exe, "/usr/sbin/server");
    struct record_module *module = put(sizeof *module + 32);
    module->entry = (struct record_entry){sizeof *module + 32, RECORD_MODULE};
    module->number = 1;
    module->build_id_size = RECORD_BUILD_ID;
    strcpy(module->path, "/nonexistent/server");
    struct record_stack *stack = put(sizeof *stack + 2 * sizeof *stack->frame);
    stack->entry = (struct record_entry){sizeof *stack + 2 * sizeof *stack->frame, RECORD_STACK};
    stack->number = 70;
    stack->frames = 2;
    stack->frame[0] = (struct record_place){1, 0, 0x1234};
    stack->frame[1] = (struct record_place){0, 0, 0x5678};
    struct record_leak *leak = put(sizeof *leak + 64);
    static const char texts[] = "conn#1 req#2\0worker\0fd 7\0because";
    leak->entry = (struct record_entry){sizeof *leak + 64, RECORD_LEAK};
    leak->kind = LEAK_RETAINED;
    leak->stack = 70;
    leak->place = (struct record_place){1, 0, 0x99};
    leak->other = (struct record_place){1, 0, 0x55};
    leak->count = 3;
    leak->age = 1000;
    memcpy(leak->texts, texts, sizeof texts);
    header->used = used;
}

/* --- a core file --------------------------------------------------------------------------------------- */

enum { MEMORY = 0x10000 }; /* where the one segment lies, which is the library's mapping too */

struct memory_image {
    struct census census;
    struct thread *newest;
    struct thread threads[2];
    struct context root, operation;
    char word[16];
};

static void *address_of(const struct memory_image *image, const void *part) {
    return (void *)(uintptr_t)(MEMORY + ((const char *)part - (const char *)image));
}

static void *put_note(unsigned type, size_t size) {
    Elf64_Nhdr *note = put(sizeof *note + 8);
    *note = (Elf64_Nhdr){5, (Elf64_Word)size, type};
    strcpy((char *)(note + 1), "CORE");
    used -= sizeof *note % 8;
    return put(size);
}

static void make_memory(struct memory_image *image) {
    memcpy(image->census.mark, CENSUS_MARK, sizeof CENSUS_MARK);
    image->census.layout = CENSUS_LAYOUT;
    image->census.records = address_of(image, &image->newest);
    image->newest = address_of(image, &image->threads[0]);
    for (int i = 0; i < 2; i++) {
        image->threads[i].tid = 42 + i;
        image->threads[i].flow.serial = 1 + (uint64_t)i;
    }
    image->threads[0].next = address_of(image, &image->threads[1]);
    image->threads[0].flow.current = address_of(image, &image->operation);
    image->threads[0].depth = 1;
    strcpy(image->word, "conn#");
    image->root.serial = 7;
    image->root.kind = CONTEXT_ROOT;
    image->root.root.word = address_of(image, image->word);
    image->root.root.number = 3;
    image->operation.serial = 8;
    image->operation.kind = CONTEXT_OPERATION;
    image->operation.parent = address_of(image, &image->root);
    strcpy(image->operation.text, "an operation");
}

static void make_core(void) {
    Elf64_Ehdr *header = put(sizeof *header);
    Elf64_Phdr *parts = put(2 * sizeof *parts);
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_ident[EI_VERSION] = EV_CURRENT;
    header->e_type = ET_CORE;
    header->e_machine = EM_X86_64;
    header->e_version = EV_CURRENT;
    header->e_phoff = sizeof *header;
    header->e_ehsize = sizeof *header;
    header->e_phentsize = sizeof *parts;
    header->e_phnum = 2;
    parts[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = used, .p_align = 4};
    for (int i = 0; i < 2; i++) {
        struct elf_prstatus *status = put_note(NT_PRSTATUS, sizeof *status);
        status->pr_pid = 42 + i;
    }
    static const char path[] = "/usr/lib/libctxshim.so";
    uint64_t *files = put_note(NT_FILE, 5 * sizeof *files + sizeof path);
    files[0] = 1;
    files[1] = 4096;
    files[2] = MEMORY;
    files[3] = MEMORY + sizeof(struct memory_image);
    memcpy(files + 5, path, sizeof path);
    parts[0].p_filesz = used - parts[0].p_offset;
    used = (used + 15) / 16 * 16;
    parts[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                            .p_offset = used,
                            .p_vaddr = MEMORY,
                            .p_filesz = (sizeof(struct memory_image) + 4095) / 4096 * 4096,
                            .p_memsz = (sizeof(struct memory_image) + 4095) / 4096 * 4096};
    make_memory(put(parts[1].p_filesz));
}

/* --- an image ------------------------------------------------------------------------------------------ */

static void make_elf(void) {
    static const char interpreter[] = "/lib64/ld-linux-x86-64.so.2", names[] = "\0libctxshim.so.0";
    Elf64_Ehdr *header = put(sizeof *header);
    Elf64_Phdr *parts = put(3 * sizeof *parts);
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_type = ET_DYN;
    header->e_machine = EM_X86_64;
    header->e_phoff = sizeof *header;
    header->e_phentsize = sizeof *parts;
    header->e_phnum = 3;
    parts[0] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = used, .p_filesz = sizeof interpreter};
    memcpy(put(sizeof interpreter), interpreter, sizeof interpreter);
    Elf64_Dyn dynamic[] = {{DT_STRTAB, {used}}, {DT_NEEDED, {1}}, {DT_NULL, {0}}};
    memcpy(put(sizeof names), names, sizeof names);
    parts[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC, .p_offset = used, .p_filesz = sizeof dynamic};
    memcpy(put(sizeof dynamic), dynamic, sizeof dynamic);
    parts[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_filesz = used, .p_memsz = used};
}

int main(int count, char **arguments) {
    const char *what = count == 2 ? arguments[1] : "";
    if (strcmp(what, "record") == 0)
        make_record();
    else if (strcmp(what, "core") == 0)
        make_core();
    else if (strcmp(what, "elf") == 0)
        make_elf();
    else
        return 2;
    return fwrite(bytes, 1, used, stdout) == used ? 0 : 1;
}
