/* The judge: reads what the witness wrote down and says right, wrong or unknown.
 *
 *     judge [OPTION...] DIRECTORY
 *
 * The rules, in each process apart:
 *  - The first sighting of a marker fixes its context; a later one is right when it is the same, else wrong.
 *  - What the program itself pushed below a request ("conn#1 req#1 parse") is still that request.
 *  - An empty context, or one with a '?', is unknown. It fixes nothing. So is what the fixed context lies in
 *    (its connection): no other request's, but not known either.
 *  - A context belongs to the first marker fixed in it: every known sighting of another marker that began
 * there is wrong. (A shim that always answers the same fails here, and one that answers with the thread.)
 *  - A buffer with several different markers is mixed: counted apart, neither sighting nor error.
 *  - Fewer sightings than requests x stations fail; so do none at all.
 *  - A line of an annotated log must begin with its marker's fixed context, once.
 *
 * One process is one record file and one pid in it: a program that was executed anew counts from 1 again.
 *
 * Exit: 0 when nothing is wrong, nothing unknown and enough was seen; 1 when not; 2 for a bad command line or
 * records that cannot be read. The verdict is one line on stdout; where something is unknown, a second one
 * says how late. */
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

/* The stations of a record, by the names the witness gives them. */
enum station { READ, WRITE, LOG, STATIONS };
static const char *const station_name[STATIONS] = {"read", "write", "log"};

enum finding { RIGHT, WRONG, UNKNOWN, MIXED, FINDINGS };
static const char *const finding_name[FINDINGS] = {"right", "wrong", "unknown", "mixed"};

static struct {
    int requests;
    char *stations; /* "8", or "3,3,2": reads, writes, log lines */
    char **annotated;
    int explain;
    int allow_unknown;
    int lacking; /* annotated lines */
} options;

/* What one process knows of one marker. */
struct claim {
    char *process;
    gint64 pid;
    char *context;
    bool intruder; /* the context was another marker's already */
};

static struct {
    GHashTable *markers;       /* marker -> GPtrArray of its claims, one per process */
    GHashTable *owners;        /* "process TAB context" -> the marker that was first in it */
    guint station[STATIONS];   /* sightings */
    guint found[FINDINGS];     /* of the sightings, mixed buffers apart */
    guint annotated[FINDINGS]; /* of the annotated lines */
    bool annotated_short;      /* a log had fewer lines with markers than requests */
    int explained;
    guint at;           /* how many sightings of the process at hand were judged */
    guint last_unknown; /* the latest unknown one, counted so in its process */
} trial;

static void claim_free(gpointer data) {
    struct claim *const claim = data;
    g_free(claim->process);
    g_free(claim->context);
    g_free(claim);
}

static void claims_free(gpointer data) {
    g_ptr_array_unref(data);
}

static void explain(enum finding finding, const char *marker, const char *where, const char *expected,
                    const char *got) {
    if (finding == RIGHT || trial.explained >= options.explain)
        return;
    trial.explained++;
    fprintf(stderr, "%s: %s at %s: expected \"%s\", got \"%s\"\n", finding_name[finding], marker, where,
            expected, got);
}

static bool is_unknown(const char *context) {
    return context[0] == '\0' || strchr(context, '?') != NULL;
}

/* The request that a context belongs to, as a length: through its last root, a word with '#' and a number,
 * and what is pushed below it is the program's own. A context without a root is taken whole. */
static gsize request_length(const char *context) {
    const char *end = context + strlen(context);
    for (const char *at = context; (at = strchr(at, '#')) != NULL; at++) {
        if (at > context && g_ascii_isalnum(at[-1]) && g_ascii_isdigit(at[1]))
            end = at + 1 + strspn(at + 1, "0123456789");
    }
    return (gsize)(end - context);
}

static bool same_request(const char *one, const char *other) {
    const gsize length = request_length(one);
    return length == request_length(other) && strncmp(one, other, length) == 0;
}

