/* What breaks interposition shims, H1 to H30: README.md has the list.
 *
 * Strategy: each case is a small program run plain and with everything that the shim can do switched on; it
 * must write the same and end in the same way, in time. To be run from the root of the tree. */
#include "../behaviour/case.h"
#include "../transparency/pair.h"

#include <glib.h>
#include <stdlib.h>

/* Reports go to files: they are no output of the program's. */
#define EVERYTHING                                                                                           \
    "annotate=stderr:annotate=*.log:annotate_pid=1:leaks=1:stacks=1:log_path=${dir:-/nonexistent}/report"

static const char *const ways[] = {EVERYTHING, "dispatch=exact:annotate=stderr", NULL};
/* What exact dispatch changes by its nature is promised for the default alone (E0). */
static const char *const default_ways[] = {EVERYTHING, NULL};
/* Each process makes a file of its own. */
static const char *const timeline_ways[] = {"${dir:+trace=$dir/timeline:}otel=1", NULL};
/* To walk a stack takes libunwind, whose thread-local storage only libc can set up. */
static const char *const by_hand_ways[] = {"annotate=stderr:leaks=1:log_path=${dir:-/nonexistent}/report",
                                           "dispatch=exact", NULL};

static const char *const *ways_of(const char *name) {
    if (strstr(name, "timeline") != NULL)
        return timeline_ways;
    if (strstr(name, "thread_made_by_hand") != NULL)
        return by_hand_ways;
    return g_str_has_prefix(name, "E0/") ? default_ways : ways;
}

/* Called by the lines of the host_*.c files (case.h). */
void expect_case(const char *name, const char *options, bool plain_too) {
    char *script = g_strdup_printf("cd $TREE; ctx " BUILD "/tests/hazards/cases %s; echo status $?\n", name);
    if (plain_too) {
        pair_expect_same(script, "status 0", ways_of(name));
    } else {
        struct outcome outcome = pair_run(script, options[0] != '\0' ? options : EVERYTHING);
        cr_expect(outcome.status == 0 && strstr(outcome.out, "status 0\n") != NULL, "%s: status %d\n%s%s",
                  name, outcome.status, outcome.out, outcome.err);
        pair_free(&outcome);
    }
    g_free(script);
}

static void expect_same(const char *script, const char *must_say) {
    pair_expect_same(script, must_say, ways);
}

/* --- whole programs ------------------------------------------------------------------------------- */

#define SCRIPT_HEAD "H=$TREE/" BUILD "/tests/hazards; HAZARDS=$H; export HAZARDS; "
/* `with LIST PROGRAM…`: preloads the list, in which SHIM stands for ours; plain, what remains of it. */
#define WITH                                                                                                 \
    SCRIPT_HEAD "with() { list=${1//SHIM/$SHIM}; shift; "                                                    \
                "CTXSHIM_OPTIONS=annotate=stderr LD_PRELOAD=$list \"$@\"; }\n"

TestSuite(H1, .timeout = 320);
TestSuite(H2, .timeout = 320);
TestSuite(H7, .timeout = 320);
TestSuite(H8, .timeout = 320);

Test(H1, a_constructor_that_runs_before_ours) {
    expect_same(WITH
                "with SHIM:$H/libearly.so $H/ifunc; echo $?; with $H/libearly.so:SHIM $H/ifunc; echo $?\n",
                "early: all right, late: all right");
}

Test(H1, an_allocator_that_calls_hooked_functions) {
    expect_same(
        WITH
        "for order in SHIM:$H/liballocator.so $H/liballocator.so:SHIM; do\n"
        "with $order $H/cases H26/a_bit_of_everything; echo $?\n"
        "with $order $H/cases H11/hooks_in_destructors_of_thread_specific_data; echo $?\n"
        "with $order /usr/bin/python3 -c 'import threading, subprocess; print(subprocess.run([\"true\"]))'\n"
        "done\n",
        "done");
}

