/* What nobody may bring the shim to do: take orders in a process that runs with somebody else's rights, write
 * where a link leads, or write a line that a client made up. What is read from a record is in ../fuzz/ too.
 *
 * Strategy: as in test_hazards.c scripts under the shim; each does without the defence what would go wrong.
 */
#include "../transparency/pair.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

TestSuite(security, .timeout = 320);

#define HAZARDS "H=$TREE/" BUILD "/tests/hazards; "

static void expect_says(const char *script, const char *options, const char *expected) {
    struct outcome outcome = pair_run(script, options);
    if (strcmp(outcome.out, "skip\n") == 0)
        cr_skip_test("needs root, setpriv, and temporary files that are not mounted nosuid");
    cr_expect_str_eq(outcome.out, expected, "it is\n%swith\n%s", outcome.out, outcome.err);
    pair_free(&outcome);
}

/* The shim's own objects are in the program, so the loader cannot keep it out. */
Test(security, a_set_id_program_takes_nothing_from_the_environment) {
    expect_says(
        HAZARDS
        "[ $(id -u) = 0 ] && command -v setpriv >/dev/null || { echo skip; exit; }\n"
        "chmod 755 .. .; mkdir -m 777 open; cp $H/faults_linked plain; cp plain set; chmod 755 plain\n"
        "chmod 4755 set\n"
        "export CTXSHIM_OPTIONS=verbose=1:leaks=1:record_path=$PWD/open/record CTXSHIM_CONTEXT=theirs\n"
        "as() { setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"; }\n"
        "as ./plain 2>&1 >/dev/null | grep -c 'ctxshim: ready'; ls open | grep -q record. && echo recorded; "
        "rm -f open/*\n"
        "cp $(command -v id) id; chmod 4755 id; as ./id -u | grep -q '^65534$'\n"
        "as ./id | grep -q euid=0 || { echo skip; exit; }\n"
        "as ./set 2>&1 >/dev/null | grep -c 'ctxshim'; ls open | wc -l\n",
        NULL, "1\nrecorded\n0\n0\n");
}

/* The name of a record can be guessed, in a directory that others may write in as well. */
Test(security, a_record_is_a_new_file_of_ones_own) {
    expect_says(
        HAZARDS
        "umask 0; mkdir -m 1777 shared; echo precious >precious\n"
        "run() { env LD_PRELOAD=$SHIM CTXSHIM_OPTIONS=leaks=1:record_path=$PWD/shared/record \"$@\"; }\n"
        "run true; stat -c %a shared/record.*; rm shared/*\n"
        "for how in 'ln -s' ln; do\n"
        "  sh -c \"$how $PWD/precious shared/record.\\$\\$; exec env LD_PRELOAD=$SHIM "
        "CTXSHIM_OPTIONS=leaks=1:record_path=$PWD/shared/record "
        "sh -c 'echo works'\"; cat precious\n"
        "done\n"
        "rm -f shared/*; ln -s $PWD/fresh shared/dangling\n"
        "sh -c \"ln -s $PWD/fresh shared/record.\\$\\$; exec env LD_PRELOAD=$SHIM "
        "CTXSHIM_OPTIONS=leaks=1:record_path=$PWD/shared/record true\"; ls fresh 2>/dev/null; echo end\n",
        "", "600\nworks\nprecious\nworks\nprecious\nend\n");
}

/* Out of order, so that both names are in the report. */
Test(security, names_in_reports_stay_inside_their_quotes) {
    expect_says(
        "cat >forge.py <<'END'\n"
        "import ctypes\n"
        "class Scope(ctypes.Structure):\n"
        "    _fields_ = [('node', ctypes.c_void_p), ('serial', ctypes.c_uint64), ('flow', ctypes.c_uint64)]\n"
        "shim = ctypes.CDLL(None)\n"
        "shim.ctxshim_push.restype = Scope\n"
        "outer = shim.ctxshim_push(b'outer')\n"
        "inner = shim.ctxshim_push(b\"x'\\nctxshim: forged \\x1b[31m\\xc2\\x9b\")\n"
        "shim.ctxshim_pop(ctypes.byref(outer))\n"
        "END\n"
        "ctx python3 forge.py 2>&1 | grep -v 'ctxshim: ready' >said\n"
        "grep -c 'out of order' said; grep -c '^ctxshim: forged' said; "
        "grep -o 'x.x27.x0actxshim: forged .x1b.31m.xc2.x9b' said | head -n 1; tr -d '\\n -~' <said | wc "
        "-c\n",
        "verbose=1", "1\n0\nx\\x27\\x0actxshim: forged \\x1b[31m\\xc2\\x9b\n0\n");
}

/* A report that finds somebody's link there goes to stderr. */
Test(security, a_report_is_not_written_through_a_link) {
    expect_says(
        "cat >leak.py <<'END'\n"
        "import ctypes, os\n"
        "class Scope(ctypes.Structure):\n"
        "    _fields_ = [('node', ctypes.c_void_p), ('serial', ctypes.c_uint64), ('flow', ctypes.c_uint64)]\n"
        "shim = ctypes.CDLL(None)\n"
        "shim.ctxshim_push.restype = Scope\n"
        "outer = shim.ctxshim_push(b'outer'); inner = shim.ctxshim_push(b'inner')\n"
        "shim.ctxshim_pop(ctypes.byref(outer))\n"
        "os.kill(os.getpid(), 10); os.read(os.open('/dev/null', 0), 1)\n"
        "END\n"
        "umask 0; mkdir -m 1777 shared; echo precious >precious\n"
        "options=leaks=1:leaks_signal=10:log_path=$PWD/shared/log\n"
        "sh -c \"exec env LD_PRELOAD=$SHIM CTXSHIM_OPTIONS=$options python3 leak.py\" 2>said\n"
        "stat -c %a shared/log.*; grep -q SUMMARY shared/log.* && echo reported; rm shared/*\n"
        "for how in 'ln -s' ln; do\n"
        "  sh -c \"$how $PWD/precious shared/log.\\$\\$; exec env LD_PRELOAD=$SHIM CTXSHIM_OPTIONS=$options "
        "python3 leak.py\" 2>said; cat precious; grep -q SUMMARY said && echo reported; rm shared/*\n"
        "done\n",
        "", "600\nreported\nprecious\nreported\nprecious\nreported\n");
}

/* Killed at any moment, it leaves a record that can be read, and nothing that others wait for. */
Test(security, a_process_that_is_killed_leaves_a_record_that_can_be_read) {
    expect_says(
        HAZARDS
        "for i in $(seq ${HAZARDS_THOROUGH:+300} | grep . || seq 20); do\n"
        "  LD_PRELOAD=$SHIM CTXSHIM_OPTIONS=leaks=1:leaks_after=0:record_path=$PWD/record $H/faults >said "
        "2>&1 &\n"
        "  pid=$!; sleep 0.0$((RANDOM % 90 + 10)); kill -KILL $pid 2>/dev/null; wait $pid 2>/dev/null\n"
        "  [ -e record.$pid ] || continue\n"
        "  $TREE/" BUILD "/ctxshim leaks record.$pid >report 2>&1; status=$?\n"
        "  case $status in 0|23) ;; *) echo \"status $status: $(tail -n 1 report)\" ;; esac\n"
        "done; ls record.* | wc -l | grep -q '^0$' && echo no records; echo read\n",
        "", "read\n");
}