/* The connection of a request, say: not another's, but not the request either. */
static bool contains_request(const char *context, const char *claim) {
    const gsize length = strlen(context);
    return length < request_length(claim) && strncmp(context, claim, length) == 0 && claim[length] == ' ';
}

static enum finding hold_against(const char *claim, const char *context) {
    if (same_request(claim, context))
        return RIGHT;
    return contains_request(context, claim) ? UNKNOWN : WRONG;
}

static GPtrArray *claims_of(const char *marker) {
    GPtrArray *claims = g_hash_table_lookup(trial.markers, marker);
    if (claims == NULL) {
        claims = g_ptr_array_new_with_free_func(claim_free);
        g_hash_table_insert(trial.markers, g_strdup(marker), claims);
    }
    return claims;
}

static struct claim *claim_in(const GPtrArray *claims, const char *process) {
    for (guint i = 0; i < claims->len; i++) {
        struct claim *const claim = g_ptr_array_index(claims, i);
        if (strcmp(claim->process, process) == 0)
            return claim;
    }
    return NULL;
}

/* The first known sighting of a marker in a process. */
static struct claim *fix(GPtrArray *claims, const char *process, gint64 pid, const char *marker,
                         const char *context) {
    struct claim *const claim = g_new0(struct claim, 1);
    claim->process = g_strdup(process);
    claim->pid = pid;
    claim->context = g_strdup(context);
    char *const place = g_strdup_printf("%s\t%.*s", process, (int)request_length(context), context);
    claim->intruder = g_hash_table_contains(trial.owners, place);
    if (claim->intruder)
        g_free(place);
    else
        g_hash_table_insert(trial.owners, place, g_strdup(marker));
    g_ptr_array_add(claims, claim);
    return claim;
}

static enum finding judge_sighting(const char *process, gint64 pid, const char *marker, const char *context,
                                   const char *where) {
    GPtrArray *const claims = claims_of(marker);
    struct claim *claim = claim_in(claims, process);
    if (is_unknown(context)) {
        explain(UNKNOWN, marker, where, claim != NULL ? claim->context : "any context", context);
        return UNKNOWN;
    }
    if (claim == NULL)
        claim = fix(claims, process, pid, marker, context);
    if (claim->intruder) {
        explain(WRONG, marker, where, "a context that no other marker has", context);
        return WRONG;
    }
    const enum finding finding = hold_against(claim->context, context);
    explain(finding, marker, where, claim->context, context);
    return finding;
}

static int station_of(const char *name) {
    for (int i = 0; i < STATIONS; i++) {
        if (strcmp(name, station_name[i]) == 0)
            return i;
    }
    return -1;
}

/* One record: pid, tid, station, call, fd, marker[,marker...], context. False when it is not one. */
static bool judge_record(const char *file, char *const *field) {
    gint64 pid = 0;
    if (g_strv_length((char **)field) != 7 ||
        !g_ascii_string_to_signed(field[0], 10, 1, G_MAXINT, &pid, NULL))
        return false;
    const int station = station_of(field[2]);
    if (station < 0 || field[5][0] == '\0')
        return false;

    char *const process = g_strdup_printf("%s:%s", file, field[0]);
    char *const where = g_strdup_printf("%s %s (fd %s, process %s, thread %s)", field[2], field[3], field[4],
                                        field[0], field[1]);
    if (strchr(field[5], ',') != NULL) {
        trial.found[MIXED]++;
        explain(MIXED, field[5], where, "one marker", field[6]);
    } else {
        trial.station[station]++;
        trial.at++;
        const enum finding finding = judge_sighting(process, pid, field[5], field[6], where);
        trial.found[finding]++;
        if (finding == UNKNOWN && trial.at > trial.last_unknown)
            trial.last_unknown = trial.at;
    }
    g_free(where);
    g_free(process);
    return true;
}

