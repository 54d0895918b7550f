/* Criterion tests: the shim under real, unmodified servers, judged by the witness. Every read, write and log
 * line of every request must be attributed right: none wrong, none unknown. To be run from the root of the
 * tree. */
#define _GNU_SOURCE 1
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#ifndef BUILD
#    define BUILD "build"
#endif

/* The other kinds of server, and what the shim costs each: make matrix. */

/* Runs a server's script with environment settings; what it says is shown, and the verdict must be
 * favourable. */
static void serve(const char *script, const char *settings) {
    char command[512];
    char line[1024];
    int verdicts = 0;
    snprintf(command, sizeof command, "BUILD=" BUILD " %s timeout 120 tests/servers/%s 2>&1", settings,
             script);
    FILE *const output = popen(command, "r");
    cr_assert(output != NULL, "cannot run %s", command);
    while (fgets(line, sizeof line, output) != NULL) {
        fprintf(stderr, "%s %s: %s", script, settings, line);
        verdicts += strncmp(line, "verdict: ", 9) == 0;
    }
    const int status = pclose(output);
    cr_assert(WIFEXITED(status), "%s %s was killed", script, settings);
    cr_expect(verdicts == 1, "%s %s: %d verdict lines", script, settings, verdicts);
    cr_expect(WEXITSTATUS(status) == 0, "%s %s: status %d", script, settings, WEXITSTATUS(status));
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
BOTH(lighttpd, "lighttpd.sh")
BOTH(memcached, "memcached.sh")
BOTH(apache_event, "apache.sh event")
BOTH(apache_worker, "apache.sh worker")
BOTH(apache_prefork, "apache.sh prefork")
BOTH(own_queues, "api.sh")

Test(nginx_proxy, annotated, .timeout = 150) {
    serve("nginx-proxy.sh", "ANNOTATE=1");
}

Test(memcached, annotated, .timeout = 150) {
    serve("memcached.sh", "ANNOTATE=1");
}

/* Loops that work outside their events have to prove it first; then, and with dispatch=exact, nothing is
 * unknown. */

Test(redis, dispatch_exact, .timeout = 150) {
    serve("redis.sh", "DISPATCH=exact");
}

Test(asyncio, dispatch_exact, .timeout = 150) {
    serve("asyncio.sh", "DISPATCH=exact");
}

Test(h2o, dispatch_exact, .timeout = 150) {
    serve("proxy.sh h2o", "DISPATCH=exact");
}

Test(squid, dispatch_exact, .timeout = 150) {
    serve("proxy.sh squid", "DISPATCH=exact");
}
