/* H27: a function that is chosen while the program is being relocated, by a resolver that reads a file: hooks
 * are called before any constructor of ours. Linked with -z now. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int one(void) {
    return 1;
}
static int two(void) {
    return 2;
}

static int (*choose(void))(void) {
    char bytes[4] = "";
    int file = open("/proc/self/exe", O_RDONLY);
    long got = read(file, bytes, sizeof bytes);
    close(file);
    return got == 4 && bytes[1] == 'E' ? two : one;
}

int chosen(void) __attribute__((ifunc("choose")));

int main(void) {
    printf("chosen: %d\n", chosen());
    return 0;
}
