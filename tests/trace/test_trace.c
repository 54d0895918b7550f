/* `ctxshim run --trace` and `ctxshim trace`. What was done is known beforehand (subject.c); what is read must
 * hold that, and a file that somebody has damaged must not do harm. Run from the root of the tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUBJECT BUILD "/tests/trace/subject"
#define COMMAND BUILD "/ctxshim"

static struct {
    char *out, *err;
    int status; /* as of waitpid */
} seen;

static char *folder, *file;

static void begin(void) {
    folder = g_dir_make_tmp("ctxshim-trace-XXXXXX", NULL);
    file = g_build_filename(folder, "t", NULL);
}

static void end(void) {
    char *arguments[] = {"rm", "-rf", folder, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

TestSuite(trace, .init = begin, .fini = end, .timeout = 100);

static void call(const char *const *arguments) {
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &seen.out,
                           &seen.err, &seen.status, NULL),
              "%s does not start", arguments[0]);
}

static void record(const char *option, const char *mode) {
    char *trace = g_strconcat("--trace=", file, NULL);
    const char *const with[] = {COMMAND, "run", trace, option, "--", SUBJECT, mode, NULL};
    const char *const without[] = {COMMAND, "run", trace, "--", SUBJECT, mode, NULL};
    call(option != NULL ? with : without);
    g_free(trace);
}

static void convert(const char *format) {
    char *option = g_strconcat("--format=", format, NULL);
    call((const char *const[]){COMMAND, "trace", option, file, NULL});
    cr_assert(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 0, "%s: %s", format, seen.err);
    g_free(option);
}

static void expect(const char *text) {
    cr_expect(strstr(seen.out, text) != NULL, "no %s in:\n%.3000s", text, seen.out);
}

static guint count(const char *text) {
    guint found = 0;
    for (const char *at = seen.out; (at = strstr(at, text)) != NULL; at++)
        found++;
    return found;
}

/* Python says whether it is JSON, and what is in it: `check` is an expression over `all`, the parsed lines.
 */
static void expect_json(const char *check) {
    static const char program[] =
        "import json,sys\n"
        "text=open(sys.argv[1]).read()\n"
        "all=[json.loads(line) for line in text.splitlines()] if sys.argv[2]=='lines' else json.loads(text)\n"
        "sys.exit(0 if eval(sys.argv[3]) else 3)\n";
    char *path = g_build_filename(folder, "json", NULL), *out = seen.out;
    g_file_set_contents(path, out, -1, NULL);
    call((const char *const[]){"python3", "-c", program, path, *out == '{' ? "lines" : "array", check, NULL});
    cr_expect(seen.status == 0, "%s does not hold (%s) of:\n%.3000s", check, seen.err, out);
    seen.out = out;
    g_free(path);
}

Test(trace, perfetto_has_requests_operations_hand_overs_and_names) {
    record(NULL, "work");
    cr_assert(seen.status == 0, "%s", seen.err);
    convert("perfetto");
    expect_json("[e for e in all if e['ph']=='b' and e['name']=='conn#1 req#1']");
    expect_json(
        "[e for e in all if e['ph']=='b' and e['name']=='Save' and e['args']['request']=='conn#1 req#1']");
    expect_json("sum(e['ph']=='b' for e in all)==sum(e['ph']=='e' for e in all)");
    expect_json(
        "{e['args']['name'] for e in all if e['name']=='thread_name'}>={'worker','started','subject'}");
    expect_json(
        "[e for e in all if e['ph']=='X' and e['name']=='conn#1 req#1 Save' and "
        "e['args'].get('carrier')=='eventfd' and e['args'].get('from')==e['pid'] and e['tid']!=e['pid']]");
    expect_json(
        "[(s,f) for s in all for f in all if s['ph']=='s' and f['ph']=='f' and s['id']==f['id'] and "
        "s['name']=='eventfd' and f['bp']=='e' and s['ts']<=f['ts'] and s['tid']==s['pid']!=f['tid']]");
    expect_json("[(s,f) for s in all for f in all if s['ph']=='s' and f['ph']=='f' and s['id']==f['id'] and "
                "s['name']=='hand-over' and s['tid']==s['pid']!=f['tid']]");
    expect_json("[e for e in all if e['ph']=='X' and e['args']['evidence']=='start']");
}

Test(trace, otlp_has_a_span_for_each_request_and_links_hand_overs) {
    record(NULL, "work");
    convert("otlp");
    static const char spans[] =
        "[s for l in all for r in l['resourceSpans'] for c in r['scopeSpans'] for s in "
        "c['spans'] if %s]";
    char *request =
        g_strdup_printf(spans, "s['name']=='conn#1 req#1' and s['kind']==2 and len(s['links'])==1 and "
                               "int(s['endTimeUnixNano'])>=int(s['startTimeUnixNano'])");
    char *handed =
        g_strdup_printf(spans, "'handed' in str(s['attributes']) and s['links'] and s['parentSpanId']");
    char *ids =
        g_strdup_printf(spans, "len(s['traceId'])!=32 or len(s['spanId'])!=16 or int(s['spanId'],16)==0");
    char *none = g_strconcat("not ", ids, NULL);
    expect_json(request);
    expect_json(handed);
    expect_json(none);
}

