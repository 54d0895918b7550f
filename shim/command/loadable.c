/* What the loader would ignore without a word (H21): LD_PRELOAD is read by the dynamic loader of glibc alone,
 * which passes over libraries of another kind, and over all of them where the kernel raised secure mode. The
 * rules are those of execve(2) and ld.so(8); this only foretells them. */
#include "loadable.h"

#include "lookup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* How many scripts deep the kernel follows interpreters, and how much of a first line it reads. */
#define SCRIPT_DEPTH 5
#define SCRIPT_LINE 256

/* A file on the way to the process that will run. */
struct candidate {
    const char *path;
    const char *role; /* begins the sentence: "" or "its interpreter PATH " */
    int depth;        /* of scripts before it */
    const struct elf_kind *library;
    struct stat status;
};

static char *check_candidate(struct candidate *candidate);

/* FIFOs and devices must not make us wait; they are told by fstat. */
static int open_to_read(const char *path) {
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* ---- The library. */

static char *check_library_file(int fd, struct elf_kind *kind) {
    struct stat status;
    struct elf_image image;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return g_strdup("is not a regular file; give the path of libctxshim.so with --library=PATH");
    enum elf_verdict verdict = elf_image_read(fd, &image);
    if (verdict == ELF_BROKEN || (verdict == ELF_GOOD && !image.whole))
        return g_strdup("is damaged or cut short; build or install it again");
    if (verdict == ELF_FOREIGN || image.type != ET_DYN || !image.dynamic)
        return g_strdup("is not a shared library; give the path of libctxshim.so with --library=PATH");
    *kind = image.kind;
    return NULL;
}

char *loadable_check_library(const char *path, struct elf_kind *kind) {
    int fd = open_to_read(path);
    if (fd < 0)
        return g_strdup_printf("the library cannot be opened (%s); make it readable or give another one with "
                               "--library=PATH",
                               g_strerror(errno));
    char *refusal = check_library_file(fd, kind);
    close(fd);
    return refusal;
}

/* ---- Secure mode: the kernel sets AT_SECURE, and the loader ignores every path in LD_PRELOAD. */

static char *check_set_id(const struct candidate *candidate) {
    const struct stat *status = &candidate->status;
    const char *what = NULL;
    unsigned owner = 0;
    if ((status->st_mode & S_ISUID) && status->st_uid != getuid()) {
        what = "set-uid to user";
        owner = status->st_uid;
    } else if ((status->st_mode & S_ISGID) && (status->st_mode & S_IXGRP) && status->st_gid != getgid()) {
        what = "set-gid to group";
        owner = status->st_gid;
    }
    if (!what || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return NULL;
    return g_strdup_printf(
        "%sis %s %u, and the loader ignores LD_PRELOAD for such programs; start it as that "
        "one, or start a copy without the bit",
        candidate->role, what, owner);
}

/* Root keeps its real user id, and capabilities that it has anyway raise no secure mode. */
static char *check_capabilities(const struct candidate *candidate) {
    if (getuid() == 0 || getxattr(candidate->path, "security.capability", NULL, 0) <= 0)
        return NULL;
    return g_strdup_printf(
        "%shas file capabilities, and the loader ignores LD_PRELOAD for such programs; start "
        "it as root, or start a copy without them",
        candidate->role);
}

static char *check_secure_mode(const struct candidate *candidate) {
    struct statvfs mount;
    if (statvfs(candidate->path, &mount) == 0 && (mount.f_flag & ST_NOSUID))
        return NULL;
    char *refusal = check_set_id(candidate);
    return refusal ? refusal : check_capabilities(candidate);
}

/* ---- ELF programs. */

/* Run by hand, the loader has no interpreter either, but it does read LD_PRELOAD (H27). */
static bool is_own_loader(const struct stat *status) {
    struct elf_image own;
    struct stat loader;
    int fd = open_to_read("/proc/self/exe");
    if (fd < 0)
        return false;
    bool known = elf_image_read(fd, &own) == ELF_GOOD && stat(own.interpreter, &loader) == 0;
    close(fd);
    return known && loader.st_dev == status->st_dev && loader.st_ino == status->st_ino;
}

static bool is_other_libc(const char *interpreter) {
    static const char *const prefixes[] = {"ld-musl", "ld-uClibc", "linker"};
    const char *slash = strrchr(interpreter, '/');
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++)
        if (g_str_has_prefix(slash ? slash + 1 : interpreter, prefixes[i]))
            return true;
    return false;
}

static char *refuse_kind(const struct candidate *candidate, const struct elf_kind *kind) {
    char *program = elf_kind_name(kind);
    char *library = elf_kind_name(candidate->library);
    char *refusal =
        g_strdup_printf("%sis a program for %s, but the library is for %s; give one that was built "
                        "for it with --library=PATH",
                        candidate->role, program, library);
    g_free(program);
    g_free(library);
    return refusal;
}

static char *check_image(const struct candidate *candidate, const struct elf_image *image) {
    if (!elf_kind_equal(&image->kind, candidate->library))
        return refuse_kind(candidate, &image->kind);
    if (image->type != ET_EXEC && image->type != ET_DYN)
        return g_strdup_printf("%sis an ELF file but no program; link it first", candidate->role);
    if (!image->interpreter[0])
        return is_own_loader(&candidate->status)
                   ? NULL
                   : g_strdup_printf("%sis statically linked, so no loader will read LD_PRELOAD; link it "
                                     "dynamically",
                                     candidate->role);
    if (is_other_libc(image->interpreter))
        return g_strdup_printf(
            "%suses another libc (%s), and the library is for glibc; use a glibc build of it",
            candidate->role, image->interpreter);
    return check_secure_mode(candidate);
}

/* ---- Scripts: judged by what the kernel executes for them. Their own set-id bits count for nothing. */

static char *check_next(const struct candidate *script, const char *path, const char *role_format) {
    char *role = g_strdup_printf(role_format, path);
    struct candidate next = {
        .path = path, .role = role, .depth = script->depth + 1, .library = script->library};
    char *refusal = next.depth > SCRIPT_DEPTH ? NULL : check_candidate(&next);
    g_free(role);
    return refusal;
}

/* The program in "NAME", "-S NAME ARG…" and "-S -i VARIABLE=VALUE NAME"; to be freed. NULL if there is none.
 */
static char *env_operand(const char *argument) {
    if (!g_str_has_prefix(argument, "-S"))
        return *argument && *argument != '-' ? g_strdup(argument) : NULL;
    char *operand = NULL;
    char **words = g_strsplit_set(argument + 2, " \t", -1);
    for (char **word = words; *word && !operand; word++)
        if (**word && **word != '-' && !strchr(*word, '='))
            operand = g_strdup(*word);
    g_strfreev(words);
    return operand;
}

static char *check_env(const struct candidate *script, const char *argument) {
    char *operand = env_operand(argument);
    char *path = operand ? lookup_program(operand) : NULL;
    char *refusal = path ? check_next(script, path, "its interpreter %s ") : NULL;
    g_free(path);
    g_free(operand);
    return refusal;
}

/* `line` is what follows "#!", and is taken apart. */
static char *check_script(const struct candidate *script, char *line) {
    line[strcspn(line, "\n")] = '\0';
    char *interpreter = g_strstrip(line);
    char *argument = interpreter + strcspn(interpreter, " \t");
    if (*argument)
        *argument++ = '\0';
    if (!*interpreter)
        return NULL;
    char *refusal = check_next(script, interpreter, "its interpreter %s ");
    char *name = g_path_get_basename(interpreter);
    if (!refusal && strcmp(name, "env") == 0)
        refusal = check_env(script, g_strstrip(argument));
    g_free(name);
    return refusal;
}

static char *check_other(const struct candidate *candidate, int fd) {
    char line[SCRIPT_LINE + 1];
    ssize_t size = pread(fd, line, SCRIPT_LINE, 0);
    line[MAX(size, 0)] = '\0';
    if (line[0] == '#' && line[1] == '!')
        return check_script(candidate, line + 2);
    return g_strdup_printf("%sis neither an ELF program nor a script that begins with #!; start what should "
                           "interpret it, with it as an argument",
                           candidate->role);
}

/* ---- Both. */

static char *check_file(const struct candidate *candidate, int fd) {
    struct elf_image image;
    switch (elf_image_read(fd, &image)) {
    case ELF_GOOD:
        return check_image(candidate, &image);
    case ELF_BROKEN:
        return g_strdup_printf("%sis an ELF file that is damaged or cut short; build or install it again",
                               candidate->role);
    default:
        return check_other(candidate, fd);
    }
}

static char *check_candidate(struct candidate *candidate) {
    if (stat(candidate->path, &candidate->status) != 0 || !S_ISREG(candidate->status.st_mode))
        return NULL;
    int fd = open_to_read(candidate->path);
    if (fd < 0)
        return check_secure_mode(candidate);
    char *refusal = check_file(candidate, fd);
    close(fd);
    return refusal;
}

char *loadable_check_program(const char *path, const struct elf_kind *library) {
    struct candidate candidate = {.path = path, .role = "", .library = library};
    return check_candidate(&candidate);
}

bool loadable_checks_order(const char *path) {
    int fd = open_to_read(path);
    if (fd < 0)
        return false;
    bool checks = elf_image_needs(fd, "libasan.so");
    close(fd);
    return checks;
}