#define ALLOCATORS                                                                                           \
    "for order in SHIM:$A $A:SHIM; do\n"                                                                     \
    "  with $order $H/cases H26/a_bit_of_everything; echo $?\n"                                              \
    "  with $order $H/cases H3/fork_at_any_moment_from_any_of_8_busy_threads; echo $?\n"                     \
    "  with $order $H/cases H12/every_result_and_errno; echo $?\n"                                           \
    "  with $order $H/throws 2>&1 | grep -v Aborted; echo ${PIPESTATUS[0]}\n"                                \
    "  with $order /usr/bin/python3 -c 'import threading, subprocess, asyncio\n"                             \
    "asyncio.run(asyncio.sleep(0.01)); print(subprocess.run([\"echo\", \"x\"], capture_output=True))'; "     \
    "echo $?\n"                                                                                              \
    "done\n"

Test(H2, jemalloc) {
    expect_same(WITH "A=libjemalloc.so.2\n" ALLOCATORS, "done");
}

Test(H2, tcmalloc) {
    expect_same(WITH "A=libtcmalloc_minimal.so.4\n" ALLOCATORS, "done");
}

Test(H2, mimalloc) {
    expect_same(WITH "A=libmimalloc.so.2\n" ALLOCATORS, "done");
}

Test(H7, a_program_of_an_older_libc) {
    expect_same(SCRIPT_HEAD "ctx $H/old; echo $?; LD_BIND_NOW=1 ctx $H/old; echo $?\n", "a shell's child");
}

Test(H8, programs_of_the_sanitizers) {
    expect_same(SCRIPT_HEAD
                "run() { if [ -n \"$SHIM\" ]; then $TREE/" BUILD
                "/ctxshim run --annotate -- \"$@\"; else \"$@\"; fi; }\n"
                "run $H/asan; echo $?; run $H/tsan; echo $?\n"
                "FAULT=1 run $H/asan 2>&1 | grep -o 'AddressSanitizer: heap-use-after-free' | uniq\n"
                "FAULT=1 run $H/tsan 2>&1 | grep -o 'ThreadSanitizer: data race' | uniq\n"
                "clang -fsanitize=address -o a $TREE/tests/hazards/sanitized.c -pthread && run ./a; echo $?\n"
                "clang -fsanitize=thread -o t $TREE/tests/hazards/sanitized.c -pthread && run ./t; echo $?\n"
                "FAULT=1 run ./t 2>&1 | grep -o 'ThreadSanitizer: data race' | uniq\n",
                "AddressSanitizer: heap-use-after-free");
}

Test(H15, ten_thousand_exceptions_and_whose_unwinder) {
    expect_same(SCRIPT_HEAD "ctx $H/throws 2>&1 | grep -v Aborted; echo ${PIPESTATUS[0]}\n",
                "_Unwind_RaiseException: libgcc_s.so.1");
}

Test(H18, fortified_calls) {
    expect_same(SCRIPT_HEAD "for size in 0 1 8 9 64; do ctx $H/fortified $size 2>&1; done\n", "read: 8");
}

Test(H24, two_preloads) {
    expect_same(
        WITH
        "C=; [ -z \"$SHIM\" ] || { cp $SHIM copy.so; ln -s copy.so link.so; C=$PWD/copy.so; }\n"
        "for order in SHIM:$H/libother.so $H/libother.so:SHIM SHIM:SHIM SHIM:$C $C:SHIM "
        "$C:${C:+$PWD/link.so}; do\n"
        "  with \"$order\" cat $TREE/README.md | md5sum\n"
        "  with \"$order\" $H/cases H26/a_bit_of_everything | grep done; echo ${PIPESTATUS[0]}\n"
        "  with \"$order\" $H/cases H20/bytes_in_every_way | grep bytes; echo ${PIPESTATUS[0]}\n"
        "  with \"$order\" $H/cases H14/a_cancellation_that_waits | grep -v reads; echo ${PIPESTATUS[0]}\n"
        "done\n",
        "done");
}

