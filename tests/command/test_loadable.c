/* What `ctxshim run` refuses, since the loader would start it without the library and say nothing, and what
 * it does not. Real files, linked in each of these ways (room.h). */
#include "room.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first `size` bytes of a good program, with two bytes changed at `offset`. */
static char *maim(const char *name, size_t size, size_t offset, uint16_t value) {
    char *data;
    gsize whole;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &whole, NULL));
    memcpy(data + offset, &value, sizeof value);
    char *path = write_room(name, data, MIN(size, whole), 0755);
    g_free(data);
    return path;
}

TestSuite(loadable, .init = open_room, .fini = close_room, .timeout = 60);

/* ---- Programs that the loader would start without the library. */

Test(loadable, refuses_static_programs) {
    static const char *const names[] = {"plain-static", "plain-static-pie"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = program(names[i]);
        ctxshim("run", path, NULL);
        expect_refusal(2, path, "statically linked");
    }
}

Test(loadable, starts_a_program_by_the_loader_itself) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &size, NULL));
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)data;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(data + header->e_phoff);
    while (segment->p_type != PT_INTERP)
        segment++;
    ctxshim("run", data + segment->p_offset, show, NULL);
    expect_started();
}

Test(loadable, refuses_another_architecture) {
    char *path = maim("alien", SIZE_MAX, offsetof(Elf64_Ehdr, e_machine), EM_ALPHA);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "64-bit Alpha");
    path = maim("small", SIZE_MAX, EI_CLASS, ELFCLASS32 | ELFDATA2LSB << 8);
    ctxshim("run", path, NULL);
    expect_status(2);
    path = maim("swapped", SIZE_MAX, EI_CLASS, ELFCLASS64 | ELFDATA2MSB << 8);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "big-endian");
}

Test(loadable, refuses_another_libc) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &size, NULL));
    char *name = memmem(data, size, "/ld-linux", strlen("/ld-linux"));
    cr_assert(name != NULL);
    memcpy(name, "/ld-musl-", strlen("/ld-musl-"));
    char *path = write_room("musl", data, size, 0755);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "another libc");
}

Test(loadable, refuses_what_is_no_program) {
    char *text = script("text", "echo this has no first line\n");
    ctxshim("run", text, NULL);
    expect_refusal(2, text, "neither an ELF program nor a script");
    char *nothing = script("nothing", "");
    ctxshim("run", nothing, NULL);
    expect_refusal(2, nothing, "neither an ELF program nor a script");
    char *object = maim("object", SIZE_MAX, offsetof(Elf64_Ehdr, e_type), ET_REL);
    ctxshim("run", object, NULL);
    expect_refusal(2, object, "no program");
}

Test(loadable, refuses_what_is_cut_short) {
    for (size_t size = 4; size < 512; size += 20) {
        char *path = maim("cut", size, EI_PAD + 1, 0);
        ctxshim("run", path, NULL);
        expect_refusal(2, path, "cut short");
    }
}

/* Each header byte set to 0xff in turn: whatever is said, the command must not crash, nor start what it could
 * not understand. The program itself may: it does nothing. */
Test(loadable, survives_hostile_headers) {
    size_t end = sizeof(Elf64_Ehdr) + 4 * sizeof(Elf64_Phdr);
    for (size_t offset = EI_CLASS; offset < end; offset += 2) {
        char *path = maim("hostile", SIZE_MAX, offset, 0xffff);
        char *arguments[] = {command, "run", path, NULL};
        char *plain[] = {path, NULL};
        int crashed;
        start(arguments, NULL, NULL);
        if (result.status < 128)
            continue;
        cr_expect(g_spawn_sync(room, plain, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &crashed, NULL) &&
                      WIFSIGNALED(crashed),
                  "offset %zu: %s", offset, result.err);
    }
}

/* ---- Scripts are judged by what interprets them. */

