/* Symbols: see symbols.h. Each file is opened once, when it is first asked for. */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct symbols {
    Dwfl *dwfl;
    GHashTable *modules; /* path -> Dwfl_Module, or NULL for one that cannot be had */
};

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

struct symbols *symbols_new(void) {
    struct symbols *symbols = g_new0(struct symbols, 1);
    symbols->dwfl = dwfl_begin(&callbacks);
    symbols->modules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return symbols;
}

void symbols_free(struct symbols *symbols) {
    g_hash_table_unref(symbols->modules);
    dwfl_end(symbols->dwfl);
    g_free(symbols);
}

/* Is it still the file that was loaded then? */
static bool same_build(Dwfl_Module *module, const uint8_t *build_id, size_t id_size) {
    const unsigned char *bits;
    GElf_Addr address;
    int size = dwfl_module_build_id(module, &bits, &address);
    return id_size == 0 || size <= 0 || ((size_t)size == id_size && memcmp(bits, build_id, id_size) == 0);
}

/* A path out of a record may be anything: only regular files are looked into. */
static int open_regular(const char *path) {
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static Dwfl_Module *module_open(struct symbols *symbols, const char *path, const uint8_t *build_id,
                                size_t id_size) {
    gpointer found;
    if (g_hash_table_lookup_extended(symbols->modules, path, NULL, &found))
        return found;
    int fd = symbols->dwfl != NULL ? open_regular(path) : -1;
    Dwfl_Module *module = NULL;
    if (fd >= 0) {
        dwfl_report_begin_add(symbols->dwfl);
        module = dwfl_report_offline(symbols->dwfl, path, path, fd); /* the descriptor is its */
        dwfl_report_end(symbols->dwfl, NULL, NULL);
        if (module == NULL)
            close(fd);
    }
    GElf_Addr bias;
    if (module != NULL &&
        (dwfl_module_getelf(module, &bias) == NULL || !same_build(module, build_id, id_size)))
        module = NULL;
    g_hash_table_insert(symbols->modules, g_strdup(path), module);
    return module;
}

/* The line of an address. */
static void add_line(GString *text, Dwfl_Module *module, GElf_Addr address) {
    int number = 0;
    Dwfl_Line *line = dwfl_module_getsrc(module, address);
    const char *file = line != NULL ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (file != NULL)
        g_string_append_printf(text, " %s:%d", file, number);
}

/* A number out of a debugging entry. */
static bool attribute(Dwarf_Die *entry, unsigned name, Dwarf_Word *value) {
    Dwarf_Attribute found;
    return dwarf_attr(entry, name, &found) != NULL && dwarf_formudata(&found, value) == 0;
}

/* The public header's own functions are compiled into the program: what is asked for is the place that called
 * them. False when the address is in none of these. */
static bool add_caller(GString *text, Dwfl_Module *module, GElf_Addr address) {
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias), *scopes = NULL;
    int count = unit != NULL ? dwarf_getscopes(unit, address - bias, &scopes) : 0, ours = -1;
    for (int i = 0; i < count; i++) {
        const char *name = dwarf_diename(&scopes[i]);
        if (dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine && name != NULL &&
            g_str_has_prefix(name, "ctxshim_"))
            ours = i;
    }
    Dwarf_Files *files;
    Dwarf_Word file = 0, line = 0;
    bool found = ours >= 0 && dwarf_getsrcfiles(unit, &files, NULL) == 0 &&
                 attribute(&scopes[ours], DW_AT_call_file, &file) &&
                 attribute(&scopes[ours], DW_AT_call_line, &line);
    const char *name = dwfl_module_addrname(module, address);
    const char *path = found ? dwarf_filesrc(files, file, NULL, NULL) : NULL;
    if (path != NULL)
        g_string_append_printf(text, "%s %s:%" G_GUINT64_FORMAT, name != NULL ? name : "", path,
                               (guint64)line);
    free(scopes);
    return path != NULL;
}

char *symbols_name(struct symbols *symbols, const char *path, const uint8_t *build_id, size_t id_size,
                   uint64_t offset) {
    GString *text = g_string_new(NULL);
    Dwfl_Module *module = module_open(symbols, path, build_id, id_size);
    GElf_Addr bias = 0;
    if (module != NULL && dwfl_module_getelf(module, &bias) != NULL &&
        !add_caller(text, module, bias + offset)) {
        const char *name = dwfl_module_addrname(module, bias + offset);
        g_string_append(text, name != NULL ? name : "");
        add_line(text, module, bias + offset);
    }
    if (strchr(text->str, ':') == NULL)
        g_string_append_printf(text, "%s(%s+0x%" G_GINT64_MODIFIER "x)", text->len > 0 ? " " : "", path,
                               offset);
    return g_string_free(text, FALSE);
}
