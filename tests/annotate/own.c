/* A library with an `error` and a `dprintf` of its own, which have nothing to do with libc's. Its calls of
 * them are found by name, and so come to the shim first. */
#include <stdarg.h>
#include <string.h>

int error(const char *text);
double dprintf(double factor, const char *texts, ...);
double own_sum(void);

int error(const char *text) {
    return (int)strlen(text);
}

double dprintf(double factor, const char *texts, ...) {
    va_list arguments;
    double sum = 0;
    va_start(arguments, texts);
    for (; *texts != '\0'; texts++)
        sum += va_arg(arguments, double);
    va_end(arguments);
    return factor * sum;
}

double own_sum(void) {
    return error("seven..") + dprintf(2, "xxxxxxxxxx", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10.);
}
