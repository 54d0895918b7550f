/* A place in the code as people can look it up: see place.h. */
#include "place.h"

#include "../ctxstore/kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_ROOM = 512 };

/* /proc/self/maps, a line at a time; longer lines are cut. */
struct maps {
    int fd;
    size_t at, filled;
    char chunk[2048];
};

static bool maps_byte(struct maps *maps, char *byte) {
    if (maps->at == maps->filled) {
        long got = kernel_call(SYS_read, maps->fd, (long)maps->chunk, sizeof maps->chunk, 0, 0, 0);
        maps->at = 0;
        maps->filled = got > 0 ? (size_t)got : 0;
        if (got <= 0)
            return false;
    }
    *byte = maps->chunk[maps->at++];
    return true;
}

static bool maps_line(struct maps *maps, char line[LINE_ROOM]) {
    size_t length = 0;
    char byte = 0;
    while (maps_byte(maps, &byte) && byte != '\n')
        if (length < LINE_ROOM - 1)
            line[length++] = byte;
    line[length] = '\0';
    return byte == '\n';
}

static uintptr_t take_hex(const char **text) {
    uintptr_t value = 0;
    for (;; (*text)++) {
        char c = **text;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uintptr_t)(c - 'a' + 10);
        else
            return value;
    }
}

/* Which module an address is in: `path`, "" for none, and where its first mapping begins. */
struct module {
    uintptr_t base;
    char path[LINE_ROOM];
};

static bool module_find(struct module *module, uintptr_t address) {
    struct maps maps = {
        .fd = (int)kernel_call(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0)};
    char line[LINE_ROOM];
    bool found = false;
    module->path[0] = '\0';
    while (maps.fd >= 0 && !found && maps_line(&maps, line)) {
        const char *text = line;
        uintptr_t begin = take_hex(&text);
        text += *text == '-';
        uintptr_t end = take_hex(&text);
        const char *slash = strchr(text, '/'), *path = slash != NULL ? slash : "";
        if (strcmp(path, module->path) != 0) {
            module->base = begin;
            memcpy(module->path, path, strlen(path) + 1);
        }
        found = address >= begin && address < end;
    }
    if (maps.fd >= 0)
        kernel_call(SYS_close, maps.fd, 0, 0, 0, 0, 0);
    return found && module->path[0] != '\0';
}

static void put(char **at, const char *end, const char *text) {
    while (*text != '\0' && *at < end)
        *(*at)++ = *text++;
}

static void put_hex(char **at, const char *end, uintptr_t value) {
    char digits[2 * sizeof value + 3], *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do
        *--digit = "0123456789abcdef"[value % 16];
    while ((value /= 16) != 0);
    put(at, end, "0x");
    put(at, end, digit);
}

/* A return address lies behind its call, which may be the last instruction of its line. */
void place_text(char *buffer, size_t size, const void *site) {
    char *at = buffer, *end = buffer + size - 1;
    struct module module;
    uintptr_t call = (uintptr_t)site - 1;
    if (site == NULL) {
        put(&at, end, "an unknown place");
    } else if (module_find(&module, call)) {
        put(&at, end, module.path);
        put(&at, end, "+");
        put_hex(&at, end, call - module.base);
    } else {
        put_hex(&at, end, call);
    }
    *at = '\0';
}
