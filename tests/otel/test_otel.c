/* `ctxshim run --otel`: what a profiler finds. It is read from outside, by the symbol table and the thread
 * pointer (reader.py), and compared with what the timeline says of the same process, or with what the subject
 * does. Run from the root of the tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUBJECT BUILD "/tests/otel/subject"
#define STANDING BUILD "/tests/ps/subject"
#define COMMAND BUILD "/ctxshim"

static char *folder;
static GPid subject, child;
static GString *said;

static void begin(void) {
    folder = g_dir_make_tmp("ctxshim-otel-XXXXXX", NULL);
    said = g_string_new(NULL);
    g_unsetenv("TRACEPARENT");
}

static void end(void) {
    char *arguments[] = {"rm", "-rf", folder, NULL};
    if (child > 0)
        kill(child, SIGKILL);
    if (subject > 0) {
        kill(subject, SIGKILL);
        waitpid(subject, NULL, 0);
    }
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

#if defined(__x86_64__)
#    define DISABLED false
#else
#    define DISABLED true /* the reader cannot */
#endif
TestSuite(otel, .init = begin, .fini = end, .timeout = 300, .disabled = DISABLED);

/* Whatever becomes of the test, its subject does not stay. */
static void die_with_test(gpointer unused) {
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Starts a program, with a timeline, and waits until it says that it stands. */
static void stand(const char *option, const char *program, const char *mode) {
    char *trace = g_strdup_printf("--trace=%s/t", folder), line[4096];
    const char *const arguments[] = {COMMAND, "run", trace, option, "--", program, mode, NULL};
    int out;
    cr_assert(g_spawn_async_with_pipes(NULL, (char **)arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                       die_with_test, NULL, &subject, NULL, &out, NULL, NULL));
    FILE *from = fdopen(out, "r");
    while (fgets(line, sizeof line, from) != NULL && strcmp(line, "ready\n") != 0)
        g_string_append(said, line);
    cr_assert(strcmp(line, "ready\n") == 0, "it does not start: %s", said->str);
    g_free(trace);
}

/* Looks at a process, and has Python say whether `check` holds: an expression over `context`, `threads` (name
 * -> record), `spans` (of the timeline: id -> span), and `said`, what the subject printed. */
static void expect(GPid pid, const char *check) {
    static const char program[] =
        "import json,subprocess,sys\n"
        "run=lambda *a: subprocess.run(a,capture_output=True,text=True,check=True).stdout\n"
        "command,pid,trace,said,check=sys.argv[1:]\n"
        "seen=json.loads(run(sys.executable,'tests/otel/reader.py',pid))\n"
        "context,threads=seen['context'],{t['name']:t['record'] for t in seen['threads']}\n"
        "spans={s['spanId']:s for l in run(command,'trace','--format=otlp',trace).splitlines()\n"
        "  for r in json.loads(l)['resourceSpans'] for c in r['scopeSpans'] for s in c['spans']}\n"
        "text=lambda r: r['attributes']['ctxshim.context']\n"
        "same=lambda r: spans[r['span']]['traceId']==r['trace'] and "
        "text(r).endswith(spans[r['span']]['name'])\n"
        "if not eval(check): sys.exit(f'{check} does not hold:\\n{seen}\\n{spans}')\n";
    char *number = g_strdup_printf("%d", pid), *trace = g_build_filename(folder, "t", NULL), *error = NULL;
    const char *const arguments[] = {"python3", "-c",      program, COMMAND, number,
                                     trace,     said->str, check,   NULL};
    int status = -1;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &error,
                           &status, NULL));
    cr_expect(status == 0, "%s", error);
    g_free(trace);
    g_free(number);
}

Test(otel, each_thread_shows_the_span_that_the_timeline_has) {
    stand("--otel", STANDING, "still");
    expect(subject, "threads['subject'] is None and threads['idler'] is None");
    expect(subject, "text(threads['server'])=='conn#1 req#1' and same(threads['server'])");
    expect(subject, "text(threads['worker'])=='handed over' and same(threads['worker'])");
    expect(subject, "text(threads['scoped']).startswith('Main ') and same(threads['scoped'])");
    expect(subject, "len({r['trace'] for r in threads.values() if r})==4");
    expect(subject, "all(r['flags']==3 for r in threads.values() if r)");
}

Test(otel, the_process_says_what_it_publishes) {
    stand("--otel", STANDING, "still");
    expect(subject, "context['resource']['process.pid']==int(pid)");
    expect(subject, "context['attributes']=={'threadlocal.schema_version':'tlsdesc_v1_dev',"
                    "'threadlocal.attribute_key_map':['ctxshim.context']}");
}

Test(otel, nothing_is_published_without_the_option) {
    stand("--comm", STANDING, "still");
    expect(subject, "context=={'mappings':0} and not any(threads.values())");
}

