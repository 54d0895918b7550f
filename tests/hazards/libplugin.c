/* H10, H11, H13: a plugin that is opened and closed again and again, and uses hooks while it comes and goes.
 */
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int plugin_work(void);

int plugin_work(void) {
    uint64_t value = 0;
    int fd = eventfd(5, EFD_NONBLOCK);
    int right = read(fd, &value, sizeof value) == sizeof value && value == 5 && eventfd_write(fd, 1) == 0;
    return close(fd) == 0 && right ? 0 : 1;
}

__attribute__((constructor)) static void come(void) {
    plugin_work();
}
__attribute__((destructor)) static void go(void) {
    plugin_work();
}
