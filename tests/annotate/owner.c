/* Uses a library that has functions of libc's names (own.c). */
#include <stdio.h>

double own_sum(void);

int main(void) {
    printf("%g\n", own_sum());
    return 0;
}