Test(otel, what_is_in_doubt_is_not_shown) {
    stand("--otel", SUBJECT, "doubt");
    expect(subject, "threads['doubtful'] is None and text(threads['subject'])=='two'");
    /* The timeline links it to what it may be. */
    expect(subject, "[s for s in spans.values() if s['name']=='one?' and [l for l in s['links'] if "
                    "l=={'traceId':threads['subject']['trace'],'spanId':threads['subject']['span']}]]");
}

Test(otel, a_record_is_whole_whenever_it_is_looked_at) {
    stand("--otel", STANDING, "churn");
    expect(subject, "all(r is None or (int(r['trace'],16) and int(r['span'],16) and text(r) and "
                    "all(len(set(word))==1 for word in text(r).split())) "
                    "for line in run(sys.executable,'tests/otel/reader.py',pid,'100').splitlines() "
                    "for t in json.loads(line)['threads'] for r in [t['record']])");
}

Test(otel, a_process_that_was_started_in_a_trace_is_part_of_it) {
    g_setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", TRUE);
    stand("--otel", STANDING, "still");
    expect(subject, "threads['server']['trace']=='0af7651916cd43dd8448eb211c80319c' and "
                    "threads['server']['flags']==0 and same(threads['server'])");
    expect(subject, "spans[threads['subject']['span']]['parentSpanId']=='b7ad6b7169203331'");
}

Test(otel, an_executed_program_is_given_the_current_span) {
    stand("--otel", SUBJECT, "exec");
    expect(subject, "same(threads['subject']) and f\"TRACEPARENT=00-{threads['subject']['trace']}-"
                    "{threads['subject']['span']}-03\\n\" in said");
}

Test(otel, without_the_option_no_trace_is_made_up_for_an_executed_program) {
    stand("--comm", SUBJECT, "exec");
    expect(subject, "'TRACEPARENT' not in said and 'CTXSHIM_CONTEXT=job,Save\\n' in said");
}

/* The request is the same one in both; what each does in it is not. */
Test(otel, a_fork_child_goes_on_with_the_trace_and_has_spans_of_its_own) {
    char *parents = NULL, *checks;
    stand("--otel", SUBJECT, "fork");
    child = atoi(said->str);
    expect(subject, "text(threads['subject'])=='job Outer Inner' and same(threads['subject'])");
    expect(child, "context['resource']['process.pid']==int(pid)");
    expect(child, "text(threads['subject'])=='job Outer Inner' and same(threads['subject'])");
    checks = g_strdup_printf("json.loads(run(sys.executable,'tests/otel/reader.py','%d'))['threads'][0]"
                             "['record']",
                             subject);
    parents = g_strdup_printf("(lambda p,c: p['trace']==c['trace'] and p['span']!=c['span'])(%s,"
                              "threads['subject'])",
                              checks);
    expect(child, parents);
    g_free(parents);
    g_free(checks);
}

Test(otel, names_are_shown_as_utf8_and_cut_between_characters) {
    stand("--otel", SUBJECT, "names");
    expect(subject,
           "text(threads['broken'])=='a'+'?'*2+'(\\u20ac' and text(threads['lengthy'])=='\\u00e9'*127");
}

Test(otel, what_a_handler_left_by_a_jump_is_shown_no_longer) {
    stand("--otel", SUBJECT, "left");
    expect(subject, "text(threads['subject'])=='job' and same(threads['subject'])");
    expect(subject, "[s for s in spans.values() if s['name']=='Handler' and not s['attributes'][1:]]");
}

/* What one asks when a server hangs: which request is it? */
Test(otel, a_stuck_nginx_shows_the_request_that_it_is_stuck_in) {
    char *out = NULL, *error = NULL, *command = g_canonicalize_filename(COMMAND, NULL);
    const char *const arguments[] = {"python3", "tests/otel/stuck.py", command, folder, NULL};
    int status = -1;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &error,
                           &status, NULL));
    cr_assert(status == 0, "%s", error);
    GRegex *request = g_regex_new("\"context\":\"(conn#1 req#[0-9]+)\",\"ambiguous\":false,\"evidence\":\""
                                  "read\",\"carrier\":\"connection\"",
                                  0, 0, NULL);
    GMatchInfo *match;
    cr_assert(g_regex_match(request, out, 0, &match), "%s", out);
    char *name = g_match_info_fetch(match, 1);
    char *shown = g_strdup_printf("\"ctxshim.context\": \"%s\"", name);
    cr_expect(strstr(out, shown) != NULL, "no %s in %s", shown, out);
    g_free(shown);
    g_free(name);
    g_match_info_unref(match);
    g_regex_unref(request);
    g_free(command);
}

Test(otel, a_program_with_a_variable_of_that_name_keeps_its_own) {
    const char *const arguments[] = {COMMAND, "run", "--otel", "--", SUBJECT, "own", NULL};
    int status = -1;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, 0, NULL, NULL, NULL, NULL, &status, NULL));
    cr_expect(status == 0, "%d", status);
}
