/* The library that the command's tests have preloaded: show.c finds its one symbol when it is really there.
 */
__attribute__((visibility("default"))) int stand_in_library(void);

int stand_in_library(void) {
    return 1;
}
