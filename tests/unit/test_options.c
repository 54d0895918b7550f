/* The options parser, alone. */
#include "../../shim/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char warned[1024];

static void warn(const char *what, const char *of) {
    size_t used = strlen(warned);
    snprintf(warned + used, sizeof warned - used, "%s%s%s;", of != NULL ? of : "", of != NULL ? "=" : "",
             what);
}

static void read_options(const char *text) {
    warned[0] = '\0';
    options_read(text, warn);
}

static void expect_defaults(void) {
    cr_expect_str_eq(options.annotate, "");
    cr_expect_eq(options.annotate_pid, 0);
    cr_expect_eq(options.dispatch, DISPATCH_AUTO);
    cr_expect_eq(options.roots, 1);
    cr_expect_eq(options.verbose, 0);
    cr_expect_eq(options.help, 0);
}

Test(options, defaults) {
    memset(&options, 0x55, sizeof options);
    read_options(NULL);
    expect_defaults();
    read_options("");
    expect_defaults();
    read_options(" ,:\t\r\n: ");
    expect_defaults();
    cr_expect_str_eq(warned, "");
}

Test(options, every_word_of_a_choice) {
    read_options("dispatch=exact");
    cr_expect_eq(options.dispatch, DISPATCH_EXACT);
    read_options("dispatch=batch");
    cr_expect_eq(options.dispatch, DISPATCH_BATCH);
    read_options("dispatch=exact:dispatch=auto");
    cr_expect_eq(options.dispatch, DISPATCH_AUTO);
    cr_expect_str_eq(warned, "");
}

Test(options, any_separator) {
    read_options("verbose=1:roots=0,annotate_pid=1 dispatch=exact\nhelp=1");
    cr_expect(options.verbose == 1 && options.roots == 0 && options.annotate_pid == 1 && options.help == 1 &&
              options.dispatch == DISPATCH_EXACT);
    cr_expect_str_eq(warned, "");
}

Test(options, what_is_unknown_is_named_and_ignored) {
    read_options("colour=red:verbose=1:dispatch=sometimes:roots=2:verbos=1:=:=x");
    cr_expect_eq(options.verbose, 1);
    cr_expect_eq(options.dispatch, DISPATCH_AUTO);
    cr_expect_eq(options.roots, 1);
    cr_expect_str_eq(warned, "colour;dispatch=sometimes;roots=2;verbos;;;");
}

Test(options, a_prefix_of_a_word_is_not_the_word) {
    read_options("dispatch=exac:dispatch=exactly:dispatch=:verbose:dispatch=auto|exact");
    cr_expect_eq(options.dispatch, DISPATCH_AUTO);
    cr_expect_str_eq(warned, "dispatch=exac;dispatch=exactly;dispatch=;verbose=;dispatch=auto|exact;");
}

Test(options, a_list_adds_up) {
    read_options("annotate=stderr:annotate=*.log:annotate='a b,c:d'");
    cr_expect_str_eq(options.annotate, "stderr,*.log,a b,c:d");
    read_options("annotate=stdout");
    cr_expect_str_eq(options.annotate, "stdout", "each reading starts from the defaults");
}

Test(options, quotes_protect) {
    read_options("annotate=\"a,b\":verbose='1':dispatch=\"exact\"");
    cr_expect_str_eq(options.annotate, "a,b");
    cr_expect_eq(options.verbose, 1);
    cr_expect_eq(options.dispatch, DISPATCH_EXACT);
    read_options("annotate='never closed:verbose=1");
    cr_expect_str_eq(options.annotate, "never closed:verbose=1");
    cr_expect_eq(options.verbose, 0);
}

Test(options, what_is_too_long_is_cut_or_refused) {
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "annotate=", 9);
    read_options(text);
    cr_expect_lt(strlen(options.annotate), OPTION_LIST_ROOM);
    strcpy(text, "");
    for (int i = 0; i < 100; i++)
        strcat(text, "annotate=twenty-characters-ok:");
    strcat(text, "verbose=1");
    read_options(text);
    cr_expect_lt(strlen(options.annotate), OPTION_LIST_ROOM);
    cr_expect_eq(options.verbose, 1);
    cr_expect_neq(warned[0], '\0', "what found no room is said");
}

static unsigned lines;

static void help_line(const char *name, const char *values, const char *help) {
    cr_expect(name[0] != '\0' && values[0] != '\0' && help[0] != '\0');
    lines++;
}

Test(options, each_has_a_line_of_help) {
    options_help(help_line);
    cr_expect_geq(lines, 6);
}

/* What is cut would be another file, or another pattern. */
Test(options, what_is_too_long_is_named_and_ignored) {
    char text[OPTION_LIST_ROOM + 64] = "trace=";
    memset(text + strlen(text), 't', OPTION_TEXT_ROOM - 1);
    read_options(text);
    cr_expect(warned[0] == '\0' && strlen(options.trace) == OPTION_TEXT_ROOM - 1);
    text[strlen(text)] = 't';
    read_options(text);
    cr_expect(strncmp(warned, "trace=ttt", 9) == 0 && options.trace[0] == '\0');
    strcpy(text, "annotate=");
    memset(text + strlen(text), 'a', OPTION_LIST_ROOM - 2);
    read_options(text);
    cr_expect(warned[0] == '\0' && strlen(options.annotate) == OPTION_LIST_ROOM - 2);
    strcat(text, "aa:verbose=1");
    read_options(text);
    cr_expect(strncmp(warned, "annotate=aaa", 12) == 0 && options.annotate[0] == '\0' &&
              options.verbose == 1);
}