/* The lines of a file, or NULL with a message. Owned by the caller. */
static char **lines_of(const char *path) {
    char *text = NULL;
    gsize length = 0;
    GError *error = NULL;
    if (!g_file_get_contents(path, &text, &length, &error)) {
        fprintf(stderr, "judge: %s\n", error->message);
        g_error_free(error);
        return NULL;
    }
    for (gsize i = 0; i < length; i++) { /* a log may hold anything */
        if (text[i] == '\0')
            text[i] = ' ';
    }
    char **const lines = g_strsplit(text, "\n", -1);
    g_free(text);
    return lines;
}

static bool judge_file(const char *path, const char *name) {
    char **const lines = lines_of(path);
    bool good = lines != NULL;
    trial.at = 0;
    for (guint i = 0; good && lines[i] != NULL; i++) {
        if (lines[i][0] == '\0' && lines[i + 1] == NULL)
            break;
        char **const field = g_strsplit(lines[i], "\t", -1);
        good = judge_record(name, field);
        g_strfreev(field);
        if (!good)
            fprintf(stderr, "judge: %s:%u: not a record of the witness\n", path, i + 1);
    }
    g_strfreev(lines);
    return good;
}

static bool judge_directory(const char *path) {
    GError *error = NULL;
    GDir *const directory = g_dir_open(path, 0, &error);
    if (directory == NULL) {
        fprintf(stderr, "judge: %s\n", error->message);
        g_error_free(error);
        return false;
    }
    bool good = true;
    const char *name;
    while (good && (name = g_dir_read_name(directory)) != NULL) {
        if (!g_str_has_suffix(name, ".witness"))
            continue;
        char *const file = g_build_filename(path, name, NULL);
        good = judge_file(file, name);
        g_free(file);
    }
    g_dir_close(directory);
    return good;
}

/* ---- Annotated logs ---- */

static GRegex *marker_pattern; /* as the load client makes them */
static GRegex
    *prefix_pattern; /* an annotation, and what it says: [pid:context] or [context], a root's name in it */

/* Does one of the marker's claims say so? pid 0: the line does not say which process wrote it. */
static enum finding compare(const GPtrArray *claims, gint64 pid, const char *context) {
    enum finding finding = UNKNOWN; /* the witness itself never knew */
    for (guint i = 0; claims != NULL && i < claims->len; i++) {
        const struct claim *const claim = g_ptr_array_index(claims, i);
        if (pid != 0 && pid != claim->pid)
            continue;
        const enum finding here = hold_against(claim->context, context);
        if (here == RIGHT)
            return RIGHT;
        finding = here == WRONG ? WRONG : finding;
    }
    return finding;
}

static enum finding judge_line(const char *line, const char *marker) {
    GMatchInfo *match = NULL;
    if (!g_regex_match(prefix_pattern, line, G_REGEX_MATCH_ANCHORED, &match)) {
        g_match_info_free(match);
        explain(UNKNOWN, marker, "an annotated line", "a prefix", line);
        return UNKNOWN;
    }
    char *const pid = g_match_info_fetch_named(match, "pid");
    char *const context = g_match_info_fetch_named(match, "context");
    enum finding finding = UNKNOWN;
    if (!is_unknown(context))
        finding =
            compare(g_hash_table_lookup(trial.markers, marker), g_ascii_strtoll(pid, NULL, 10), context);
    explain(finding, marker, "an annotated line", "its fixed context", line);
    g_free(context);
    g_free(pid);
    g_match_info_free(match);
    return finding;
}

static guint occurrences(const GRegex *pattern, const char *text) {
    GMatchInfo *match = NULL;
    guint count = 0;
    g_regex_match(pattern, text, 0, &match);
    for (; g_match_info_matches(match); count++)
        g_match_info_next(match, NULL);
    g_match_info_free(match);
    return count;
}

