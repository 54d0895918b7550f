/* Runs the unit tests without Criterion: see criterion/criterion.h here. Exit: 0 when all pass. */
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 900 }; /* under valgrind threads take turns */

static struct plain_entry *first;

void plain_add(struct plain_entry *entry) {
    entry->next = first;
    first = entry;
}

void plain_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    _exit(1);
}

static const struct plain_entry *suite_of(const struct plain_entry *test) {
    const struct plain_entry *entry = first;
    while (entry != NULL && (entry->body != NULL || strcmp(entry->suite, test->suite) != 0))
        entry = entry->next;
    return entry;
}

static void run(const struct plain_entry *test) {
    const struct plain_entry *suite = suite_of(test);
    void (*init)(void) =
        test->options.init == NULL && suite != NULL ? suite->options.init : test->options.init;
    void (*fini)(void) =
        test->options.fini == NULL && suite != NULL ? suite->options.fini : test->options.fini;
    alarm(SECONDS);
    if (init != NULL)
        init();
    test->body();
    if (fini != NULL)
        fini();
    exit(0);
}

int main(void) {
    unsigned tests = 0, failures = 0;
    for (const struct plain_entry *test = first; test != NULL; test = test->next) {
        int status = -1;
        if (test->body == NULL)
            continue;
        pid_t child = fork();
        if (child == 0)
            run(test);
        tests++;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "[FAIL] %s::%s: status %#x\n", test->suite, test->name, (unsigned)status);
            failures++;
        }
    }
    fprintf(stderr, "Tested: %u | Failing: %u\n", tests, failures);
    return tests == 0 || failures != 0;
}
