/* The header's test program: PROGRAM without|with. */
#include "contract.h"

#include <string.h>

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    return (strcmp(argv[1], "with") == 0 ? contract_with_shim() : contract_without_shim()) != 0;
}
