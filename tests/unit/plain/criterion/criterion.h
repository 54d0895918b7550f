/* As much of Criterion's interface as the unit tests use, for ThreadSanitizer alone: Criterion's own arena
 * does not fit into the address space that it leaves. Each test runs in a forked process; the first assertion
 * that fails ends it. plain.c has main. */
#ifndef TESTS_UNIT_PLAIN_CRITERION_H
#define TESTS_UNIT_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
    void (*init)(void), (*fini)(void);
    double timeout; /* of no meaning here */
};

struct plain_entry {
    const char *suite, *name;
    void (*body)(void); /* NULL: a suite's own options */
    struct plain_options options;
    struct plain_entry *next;
};
void plain_add(struct plain_entry *entry);
void plain_fail(const char *file, int line, const char *what);

#define PLAIN_ENTRY(id, suite_name, test_name, function, ...)                                                \
    __attribute__((constructor)) static void plain_add_##id(void) {                                          \
        static struct plain_entry entry = {suite_name, test_name, function, {__VA_ARGS__}, NULL};            \
        plain_add(&entry);                                                                                   \
    }
#define TestSuite(suite, ...) PLAIN_ENTRY(suite, #suite, "", NULL, __VA_ARGS__) extern int plain_none_##suite
#define Test(suite, test, ...)                                                                               \
    static void suite##_##test(void);                                                                        \
    PLAIN_ENTRY(suite##_##test, #suite, #test, suite##_##test, __VA_ARGS__)                                  \
    static void suite##_##test(void)

#define PLAIN_CHECK(condition, text) ((condition) ? (void)0 : plain_fail(__FILE__, __LINE__, text))
#define cr_assert(condition, ...) PLAIN_CHECK(condition, #condition)
#define cr_assert_eq(a, b, ...) PLAIN_CHECK((a) == (b), #a " == " #b)
#define cr_assert_neq(a, b, ...) PLAIN_CHECK((a) != (b), #a " != " #b)
#define cr_assert_leq(a, b, ...) PLAIN_CHECK((a) <= (b), #a " <= " #b)
#define cr_assert_str_eq(a, b, ...) PLAIN_CHECK(strcmp(a, b) == 0, #a " is " #b)
#define cr_assert_arr_eq(a, b, size, ...) PLAIN_CHECK(memcmp(a, b, size) == 0, #a " is " #b)
#define cr_expect cr_assert
#define cr_expect_not(condition, ...) PLAIN_CHECK(!(condition), "not " #condition)
#define cr_expect_eq cr_assert_eq
#define cr_expect_neq cr_assert_neq
#define cr_expect_str_eq cr_assert_str_eq
#define cr_expect_gt(a, b, ...) PLAIN_CHECK((a) > (b), #a " > " #b)
#define cr_expect_lt(a, b, ...) PLAIN_CHECK((a) < (b), #a " < " #b)
#define cr_expect_leq(a, b, ...) PLAIN_CHECK((a) <= (b), #a " <= " #b)
#define cr_expect_geq(a, b, ...) PLAIN_CHECK((a) >= (b), #a " >= " #b)
#define cr_expect_neq cr_assert_neq
#define cr_log_warn(...) (void)(fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))

#endif
