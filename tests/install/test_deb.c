/* The Debian package, installed by dpkg into a root of its own: nothing of the system's is touched, but its
 * list of packages is what the package's dependencies are checked against. */
#include "stage.h"

#include <criterion/criterion.h>
#include <string.h>

#define PACKAGE BUILD "/ctxshim_" VERSION "_$(dpkg --print-architecture).deb"

/* dpkg wants to be root, or to believe so: fakeroot. */
#define DPKG                                                                                                 \
    "PATH=$PATH:/usr/sbin:/sbin fakeroot dpkg --root=$stage --admindir=$stage/var/lib/dpkg --log=/dev/null " \
    "--force-not-root --force-script-chrootless "

TestSuite(deb, .fini = stage_end, .timeout = 100);

static void make_root(void) {
    stage_make();
    shell("mkdir -p $stage/var/lib/dpkg/info $stage/var/lib/dpkg/updates $stage/var/lib/dpkg/triggers");
    shell("cp /var/lib/dpkg/status /var/lib/dpkg/arch $stage/var/lib/dpkg 2>/dev/null || "
          "cp /var/lib/dpkg/status $stage/var/lib/dpkg");
}

Test(deb, is_installed_works_and_is_removed_without_a_trace) {
    make_root();
    shell("$MAKE deb");
    char *before = shell("cd $stage && find . ! -path './var/*' | sort");
    shell(DPKG "--install " PACKAGE);
    expect_in(shell("dpkg-query --admindir=$stage/var/lib/dpkg --show --showformat='${Status}' ctxshim"),
              "install ok installed");
    char *verified = shell(DPKG "--verify ctxshim");
    cr_expect_str_eq(verified, "", "%s", verified);
    expect_in(shell("$stage/usr/bin/ctxshim run -- cat /proc/self/maps"), "/ctxshim/libctxshim.so." VERSION);
    cr_expect_str_eq(shell("$stage/usr/bin/ctxshim run -- sh -c 'exit 7' || echo $?"), "7\n");
    expect_in(shell("man -M $stage/usr/share/man 1 ctxshim"), "CTXSHIM(1)");
    expect_in(shell("man -M $stage/usr/share/man 3 ctxshim_push"), "CTXSHIM(3)");
    shell(DPKG "--remove ctxshim");
    char *after = shell("cd $stage && find . ! -path './var/*' | sort");
    cr_expect_str_eq(after, before, "left:\n%s", after);
    cr_expect_str_eq(shell("ls $stage/var/lib/dpkg/info | grep ctxshim || :"), "",
                     "dpkg still remembers something");
}

Test(deb, has_what_a_package_has_to_have) {
    stage_make();
    shell("$MAKE deb && dpkg-deb -R " PACKAGE " $stage/x");
    expect_in(shell("cat $stage/x/DEBIAN/control"), "\nVersion: " VERSION "\n");
    cr_expect(g_regex_match_simple("^Depends: libc6 \\(>= [0-9.]+\\), .*libglib2.0-0",
                                   shell("cat $stage/x/DEBIAN/control"), G_REGEX_MULTILINE, 0));
    shell("cd $stage/x && md5sum --quiet --check DEBIAN/md5sums");
    char *unlisted =
        shell("cd $stage/x && find usr -type f | sort >all && sed 's/^[^ ]*  //' DEBIAN/md5sums | sort | "
              "diff - all");
    cr_expect_str_eq(unlisted, "", "%s", unlisted);
    expect_in(shell("cat $stage/x/usr/share/doc/ctxshim/copyright"), "Apache-2.0");
    expect_in(shell("zcat $stage/x/usr/share/doc/ctxshim/changelog.gz"), "ctxshim (" VERSION ")");
    expect_in(shell("readelf -SW $stage/x/usr/lib/*/ctxshim/libctxshim.so"), ".dynsym");
    expect_not_in(shell("readelf -SW $stage/x/usr/lib/*/ctxshim/libctxshim.so"), ".debug_info");
    cr_expect_str_eq(shell("dpkg-deb -c " PACKAGE " | awk '$2 != \"root/root\"'"), "", "not root's");
}

Test(deb, two_builds_are_the_same_bytes) {
    stage_make();
    shell("$MAKE deb && cp " PACKAGE " $stage/one.deb && $MAKE deb && cmp $stage/one.deb " PACKAGE);
}