Test(trace, what_nobody_closed_ends_with_what_is_around_it) {
    record(NULL, "work");
    convert("otlp");
    expect_json("[s for l in all for r in l['resourceSpans'] for c in r['scopeSpans'] for s in c['spans'] if "
                "s['name']=='Forgotten' and 'unfinished' not in str(s['attributes'])]");
}

Test(trace, otlp_goes_on_with_the_trace_that_the_process_was_started_in) {
    g_setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TRUE);
    record(NULL, "work");
    convert("otlp");
    expect("\"traceId\":\"0af7651916cd43dd8448eb211c80319c\"");
    expect("\"parentSpanId\":\"b7ad6b7169203331\"");
}

/* A real browser builds the page, without any network; what a client called its request stays text. */
Test(trace, html_is_a_page_that_lists_the_requests) {
    record(NULL, "work");
    convert("html");
    cr_expect(count("</script>") == 2, "a name has ended the script");
    cr_expect(strstr(seen.out, "http:") == NULL && strstr(seen.out, "https:") == NULL, "it needs a network");
    char *page = g_build_filename(folder, "page.html", NULL),
         *url = g_strconcat("file://", page, "#req", NULL);
    char *profile = g_strconcat("--user-data-dir=", folder, "/profile", NULL);
    g_file_set_contents(page, seen.out, -1, NULL);
    call((const char *const[]){"chromium", "--headless", "--no-sandbox", "--disable-gpu", profile,
                               "--dump-dom", url, NULL});
    expect("<span title=\"conn#1 req#1\">conn#1 req#1</span>");
    expect("aria-current=\"true\"");
    expect("eventfd");
}

Test(trace, what_was_recorded_survives_sigkill) {
    record(NULL, "killed");
    cr_assert(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGKILL);
    convert("perfetto");
    expect("\"conn#1 req#1\"");
    expect("GET /\\u003c/script>");
}

Test(trace, overload_keeps_the_latest_and_counts_the_rest) {
    record("--trace-events=256", "flood");
    convert("perfetto");
    expect("\"the last\"");
    cr_expect(strstr(seen.err, "events were overwritten") != NULL, "%s", seen.err);
    expect_json("len(all)<600");
}

Test(trace, more_threads_than_rings_lose_events_and_nothing_else) {
    record("--trace-events=256", "crowd");
    cr_assert(seen.status == 0, "%s", seen.err);
    convert("perfetto");
    cr_expect(count("\"Crowd\"") > 100, "%u", count("\"Crowd\""));
    cr_expect(strstr(seen.err, "found no room") != NULL, "%s", seen.err);
}

Test(trace, a_child_has_a_file_of_its_own_which_is_read_with_the_first) {
    record(NULL, "fork");
    convert("perfetto");
    expect_json("len({e['pid'] for e in all})==2");
    expect_json("len({e['pid'] for e in all if e['name']=='of the child'})==1");
    expect("\"of the parent, too\"");
    call((const char *const[]){COMMAND, "trace", "--alone", "--format=perfetto", file, NULL});
    cr_expect(count("of the child") == 0);
}

/* Each program that a child becomes has a file of its own beside the child's; and the host's output is its
 * own. */
Test(trace, what_a_child_executes_is_recorded_too_and_nobody_is_told) {
    char *trace = g_strconcat("--trace=", file, NULL);
    const char script[] = "for i in 1 2; do ls / | cat >/dev/null; done; echo over";
    call((const char *const[]){COMMAND, "run", trace, "--", "sh", "-c", script, NULL});
    cr_expect(seen.status == 0 && strcmp(seen.out, "over\n") == 0 && seen.err[0] == '\0', "%d %s%s",
              seen.status, seen.out, seen.err);
    convert("perfetto");
    expect_json("[e['args']['name'] for e in all if e['name']=='process_name'].count('cat')==2");
    g_free(trace);
}

Test(trace, a_trace_is_replaced_and_nothing_else_is) {
    record(NULL, "fork");
    record(NULL, "work");
    cr_expect(seen.status == 0, "%s", seen.err);
    convert("perfetto");
    cr_expect(count("of the child") == 0, "the child's old file is still there");
    g_file_set_contents(file, "precious", -1, NULL);
    record(NULL, "work");
    char *kept = NULL;
    g_file_get_contents(file, &kept, NULL, NULL);
    cr_expect(WEXITSTATUS(seen.status) == 2 && g_strcmp0(kept, "precious") == 0, "%d %s", seen.status, kept);
}