/* Each of our allocations is refused in turn, and from each one on. */
Test(H26, every_allocation_fails_in_turn) {
    expect_same(
        SCRIPT_HEAD
        "export CTXSHIM_OPTIONS=annotate=stderr DENY_PRELOAD=$SHIM\n"
        "all=$($H/deny 0 $H/cases H26/a_bit_of_everything 2>&1 >/dev/null | sed -n 's/ allocations//p')\n"
        "[ -z \"$SHIM\" ] || [ \"$all\" -gt 10 ] || echo only $all allocations\n"
        "for n in $(seq $((all + 1))); do for way in $n $n+; do\n"
        "  said=$($H/deny $way $H/cases H26/a_bit_of_everything 2>said); status=$?\n"
        "  said=$said.$(grep -v ' allocations' said).$status\n"
        "  [ \"$said\" = 'done.to stderr.0' ] || echo \"$way of $all: $said\"\n"
        "done; done; echo all the same\n",
        "all the same");
}

Test(H27, ways_of_starting) {
    expect_same(WITH "L=$(readelf -lW $H/cases | sed -n 's/.*interpreter: \\(.*\\)\\]/\\1/p')\n"
                     "for bind in '' 1; do export LD_BIND_NOW=$bind; [ -n \"$bind\" ] || unset LD_BIND_NOW\n"
                     "  ctx $H/cases H26/a_bit_of_everything; echo $?\n"
                     "  ctx $H/ifunc; echo $?\n"
                     "  ctx $L $H/cases H26/a_bit_of_everything; echo $?\n"
                     "  ctx $L --argv0 other $H/cases H12/every_result_and_errno; echo $?\n"
                     "  $L ${SHIM:+--preload $SHIM} $H/cases H26/a_bit_of_everything; echo $?\n"
                     "done\n"
                     "ctx $L --verify $H/cases; echo $?; ctx $L --list $H/ifunc | grep -c libc.so; ctx $L "
                     "/nonexistent; echo $?\n"
                     "LD_BIND_NOT=1 ctx $H/cases H26/a_bit_of_everything; echo $?\n"
                     "ctx ldd $H/ifunc | grep -v ctxshim | sed 's/(.*//'\n",
                "chosen: 2");
}

/* --- faults ----------------------------------------------------------------------------------------- */

TestSuite(faults, .timeout = 3600);

/* Each call that comes back fails now and then, behind the shim: the program meets the same faults with it
 * and without it, and ends with the same results. Lines of its log are not compared: they have their context.
 */
Test(faults, calls_that_fail_interrupted_short_or_without_room) {
    expect_same(SCRIPT_HEAD
                "for seed in $(seq ${HAZARDS_THOROUGH:+1000} | grep . || seq 12); do\n"
                "  FAULTS=$seed LD_PRELOAD=${SHIM:+$SHIM:}$H/libfault.so CTXSHIM_OPTIONS=annotate=stderr "
                "$H/faults 2>log | md5sum\n"
                "  echo $seed: ${PIPESTATUS[0]}, $(sed 's/^\\[[^]]*\\] //' log | md5sum)\n"
                "done; echo all\n",
                "all");
}

Test(faults, no_context_is_left_by_calls_that_failed) {
    struct outcome outcome =
        pair_run(SCRIPT_HEAD "for seed in $(seq ${HAZARDS_THOROUGH:+1000} | grep . || seq 12); do\n"
                             "  FAULTS=$seed LD_PRELOAD=$H/libfault.so $H/faults_linked 2>&1 >/dev/null | "
                             "grep -v ^step | sed \"s/^/$seed: /; s/faults = [1-9][0-9]*/some faults/\"\n"
                             "done | grep -v 'live contexts = 0, some faults' || echo none is left\n",
                 NULL);
    cr_expect_str_eq(outcome.out, "none is left\n");
    pair_free(&outcome);
}

/* --- real work ------------------------------------------------------------------------------------ */

