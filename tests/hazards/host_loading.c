/* H9, H10, H11, H13: objects that are loaded and unloaded around us. */
#include "storm.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <stdlib.h>

static char *library(const char *name) {
    static _Thread_local char path[512];
    const char *directory = getenv("HAZARDS");
    snprintf(path, sizeof path, "%s/lib%s.so", directory != NULL ? directory : "build/tests/hazards", name);
    return path;
}

HOST_CASE(H9, a_library_with_much_static_tls_is_opened_late) {
    void *opened = dlopen(library("tls"), RTLD_NOW);
    REQUIRE(opened != NULL);
    int (*touch)(void);
    void *symbol = dlsym(opened, "tls_touch");
    memcpy(&touch, &symbol, sizeof touch);
    printf("%d\n", touch());
    EXPECT(storm_once() == 0);
}

static _Atomic bool going_on;
static _Atomic long wrong;

/* Opens the plugin and calls into it, with one way of binding or another. */
static void open_and_work(int flags) {
    void *opened = dlopen(library("plugin"), flags);
    void *symbol = opened != NULL ? dlsym(opened, "plugin_work") : NULL;
    int (*work)(void);
    memcpy(&work, &symbol, sizeof work);
    atomic_fetch_add(&wrong, symbol == NULL || work() != 0);
    if (opened != NULL)
        dlclose(opened);
}

static void *open_and_close(void *unused) {
    while (atomic_load(&going_on))
        open_and_work(RTLD_NOW);
    return unused;
}

/* What unwinds takes the loader's lock, and walks over our frames, as the shim itself does with `stacks`. */
static void *unwind(void *unused) {
    void *frames[64];
    while (atomic_load(&going_on)) {
        atomic_fetch_add(&wrong, backtrace(frames, 64) < 2);
        atomic_fetch_add(&wrong, storm_once() != 0);
    }
    return unused;
}

static int count_objects(struct dl_phdr_info *object, size_t size, void *count) {
    (void)object;
    (void)size;
    ++*(int *)count;
    return 0;
}

static void *iterate(void *unused) {
    while (atomic_load(&going_on)) {
        int count = 0;
        dl_iterate_phdr(count_objects, &count);
        atomic_fetch_add(&wrong, count < 2);
    }
    return unused;
}

HOST_CASE(H13, objects_come_and_go_under_a_storm) {
    static void *(*const bodies[])(void *) = {open_and_close, open_and_close, unwind, unwind, iterate};
    enum { BODIES = sizeof bodies / sizeof *bodies };
    pthread_t threads[BODIES];
    atomic_store(&going_on, true);
    for (int i = 0; i < BODIES; i++)
        REQUIRE(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0);
    int bad = 0;
    for (int i = 0; i < storm_scale(200, 3000); i++) {
        int status = -1;
        open_and_work(RTLD_LAZY);
        pid_t child = fork(); /* while the loader is at work: itself it cannot be used there */
        if (child == 0) {
            alarm(30);
            _exit(storm_once() == 0 ? 0 : 1);
        }
        bad += waitpid(child, &status, 0) != child || status != 0;
    }
    atomic_store(&going_on, false);
    for (int i = 0; i < BODIES; i++)
        pthread_join(threads[i], NULL);
    printf("%ld wrong, %d bad children\n", atomic_load(&wrong), bad);
}

HOST_CASE(H10, a_plugin_that_binds_deeply) {
    for (int i = 0; i < 10; i++)
        open_and_work(RTLD_NOW | RTLD_DEEPBIND | (i % 2 ? RTLD_GLOBAL : 0));
    EXPECT(storm_once() == 0);
    printf("%ld wrong\n", atomic_load(&wrong));
}

/* In a namespace of its own a plugin has another libc, and none of our hooks. */
HOST_CASE(H10, a_plugin_in_a_namespace_of_its_own) {
    void *opened = dlmopen(LM_ID_NEWLM, library("plugin"), RTLD_NOW);
    REQUIRE(opened != NULL);
    int (*work)(void);
    void *symbol = dlsym(opened, "plugin_work");
    memcpy(&work, &symbol, sizeof work);
    printf("%d\n", work());
    EXPECT(storm_once() == 0);
    dlclose(opened);
    EXPECT(storm_once() == 0);
}

/* A program that asks for the next definition itself finds what it finds without us. */
HOST_CASE(H10, functions_found_by_hand) {
    static const char *const names[] = {"read",           "write",  "close", "epoll_wait",
                                        "pthread_create", "printf", "mmap"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Dl_info info = {0};
        void *next = dlsym(RTLD_NEXT, names[i]), *any = dlsym(RTLD_DEFAULT, names[i]);
        EXPECT(next != NULL && any != NULL && dladdr(next, &info) != 0 &&
               dlvsym(RTLD_DEFAULT, names[i], "NONE") == NULL);
    }
    ssize_t (*found)(int, const void *, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "write");
    memcpy(&found, &symbol, sizeof found);
    fflush(stdout);
    EXPECT(found(1, "found\n", 6) == 6);
}
