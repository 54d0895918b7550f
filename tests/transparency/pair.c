/* Programs plain and under the shim: see pair.h. */
#include "pair.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char frame[] =
    "dir=$(mktemp -d) || exit 99; trap 'rm -rf \"$dir\"' EXIT; TREE=$PWD; cd \"$dir\" || exit 99\n"
    "start() { exec=exec; ctx \"$@\"; }; exec=\n"
    "mkdir w && cd w || exit 99; HOME=$dir; export HOME TREE\n"
    "port() { python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); "
    "print(s.getsockname()[1])'; }\n";

static char *way_of(const char *options) {
    char *library = realpath(BUILD "/libctxshim.so", NULL);
    cr_assert(library != NULL, "no " BUILD "/libctxshim.so");
    char *way =
        options != NULL
            ? g_strdup_printf("SHIM=%s; ctx() { LD_PRELOAD=$SHIM CTXSHIM_OPTIONS=\"%s\" $exec \"$@\"; }\n"
                              "ctx grep -q libctxshim /proc/self/maps || exit 98\n",
                              library, options)
            : g_strdup("SHIM=; ctx() { $exec \"$@\"; }\n");
    free(library);
    return way;
}

struct outcome pair_run(const char *script, const char *options) {
    struct outcome outcome;
    char *way = way_of(options), *text = g_strconcat(way, frame, script, NULL);
    char limit[16];
    g_snprintf(limit, sizeof limit, "%d",
               getenv("HAZARDS_THOROUGH") != NULL ? 3 * PAIR_SECONDS : PAIR_SECONDS);
    char *arguments[] = {"timeout", "-s", "KILL", limit, "bash", "-c", text, NULL};
    GError *error = NULL;
    bool started = g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &outcome.out,
                                &outcome.err, &outcome.status, &error);
    cr_assert(started, "%s", error != NULL ? error->message : "");
    g_free(way);
    g_free(text);
    return outcome;
}

void pair_free(struct outcome *outcome) {
    g_free(outcome->out);
    g_free(outcome->err);
}

/* Says where two texts part. */
static void expect_text(const char *what, const char *options, const char *is, const char *was) {
    size_t line = 1, begin = 0, at = 0;
    for (; is[at] != '\0' && is[at] == was[at]; at++)
        if (is[at] == '\n') {
            line++;
            begin = at + 1;
        }
    cr_expect(is[at] == was[at], "options '%s': %s: from line %zu on it is\n%.500s\nand was\n%.500s", options,
              what, line, is + begin, was + begin);
}

static void expect_equal(const char *options, const struct outcome *plain, const struct outcome *shimmed) {
    bool killed = WIFSIGNALED(shimmed->status) && WTERMSIG(shimmed->status) == SIGKILL;
    cr_expect(!killed, "options '%s': not done after %d seconds", options, PAIR_SECONDS);
    expect_text("stdout", options, shimmed->out, plain->out);
    expect_text("stderr", options, shimmed->err, plain->err);
    cr_expect_eq(shimmed->status, plain->status, "options '%s': status %d, was %d\n%s", options,
                 shimmed->status, plain->status, shimmed->err);
}

void pair_expect_same(const char *script, const char *must_say, const char *const *options) {
    struct outcome plain = pair_run(script, NULL);
    cr_assert(WIFEXITED(plain.status), "killed without the shim: %s%s", plain.out, plain.err);
    cr_assert(strstr(plain.out, must_say) != NULL, "the script does not do its work without the shim: %s%s",
              plain.out, plain.err);
    for (; *options != NULL; options++) {
        struct outcome shimmed = pair_run(script, *options);
        expect_equal(*options, &plain, &shimmed);
        pair_free(&shimmed);
    }
    pair_free(&plain);
}