/* Without -g, which keeps the directory's name; in whole when it may take its time. */
static void expect_compiled_by(const char *compiler) {
    char *script =
        g_strdup_printf("cp -r $TREE/ctxstore $TREE/Makefile $TREE/shim $TREE/hooks $TREE/scripts .\n"
                        "ctx make -s -j2 CC=%s CFLAGS=-O1 BUILD=b $(echo ctxstore/*.c | sed 's|\\.c|.o|g; "
                        "s|ctxstore|b/ctxstore|g') ${HAZARDS_THOROUGH:+b/libctxshim.so}; echo $?\n"
                        "find b -name '*.o' -o -name '*.so' | sort | xargs md5sum\n",
                        compiler);
    expect_same(script, "b/ctxstore/flow.o");
    g_free(script);
}

Test(work, this_project_compiled_by_gcc, .timeout = 1000) {
    expect_compiled_by("gcc");
}

Test(work, this_project_compiled_by_clang, .timeout = 1000) {
    expect_compiled_by("clang");
}

Test(work, java, .timeout = 320) {
    char *java = g_find_program_in_path("java");
    if (java == NULL)
        cr_skip_test("needs java: scripts/deps.sh transparency");
    g_free(java);
    expect_same(
        "cat >Work.java <<'END'\n"
        "import java.io.*; import java.net.*; import java.util.*; import java.util.concurrent.*;\n"
        "public class Work {\n"
        "  static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }\n"
        "  public static void main(String[] a) throws Exception {\n"
        "    var server = com.sun.net.httpserver.HttpServer.create(new InetSocketAddress(\"127.0.0.1\", 0), "
        "50);\n"
        "    server.createContext(\"/\", x -> { byte[] b = (\"you asked \" + x.getRequestURI()).getBytes();\n"
        "      x.sendResponseHeaders(200, b.length); x.getResponseBody().write(b); x.close(); });\n"
        "    var pool = Executors.newFixedThreadPool(8); server.setExecutor(pool); server.start();\n"
        "    var all = new ArrayList<Future<String>>();\n"
        "    for (int i = 0; i < 200; i++) { int n = i; all.add(ForkJoinPool.commonPool().submit(() -> {\n"
        "      var url = new URL(\"http://127.0.0.1:\" + server.getAddress().getPort() + \"/\" + n);\n"
        "      try (var in = url.openStream()) { return new String(in.readAllBytes()); } })); }\n"
        "    for (var f : all) System.out.println(f.get());\n"
        "    try { deep(100000000); } catch (StackOverflowError e) { System.out.println(\"overflow\"); }\n"
        "    int nulls = 0; for (int i = 0; i < 20000; i++) { String s = i % 2 == 0 ? null : \"x\";\n"
        "      try { nulls += s.length(); } catch (NullPointerException e) { nulls += 2; } }\n"
        "    System.out.println(nulls);\n"
        "    var p = new ProcessBuilder(\"sh\", \"-c\", \"echo child; exit 3\").start();\n"
        "    System.out.print(new String(p.getInputStream().readAllBytes())); "
        "System.out.println(p.waitFor());\n"
        "    var f = File.createTempFile(\"work\", null, new File(\".\")); try (var w = new FileWriter(f)) { "
        "w.write(\"x\".repeat(100000)); }\n"
        "    System.out.println(f.length()); f.delete(); server.stop(0); pool.shutdown(); System.exit(4);\n"
        "  }\n"
        "}\n"
        "END\n"
        "ctx java -Xmx256m Work.java; echo $?\n",
        "you asked /199");
}

Test(work, downloads_by_curl, .timeout = 320) {
    expect_same(
        "mkdir files; for i in $(seq 20); do seq $((i * 3000)) >files/$i; done; P=$(port)\n"
        "start python3 -m http.server -d files --bind 127.0.0.1 $P >/dev/null 2>&1 & server=$!\n"
        "for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:$P/ && break; sleep 0.05; done\n"
        "ctx curl -s --no-progress-meter -Z --parallel-max 8 -O --remote-name-all "
        "\"http://127.0.0.1:$P/[1-20]\"; echo $?\n"
        "md5sum $(seq 20); ctx curl -s -r 10-99 http://127.0.0.1:$P/20 | md5sum\n"
        "ctx curl -s --limit-rate 2M http://127.0.0.1:$P/20 | md5sum; kill $server; wait $server; echo $?\n",
        "  20");
}