/* The one marker of a line; NULL when there is none; "" when there are several different ones. */
static char *marker_of(const char *line) {
    GMatchInfo *match = NULL;
    char *marker = NULL;
    g_regex_match(marker_pattern, line, 0, &match);
    for (; g_match_info_matches(match); g_match_info_next(match, NULL)) {
        char *const found = g_match_info_fetch(match, 0);
        const bool other = marker != NULL && strcmp(marker, found) != 0;
        g_free(marker);
        marker = other ? g_strdup("") : g_strdup(found);
        g_free(found);
        if (other)
            break;
    }
    g_match_info_free(match);
    return marker;
}

static bool judge_log(const char *path) {
    char **const lines = lines_of(path);
    int seen = 0;
    for (guint i = 0; lines != NULL && lines[i] != NULL; i++) {
        char *const marker = marker_of(lines[i]);
        if (occurrences(prefix_pattern, lines[i]) > 1) {
            trial.annotated[WRONG]++;
            explain(WRONG, marker != NULL ? marker : "no marker", "an annotated line", "one prefix",
                    lines[i]);
        } else if (marker != NULL && marker[0] == '\0') {
            trial.annotated[MIXED]++;
        } else if (marker != NULL) {
            trial.annotated[judge_line(lines[i], marker)]++;
        }
        seen += marker != NULL;
        g_free(marker);
    }
    if (seen + options.lacking < options.requests || seen == 0)
        trial.annotated_short = true;
    g_strfreev(lines);
    return lines != NULL;
}

static bool judge_logs(void) {
    marker_pattern =
        g_regex_new("CTXM-[0-9a-fA-F]{8}-[0-9a-fA-F]{8}-E", G_REGEX_RAW | G_REGEX_OPTIMIZE, 0, NULL);
    prefix_pattern = g_regex_new("\\[(?:(?<pid>[0-9]+):)?(?<context>[^][]*\\w#[0-9]+[^][]*)\\] ",
                                 G_REGEX_RAW | G_REGEX_OPTIMIZE, 0, NULL);
    bool good = true;
    for (char **path = options.annotated; good && path != NULL && *path != NULL; path++)
        good = judge_log(*path);
    g_regex_unref(prefix_pattern);
    g_regex_unref(marker_pattern);
    return good;
}

/* ---- The verdict ---- */

/* How many sightings there must be: in all, or of each station kind. False when the text is neither. */
static bool parse_stations(guint need[STATIONS], guint *total) {
    char **const part = g_strsplit(options.stations != NULL ? options.stations : "0", ",", -1);
    const guint parts = g_strv_length(part);
    bool good = parts == 1 || parts == STATIONS;
    *total = 0;
    for (guint i = 0; good && i < parts; i++) {
        guint64 number = 0;
        good = g_ascii_string_to_unsigned(part[i], 10, 0, 1000, &number, NULL);
        const guint each = (guint)number * (guint)options.requests;
        *total += each;
        need[i] = parts == STATIONS ? each : 0;
    }
    g_strfreev(part);
    return good;
}

static guint sightings(void) {
    return trial.station[READ] + trial.station[WRITE] + trial.station[LOG];
}

/* What the trial lacks, as the end of the verdict line; "" when nothing. Owned by the caller. */
static char *shortage(const guint need[STATIONS], guint total) {
    GString *const text = g_string_new(NULL);
    const guint requests = g_hash_table_size(trial.markers);
    if (sightings() == 0)
        g_string_append(text, "; too few: nothing was seen");
    else if (requests < (guint)options.requests)
        g_string_append_printf(text, "; too few: %d requests were made", options.requests);
    else if (sightings() < total)
        g_string_append_printf(text, "; too few: %u sightings expected", total);
    for (int i = 0; i < STATIONS; i++) {
        if (trial.station[i] < need[i])
            g_string_append_printf(text, "; too few: %u at station %s expected", need[i], station_name[i]);
    }
    if (trial.annotated_short)
        g_string_append(text, "; too few: a log lacks annotated lines");
    return g_string_free(text, FALSE);
}