/* Without `run`: the file is not written to, nor what a link leads to; and only its owner may read it. */
Test(trace, the_library_itself_writes_to_no_file_that_is_there) {
    char *options = g_strconcat("CTXSHIM_OPTIONS=trace=", file, NULL);
    char *target = g_build_filename(folder, "target", NULL), *kept = NULL;
    struct stat status;
    g_file_set_contents(target, "precious", -1, NULL);
    cr_assert(symlink(target, file) == 0);
    char *preload = g_strconcat("LD_PRELOAD=", BUILD, "/libctxshim.so", NULL);
    call((const char *const[]){"env", options, preload, SUBJECT, "work", NULL});
    cr_expect(seen.status == 0);
    g_file_get_contents(target, &kept, NULL, NULL);
    cr_expect(g_strcmp0(kept, "precious") == 0);
    unlink(file);
    call((const char *const[]){"env", options, preload, SUBJECT, "work", NULL});
    cr_expect(stat(file, &status) == 0 && (status.st_mode & 07777) == 0600);
}

/* A file that the limit forbids would be a signal. */
Test(trace, a_limit_on_the_size_of_files_kills_nobody) {
    struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    record(NULL, "work");
    cr_expect(seen.status == 0, "%d", seen.status);
    cr_expect(strstr(seen.err, "cannot be made") != NULL, "%s", seen.err);
}

static void expect_no_harm(const char *what, guint number) {
    static const char *const formats[] = {"perfetto", "otlp", "html"};
    char *option = g_strconcat("--format=", formats[number % 3], NULL);
    call((const char *const[]){"timeout", "10", COMMAND, "trace", option, file, NULL});
    cr_expect(WIFEXITED(seen.status) && (WEXITSTATUS(seen.status) == 0 || WEXITSTATUS(seen.status) == 2),
              "%s %u, %s: status %d", what, number, formats[number % 3], seen.status);
    g_free(seen.out);
    g_free(seen.err);
    g_free(option);
}

Test(trace, a_truncated_file_does_no_harm) {
    char *bytes;
    gsize size;
    record("--trace-events=256", "work");
    cr_assert(g_file_get_contents(file, &bytes, &size, NULL));
    for (guint i = 0; i < 40; i++) {
        g_file_set_contents(file, bytes, (gssize)(i * i * 40 < size ? i * i * 40 : size), NULL);
        expect_no_harm("truncated", i);
    }
}

Test(trace, a_damaged_file_does_no_harm) {
    enum { ROUNDS = 150, PLACES = 64 };
    char *bytes;
    gsize size;
    GRand *random = g_rand_new_with_seed(4947);
    record("--trace-events=256", "work");
    cr_assert(g_file_get_contents(file, &bytes, &size, NULL));
    for (guint i = 0; i < ROUNDS; i++) {
        char *damaged = g_memdup2(bytes, size);
        for (int place = 0; place < PLACES; place++) {
            gsize at = (gsize)g_rand_int_range(random, 0, place % 4 == 0 ? 1400 : 4096 + 3 * 256 * 64);
            damaged[at > 20 ? at : 20] = (char)g_rand_int(random);
        }
        g_file_set_contents(file, damaged, (gssize)size, NULL);
        expect_no_harm("damaged", i);
        g_free(damaged);
    }
}

Test(trace, what_is_no_trace_is_refused_with_the_reason) {
    g_file_set_contents(file, "no trace", -1, NULL);
    call((const char *const[]){COMMAND, "trace", file, NULL});
    cr_expect(WEXITSTATUS(seen.status) == 2 && strstr(seen.err, "no trace of this version") != NULL, "%s",
              seen.err);
    call((const char *const[]){COMMAND, "trace", folder, NULL});
    cr_expect(WEXITSTATUS(seen.status) == 2 && strstr(seen.err, "it is no file") != NULL, "%s", seen.err);
    call((const char *const[]){COMMAND, "trace", "--format=x", file, NULL});
    cr_expect(WEXITSTATUS(seen.status) == 2 && strstr(seen.err, "and not x") != NULL, "%s", seen.err);
}

Test(trace, threads_are_named_by_what_they_do_until_the_program_names_them) {
    call((const char *const[]){COMMAND, "run", "--comm", "--", SUBJECT, "comm", NULL});
    cr_expect(seen.status == 0, "%s", seen.err);
}

/* As perf and bpftrace find them. */
Test(trace, probes_are_there) {
    static const char *const probes[] = {"push", "pop", "adopt", "capture", "root"};
    call((const char *const[]){"readelf", "-n", BUILD "/libctxshim.so", NULL});
    for (gsize i = 0; i < G_N_ELEMENTS(probes); i++) {
        char *note = g_strdup_printf("Provider: ctxshim\n    Name: %s\n", probes[i]);
        expect(note);
        g_free(note);
    }
}
