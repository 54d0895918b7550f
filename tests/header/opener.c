/* Opens the header's test as a shared object, while it runs: OPENER without|with OBJECT. The program itself
 * does not include the header, and must not find an error in dlerror that was not its own. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    void *object = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
    const char *error = dlerror();
    if (!object || error) {
        fprintf(stderr, "dlerror: %s\n", error ? error : "none");
        return 1;
    }
    int (*contract)(void) = NULL;
    void *address =
        dlsym(object, strcmp(argv[1], "with") == 0 ? "contract_with_shim" : "contract_without_shim");
    memcpy(&contract, &address, sizeof contract);
    if (!contract || contract() != 0)
        return 1;
    return dlclose(object) != 0;
}
