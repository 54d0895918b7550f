/* What `make install` puts where, and whether it works there: the command, the library, the headers. */
#include "stage.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(install, .fini = stage_end, .timeout = 100);

/* A package's build stages what belongs to /usr elsewhere. */
Test(install, a_staged_tree_has_all_and_speaks_of_where_it_will_be) {
    static const char *const files[] = {
        "usr/bin/ctxshim",
        "usr/lib/" MULTIARCH "/ctxshim/libctxshim.so." VERSION,
        "usr/lib/" MULTIARCH "/ctxshim/" SONAME,
        "usr/lib/" MULTIARCH "/ctxshim/libctxshim.so",
        "usr/lib/" MULTIARCH "/pkgconfig/ctxshim.pc",
        "usr/include/ctxshim.h",
        "usr/include/ctxshim.hpp",
        "usr/share/man/man1/ctxshim.1",
        "usr/share/man/man3/ctxshim.3",
        "usr/share/man/man7/ctxshim.7",
        "usr/share/bash-completion/completions/ctxshim",
        "usr/share/ctxshim/gdb/ctxshim_gdb/records.py",
        "usr/share/gdb/auto-load/usr/lib/" MULTIARCH "/ctxshim/libctxshim.so." VERSION "-gdb.py",
    };
    stage_make();
    shell("$MAKE install DESTDIR=$stage PREFIX=/usr LIBDIR=/usr/lib/" MULTIARCH);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        shell("test -s $stage/%s", files[i]);
    cr_expect_str_eq(shell("grep -rlIF $stage $stage || :"), "",
                     "the staging directory's name is in the tree");
    cr_expect_str_eq(shell("grep -rlI '@[A-Z]*@' $stage || :"), "", "a name was not filled in");
    expect_in(shell("$stage/usr/bin/ctxshim run -- cat /proc/self/maps"),
              "/usr/lib/" MULTIARCH "/ctxshim/libctxshim.so." VERSION);
}

Test(install, uninstall_takes_away_what_install_brought_and_nothing_else) {
    stage_make();
    shell("mkdir -p $stage/share/ctxshim && echo mine >$stage/share/ctxshim/kept");
    shell("$MAKE install PREFIX=$stage && $MAKE uninstall PREFIX=$stage");
    char *left = shell("cd $stage && find . -type f -o -type l");
    cr_expect_str_eq(left, "./share/ctxshim/kept\n", "left: %s", left);
    shell("rm $stage/share/ctxshim/kept && $MAKE install PREFIX=$stage && $MAKE uninstall PREFIX=$stage");
    cr_expect_str_eq(shell("find $stage -path '*ctxshim*'"
                           " ! -path $stage"
                           " | sed \"s|^$stage||\" | grep ctxshim || :"),
                     "", "a directory of ours is left");
}

Test(install, a_name_of_a_directory_that_cannot_work_is_refused) {
    char *output;
    stage_make();
    cr_expect(shell_status(&output, "$MAKE install PREFIX=relative") != 0);
    expect_in(output, "give the whole path");
    cr_expect(shell_status(&output, "$MAKE install PREFIX=\"$stage/a b\"") != 0);
    expect_in(output, "a name with a space");
    cr_expect_str_eq(shell("ls $stage"), "");
}

Test(install, the_command_finds_the_library_and_shows_its_version) {
    stage_prefix();
    expect_in(shell("$stage/bin/ctxshim run -- cat /proc/self/maps"), "/lib/ctxshim/libctxshim.so." VERSION);
    expect_in(shell("cd / && $stage/bin/ctxshim run -- env"), "/lib/ctxshim/libctxshim.so\n");
    expect_in(shell("ln -s $stage/bin/ctxshim $stage/elsewhere; $stage/elsewhere run -- env"),
              "/lib/ctxshim/libctxshim.so\n");
    expect_in(shell("$stage/bin/ctxshim --version"), "ctxshim " VERSION "\n");
    expect_in(shell("mv $stage/lib/ctxshim $stage/gone; $stage/bin/ctxshim run -- true || :"),
              "build or install it");
}

