/* ELF images, as `ctxshim run` judges a program. */
#include "fuzz.h"

#include "../../shim/command/elf_image.h"

#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    struct elf_image image;
    if (elf_image_read(fd, &image) == ELF_GOOD) {
        g_free(elf_kind_name(&image.kind));
        HOLDS(strnlen(image.interpreter, sizeof image.interpreter) < sizeof image.interpreter);
    }
    elf_image_needs(fd, "libctxshim.so");
    close(fd);
    return 0;
}
