/* monkey [--seed N] [--steps N] [--threads N] [--without A-B,C] [--whole] [--log PATH] [--coverage] [--quiet]
 * [--op NAME]
 *
 * Prints `seed N steps N: digest D`; --quiet: says it by its status alone. See monkey.h, and monkey.py, which
 * runs it in every way. */
#include "monkey.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#ifdef LINKED
#    include "../../ctxstore/context.h"
#endif

struct asked asked = {.seed = 1, .steps = 300};
const char *own_path;
static const char *without = "", *log_path;
static bool quiet;

static const struct option table[] = {
    {"seed", required_argument, NULL, 's'},    {"steps", required_argument, NULL, 'n'},
    {"threads", required_argument, NULL, 't'}, {"without", required_argument, NULL, 'x'},
    {"whole", no_argument, NULL, 'w'},         {"log", required_argument, NULL, 'l'},
    {"coverage", no_argument, NULL, 'c'},      {"op", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},         {0},
};

static void ask(int count, char **arguments) {
    for (int letter; (letter = getopt_long(count, arguments, "", table, NULL)) != -1;) {
        switch (letter) {
        case 's':
            asked.seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            asked.steps = atol(optarg);
            break;
        case 't':
            asked.threads = atoi(optarg);
            break;
        case 'x':
            without = optarg;
            break;
        case 'w':
            asked.whole = true;
            break;
        case 'l':
            log_path = optarg;
            break;
        case 'q':
            quiet = true;
            break;
        case 'c':
            asked.coverage = true;
            break;
        case 'o':
            asked.op = optarg;
            break;
        default:
            exit(2);
        }
    }
}

static bool left_out(long number) {
    for (const char *at = without; *at != '\0';) {
        char *end;
        long first = strtol(at, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        if (number >= first && number <= last)
            return true;
        at = *end == ',' ? end + 1 : end;
        if (at == end && *end != '\0')
            return false;
    }
    return false;
}

static void walk(uint64_t seed, int where) {
    for (long i = 0; i < asked.steps; i++) {
        if (left_out(i))
            continue;
        dice_throw(seed, (uint64_t)i);
        remark("step %ld", i);
        if (chance(20))
            steps_deeper(1 + below(4), where);
        else
            step(where);
        network_settle();
    }
}

static void *walk_in_a_crowd(void *argument) {
    walk(asked.seed * 1000 + *(unsigned *)argument, CROWD);
    return NULL;
}

static void crowd(void) {
    pthread_t threads[32];
    static unsigned numbers[LENGTH(threads)];
    int count = asked.threads < (int)LENGTH(threads) ? asked.threads : (int)LENGTH(threads);
    for (int i = 0; i < count; i++) {
        numbers[i] = (unsigned)i + 1;
        MUST(pthread_create(&threads[i], NULL, walk_in_a_crowd, &numbers[i]) == 0);
    }
    for (int i = 0; i < count; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
}

static void begin(void) {
    hooks_begin();
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){LOG_FD + 24, LOG_FD + 24});
    if (log_path != NULL) {
        long log = kernel_call(SYS_open, (long)log_path, O_WRONLY | O_CREAT | O_APPEND, 0600, 0, 0, 0);
        asked.log = kernel_call(SYS_dup2, log, LOG_FD, 0, 0, 0, 0) == LOG_FD;
        kernel_call(SYS_close, log, 0, 0, 0, 0, 0);
    }
    slots_begin();
    contexts_begin();
    locks_begin();
    signals_begin();
    workers_begin();
}

/* A wait that finds nothing: what was dispatched before it is over. */
static void rest(void) {
    for (int i = 0; i < 3; i++)
        poll(NULL, 0, 1);
}

static void end(void) {
    remark("the end");
    workers_end();
    signals_end();
    rest();
    contexts_end();
    slots_close_all();
    locks_end();
    rest();
    contexts_end();
}

int main(int count, char **arguments) {
    own_path = arguments[0];
    ask(count, arguments);
    begin();
    dice_throw(asked.seed, UINT32_MAX);
    if (asked.threads > 0)
        crowd();
    else
        walk(asked.seed, ALONE);
    dice_throw(asked.seed, UINT32_MAX - 1UL);
    end();
#ifdef LINKED
    char nothing = 0;
    write(-1, &nothing, 1);
    size_t left = context_live();
    if (left != 0 && !abandoned) {
        fprintf(stderr, "monkey: seed %lu: %zu contexts are left\n", (unsigned long)asked.seed, left);
        return 3;
    }
#endif
    if (asked.coverage)
        hooks_uncalled(stderr);
    if (quiet)
        return (int)(digest() % 64);
    fflush(stdout); /* which may be a wide one */
    dprintf(1, "seed %lu steps %ld: digest %016lx\n", (unsigned long)asked.seed, asked.steps,
            (unsigned long)digest());
    return 0;
}