/* Prints the one line. True when it is in the shim's favour. */
static bool verdict(const guint need[STATIONS], guint total) {
    char *const missing = shortage(need, total);
    printf("verdict: %u requests, %u sightings (%u reads, %u writes, %u log lines): %u right, %u wrong, %u "
           "unknown, "
           "%u mixed",
           g_hash_table_size(trial.markers), sightings(), trial.station[READ], trial.station[WRITE],
           trial.station[LOG], trial.found[RIGHT], trial.found[WRONG], trial.found[UNKNOWN],
           trial.found[MIXED]);
    if (options.annotated != NULL)
        printf("; annotated lines: %u right, %u wrong, %u unknown, %u mixed", trial.annotated[RIGHT],
               trial.annotated[WRONG], trial.annotated[UNKNOWN], trial.annotated[MIXED]);
    printf("%s\n", missing);
    if (trial.found[UNKNOWN] > 0)
        printf("unknown: all within the first %u sightings of a process\n", trial.last_unknown);
    const bool enough = missing[0] == '\0';
    g_free(missing);
    return enough && trial.found[WRONG] + trial.annotated[WRONG] == 0 &&
           trial.found[UNKNOWN] + trial.annotated[UNKNOWN] <= (guint)options.allow_unknown;
}

static bool parse_options(int *argc, char ***argv) {
    const GOptionEntry entries[] = {
        {"requests", 0, 0, G_OPTION_ARG_INT, &options.requests, "How many requests were made", "N"},
        {"stations", 0, 0, G_OPTION_ARG_STRING, &options.stations,
         "How often each marker must be seen: in all, or reads,writes,log lines", "S|R,W,L"},
        {"annotated", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.annotated,
         "A log that the shim annotated; may be given again", "FILE"},
        {"explain", 0, 0, G_OPTION_ARG_INT, &options.explain,
         "Show the first N offending sightings on stderr", "N"},
        {"allow-unknown", 0, 0, G_OPTION_ARG_INT, &options.allow_unknown, "Accept up to N unknown sightings",
         "N"},
        {"lacking", 0, 0, G_OPTION_ARG_INT, &options.lacking,
         "Accept annotated logs that lack up to N lines: the server drops some", "N"},
        G_OPTION_ENTRY_NULL};
    GOptionContext *const context = g_option_context_new("DIRECTORY - judge what the witness saw");
    GError *error = NULL;
    g_option_context_set_strict_posix(context, TRUE);
    g_option_context_add_main_entries(context, entries, NULL);
    const bool good = g_option_context_parse(context, argc, argv, &error);
    g_option_context_free(context);
    if (!good) {
        fprintf(stderr, "judge: %s\n", error->message);
        g_error_free(error);
        return false;
    }
    if (*argc != 2 || options.requests < 0 || options.allow_unknown < 0 || options.lacking < 0 ||
        options.explain < 0) {
        fprintf(stderr, "judge: one directory, and numbers from 0 on; see judge --help\n");
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    guint need[STATIONS] = {0};
    guint total = 0;
    if (!parse_options(&argc, &argv))
        return EXIT_USAGE;
    if (!parse_stations(need, &total)) {
        fprintf(stderr, "judge: --stations takes one number, or three with commas between\n");
        return EXIT_USAGE;
    }
    trial.markers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, claims_free);
    trial.owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const bool readable = judge_directory(argv[1]) && judge_logs();
    const bool favourable = readable && verdict(need, total);
    g_hash_table_unref(trial.owners);
    g_hash_table_unref(trial.markers);
    g_free(options.stations);
    g_strfreev(options.annotated);
    if (!readable)
        return EXIT_USAGE;
    return favourable ? EXIT_SUCCESS : EXIT_REFUSED;
}
