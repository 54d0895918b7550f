/* ctxshim.h in every kind of program. Strategy: contract.c asserts the promises from inside; the makefile
 * builds it in each way with each compiler, and here each is run plain and preloaded. */
#include <criterion/criterion.h>
#include <glib.h>
#include <sys/wait.h>

#define PROGRAMS BUILD "/tests/header/"

static const char *const compilers[] = {"gcc", "clang"};
static const char *const programs[] = {"c99-pie", "c17-no-pie", "cxx11-pie", "cxx20-no-pie"};
static const char *const static_programs[] = {"c17-static", "c17-static-pie"};

static void expect_success(char **arguments, const char *preload) {
    char **environment = g_environ_unsetenv(g_get_environ(), "LD_PRELOAD");
    char *errors = NULL;
    GError *error = NULL;
    int status = 0;
    if (preload)
        environment = g_environ_setenv(environment, "LD_PRELOAD", preload, TRUE);
    cr_assert(g_spawn_sync(NULL, arguments, environment, G_SPAWN_DEFAULT, NULL, NULL, NULL, &errors, &status,
                           &error),
              "%s", error ? error->message : "");
    cr_expect(status == 0, "%s %s: status 0x%x\n%s", arguments[0], arguments[1], (unsigned)status, errors);
    cr_expect_str_empty(errors, "%s: %s", arguments[0], errors);
}

static void expect_contract(const char *program, const char *compiler, const char *object, const char *how) {
    char *preload = strcmp(how, "with") == 0 ? g_canonicalize_filename(BUILD "/libctxshim.so", NULL) : NULL;
    char *path = g_strdup_printf(PROGRAMS "%s-%s", compiler, program);
    char *arguments[] = {path, (char *)how, (char *)object, NULL};
    expect_success(arguments, preload);
    g_free(path);
    g_free(preload);
}

static void expect_of_programs(const char *how) {
    for (size_t c = 0; c < G_N_ELEMENTS(compilers); c++)
        for (size_t p = 0; p < G_N_ELEMENTS(programs); p++)
            expect_contract(programs[p], compilers[c], NULL, how);
}

static void expect_of_shared_objects(const char *how) {
    for (size_t c = 0; c < G_N_ELEMENTS(compilers); c++) {
        char *object = g_strdup_printf("./" PROGRAMS "%s-c11-shared.so", compilers[c]);
        expect_contract("opener", compilers[c], object, how);
        g_free(object);
    }
}

TestSuite(header, .timeout = 60);

Test(header, does_without_the_shim) {
    expect_of_programs("without");
}

Test(header, reaches_the_shim) {
    expect_of_programs("with");
}

Test(header, does_without_the_shim_in_static_programs) {
    for (size_t c = 0; c < G_N_ELEMENTS(compilers); c++)
        for (size_t p = 0; p < G_N_ELEMENTS(static_programs); p++)
            expect_contract(static_programs[p], compilers[c], NULL, "without");
}

Test(header, does_without_the_shim_in_shared_objects) {
    expect_of_shared_objects("without");
}

Test(header, reaches_the_shim_from_shared_objects) {
    expect_of_shared_objects("with");
}

/* ctxshim.hpp: objects.cc asserts its promises from inside. */
static void expect_of_objects(const char *how) {
    static const char *const standards[] = {"objects-11", "objects-14", "objects-17-no-exceptions",
                                            "objects-20"};
    for (size_t c = 0; c < G_N_ELEMENTS(compilers); c++)
        for (size_t s = 0; s < G_N_ELEMENTS(standards); s++)
            expect_contract(standards[s], compilers[c], NULL, how);
}

Test(header, objects_do_without_the_shim) {
    expect_of_objects("without");
}

Test(header, objects_reach_the_shim) {
    expect_of_objects("with");
}