Test(loadable, starts_scripts) {
    char *shell = script("shell", g_strdup_printf("#! /bin/sh\nexec %s \"$@\"\n", show));
    ctxshim("run", shell, "a b", NULL);
    expect_started();
    cr_expect(strstr(result.out, "arg <a b>\n") != NULL);
    char *env = script("env", g_strdup_printf("#!/usr/bin/env sh\nexec %s\n", show));
    ctxshim("run", env, NULL);
    expect_started();
}

Test(loadable, refuses_scripts_of_refused_interpreters) {
    char *interpreter = program("plain-static");
    char *direct = script("direct", g_strdup_printf("#!%s -x\n", interpreter));
    char *nested = script("nested", g_strdup_printf("#! \t%s\n", direct));
    char *paths[] = {direct, nested};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        ctxshim("run", paths[i], NULL);
        expect_refusal(2, paths[i], g_strdup_printf("its interpreter %s is statically linked", interpreter));
    }
}

Test(loadable, looks_through_env) {
    static const char *const lines[] = {"#!/usr/bin/env plain-static", "#!/usr/bin/env -S plain-static -x",
                                        "#!/usr/bin/env -S -i A=b plain-static"};
    g_free(program("plain-static"));
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        char *path = script("script", g_strconcat(lines[i], "\n", NULL));
        ctxshim_with("PATH", g_strconcat(room, ":/usr/bin:/bin", NULL), "run", path, NULL);
        expect_refusal(2, path, "is statically linked");
    }
}

Test(loadable, leaves_endless_scripts_to_the_kernel) {
    char *path = in_room("loop");
    g_free(script("loop", g_strdup_printf("#!%s\n", path)));
    ctxshim("run", path, NULL);
    expect_refusal(126, path, "cannot be executed");
}

/* ---- Secure mode. */

static bool room_honours_set_id(void) {
    char *options = NULL;
    char *arguments[] = {"findmnt", "-n", "-o", "OPTIONS", "-T", room, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &options, NULL, NULL, NULL);
    return !options || !strstr(options, "nosuid");
}

static void skip_unless_set_id_counts(void) {
    skip_unless_root();
    if (!room_honours_set_id())
        cr_skip_test("needs a directory for temporary files that is not mounted nosuid");
}

Test(loadable, refuses_set_id_programs) {
    skip_unless_set_id_counts();
    char *path = copy(show, "set-uid", 04755);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-uid to user 0");
    cr_assert(chmod(path, 02755) == 0);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-gid to group 0");
}

Test(loadable, refuses_set_id_programs_that_it_cannot_read) {
    skip_unless_set_id_counts();
    char *path = copy(show, "closed", 04711);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-uid to user 0");
}

Test(loadable, starts_set_id_programs_of_ones_own) {
    skip_unless_set_id_counts();
    char *path = copy(show, "own", 06755);
    ctxshim("run", path, NULL);
    expect_started();
    cr_assert(chown(path, NOBODY, NOBODY) == 0 && chmod(path, 06755) == 0);
    ctxshim_as_nobody("run", path, NULL);
    expect_started();
}

Test(loadable, starts_a_script_whatever_its_set_id_bits) {
    skip_unless_set_id_counts();
    char *path = write_room("script", "#!/bin/sh\nexit 7\n", 17, 06755);
    ctxshim_as_nobody("run", path, NULL);
    expect_status(7);
}

Test(loadable, starts_a_program_that_may_be_executed_but_not_read) {
    skip_unless_root();
    char *path = copy(show, "closed", 0711);
    ctxshim_as_nobody("run", path, NULL);
    expect_started();
}

Test(loadable, refuses_programs_with_file_capabilities) {
    skip_unless_set_id_counts();
    char *path = copy(show, "capable", 0755);
    char *arguments[] = {"setcap", "cap_net_raw+ep", path, NULL};
    int status;
    if (!g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL) ||
        status != 0)
        cr_skip_test("needs setcap");
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "file capabilities");
    ctxshim("run", path, NULL);
    expect_started();
}