/* --- the library ------------------------------------------------------------------------------------------
 */

Test(install, the_library_needs_libc_alone_and_has_its_soname) {
    stage_prefix();
    char *dynamic = shell("readelf --wide --dynamic $stage/lib/ctxshim/libctxshim.so");
    expect_in(dynamic, "Library soname: [" SONAME "]");
    cr_expect_str_eq(shell("readelf --wide --dynamic $stage/lib/ctxshim/libctxshim.so | sed -n "
                           "'s/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p'"),
                     "libc.so.6\n");
    cr_expect_str_eq(shell("readlink $stage/lib/ctxshim/libctxshim.so"), SONAME "\n");
    cr_expect_str_eq(shell("readlink $stage/lib/ctxshim/" SONAME), "libctxshim.so." VERSION "\n");
}

/* Hooks have to be unversioned to interpose, and nothing else is there for a program to stumble over; but for
 * what profilers look for, which no program finds (tests/otel/). */
Test(install, the_api_is_versioned_and_all_else_that_is_exported_is_a_hook) {
    stage_prefix();
    GString *expected = g_string_new(NULL);
    GPtrArray *functions = public_functions();
    for (guint i = 0; i < functions->len; i++)
        g_string_append_printf(expected, "%s@@CTXSHIM_1.0\n", (char *)g_ptr_array_index(functions, i));
    /* Hooks on functions of which libc has an older kind stand under libc's own versions (hooks/versions.h).
     */
    shell("nm --dynamic --defined-only $stage/lib/ctxshim/libctxshim.so | sed -E 's/.* //; "
          "s/@@?GLIBC_[0-9.]+$//' | "
          "grep -vE '^(CTXSHIM|GLIBC)_([0-9]|OTEL$)' | LC_ALL=C sort -u >$stage/exported");
    char *api = shell("grep '^ctxshim_' $stage/exported");
    cr_expect_str_eq(api, expected->str, "exported:\n%s", api);
    shell("$stage/bin/ctxshim hooks --names | LC_ALL=C sort >$stage/hooks");
    char *others = shell("grep -vE '^ctxshim_|^otel_thread_ctx_v1@CTXSHIM_OTEL$' $stage/exported | diff - "
                         "$stage/hooks | grep '^<' || :");
    cr_expect_str_eq(others, "", "exported, and no hook:\n%s", others);
}

/* --- the headers ------------------------------------------------------------------------------------------
 */

Test(install, a_program_is_built_with_what_pkg_config_says) {
    static const char c_program[] =
        "#include <ctxshim.h>\n#include <stdio.h>\n"
        "int main(void) { CTXSHIM_SCOPE(\"C\"); char s[9]; ctxshim_stack(s, 9); puts(s); }\n";
    static const char cc_program[] =
        "#include <ctxshim.hpp>\n#include <cstdio>\n"
        "int main() { auto s = ctxshim::push(\"C++\"); puts(ctxshim::stack().c_str()); }\n";
    stage_prefix();
    char *c_file = g_build_filename(stage, "one.c", NULL), *cc_file = g_build_filename(stage, "two.cc", NULL);
    g_file_set_contents(c_file, c_program, -1, NULL);
    g_file_set_contents(cc_file, cc_program, -1, NULL);
    static const char flags[] = "$(PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --cflags --libs ctxshim)";
    expect_in(shell("echo \"%s\"", flags), "/include");
    shell("gcc -o $stage/one $stage/one.c %s && g++ -o $stage/two $stage/two.cc %s", flags, flags);
    cr_expect_str_eq(shell("$stage/bin/ctxshim run -- $stage/one"), "C\n");
    cr_expect_str_eq(shell("$stage/bin/ctxshim run -- $stage/two"), "C++\n");
    cr_expect_str_eq(shell("$stage/one"), "\n");
    cr_expect_str_eq(shell("LD_PRELOAD=$(PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --variable=library "
                           "ctxshim) $stage/one"),
                     "C\n");
    cr_expect_str_eq(shell("PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --modversion ctxshim"),
                     VERSION "\n");
}
