/* Criterion tests: the shim under real, unmodified servers, judged by the witness. Every read, write and log
 * line of every request must be attributed right: none wrong, none unknown, but for the first operations of a
 * loop that has to prove itself. To be run from the root of the tree. */
#define _GNU_SOURCE 1
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#ifndef BUILD
#    define BUILD "build"
#endif

/* The other kinds of server, and what the shim costs each: make matrix. */

/* Runs a server's script with environment settings; what it says is shown. The verdict must be favourable: at
 * best at once, else none wrong, and no more than so many unknown. */
static void serve_proving(const char *script, const char *settings, int allowed) {
    char command[512];
    char line[1024];
    int verdicts = 0, unknown = 0;
    bool wrong = false;
    snprintf(command, sizeof command, "BUILD=" BUILD " %s timeout 120 tests/servers/%s 2>&1", settings,
             script);
    FILE *const output = popen(command, "r");
    cr_assert(output != NULL, "cannot run %s", command);
    while (fgets(line, sizeof line, output) != NULL) {
        fprintf(stderr, "%s %s: %s", script, settings, line);
        if (strncmp(line, "verdict: ", 9) != 0)
            continue;
        verdicts++;
        const char *const count = strstr(line, "right, 0 wrong, ");
        if (count != NULL)
            unknown = atoi(count + strlen("right, 0 wrong, "));
        wrong |= count == NULL || strstr(line, "too few") != NULL;
    }
    const int status = pclose(output);
    cr_assert(WIFEXITED(status), "%s %s was killed", script, settings);
    cr_expect(verdicts == 1 && !wrong, "%s %s: %d verdict lines", script, settings, verdicts);
    cr_expect(unknown <= allowed, "%s %s: %d unknown", script, settings, unknown);
    cr_expect(WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 1 && unknown > 0), "%s %s: status %d",
              script, settings, WEXITSTATUS(status));
}

static void serve(const char *script, const char *settings) {
    serve_proving(script, settings, 0);
}

#define BOTH(suite, script)                                                                                  \
    Test(suite, dispatch_auto, .timeout = 150) {                                                             \
        serve(script, "DISPATCH=auto");                                                                      \
    }                                                                                                        \
    Test(suite, dispatch_exact, .timeout = 150) {                                                            \
        serve(script, "DISPATCH=exact");                                                                     \
    }

BOTH(nginx_proxy, "nginx-proxy.sh")
BOTH(nginx_files, "nginx-files.sh")
BOTH(apache_event, "apache.sh event")
BOTH(apache_worker, "apache.sh worker")
BOTH(apache_prefork, "apache.sh prefork")
BOTH(own_queues, "api.sh")
BOTH(passed_to_loops, "passed.sh loop")
BOTH(passed_to_threads, "passed.sh threads")

Test(nginx_proxy, annotated, .timeout = 150) {
    serve("nginx-proxy.sh", "ANNOTATE=1");
}

Test(memcached, annotated, .timeout = 150) {
    serve("memcached.sh", "ANNOTATE=1");
}

/* Loops that work outside their events, or log for several answers at once, have to prove it first, in a
 * hundred operations of three to five sightings for each loop; then, and with dispatch=exact, nothing is
 * unknown. */
#define PROVING(suite, script, allowed)                                                                      \
    Test(suite, dispatch_auto, .timeout = 150) {                                                             \
        serve_proving(script, "DISPATCH=auto", allowed);                                                     \
    }                                                                                                        \
    Test(suite, dispatch_exact, .timeout = 150) {                                                            \
        serve(script, "DISPATCH=exact");                                                                     \
    }

PROVING(lighttpd, "lighttpd.sh", 300)
PROVING(memcached, "memcached.sh", 1200) /* four loops */
PROVING(redis, "redis.sh", 300)
PROVING(asyncio, "asyncio.sh", 300)
PROVING(squid, "proxy.sh squid", 500)
PROVING(h2o, "proxy.sh h2o", 1000) /* two loops */

/* --- what they leave behind (make leaks: all kinds of them) ----------------------------------------- */

/* Nobody has left a scope open; and the connections of the pool are found, with who left a request there. */
Test(leaks, servers_are_clean, .timeout = 150) {
    char line[1024];
    int pools = 0, ends = 0;
    FILE *const output = popen("BUILD=" BUILD " REQUESTS=20 LEAKS_AFTER=1 timeout 120 tests/servers/leaks.sh "
                               "nginx-proxy.sh memcached.sh 2>&1",
                               "r");
    cr_assert(output != NULL);
    while (fgets(line, sizeof line, output) != NULL) {
        fprintf(stderr, "leaks.sh: %s", line);
        pools += strstr(line, "× outbound connection (its server), from `ngx_writev` |") != NULL;
        ends += strncmp(line, "leaks: no server", 16) == 0;
    }
    cr_expect(pclose(output) == 0);
    cr_expect(pools == 1 && ends == 1, "%d tables with the pool, %d verdicts", pools, ends);
}
