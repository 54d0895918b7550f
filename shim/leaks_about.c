/* What is said of who holds a context: "held by an outbound connection, fd 7 ([::1]:80)". */
#include "leaks.h"

#include "../ctxstore/kernel.h"
#include "holders.h"
#include "text.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char *const holder_words[] = {
#define HOLDER_WORD(name, word) [name] = word,
    HOLDER_KINDS(HOLDER_WORD)
#undef HOLDER_WORD
};

/* --- addresses -------------------------------------------------------------------------------------- */

static void put_port(struct text *text, in_port_t port) {
    text_put(text, ":");
    text_put_number(text, ntohs(port));
}

static void put_four(struct text *text, const struct sockaddr_in *four) {
    const unsigned char *byte = (const unsigned char *)&four->sin_addr;
    for (int i = 0; i < 4; i++) {
        text_put(text, i > 0 ? "." : "");
        text_put_number(text, byte[i]);
    }
    put_port(text, four->sin_port);
}

static void put_group(struct text *text, unsigned group) {
    char digits[5] = "", *digit = digits + sizeof digits - 1;
    do
        *--digit = "0123456789abcdef"[group % 16];
    while ((group /= 16) != 0);
    text_put(text, digit);
}

/* The longest run of groups that are 0, the first of these: "::". One alone is written out. */
static int zeros_find(const unsigned group[8], int *length) {
    int best = 8;
    *length = 1;
    for (int i = 0, run = 0; i < 8; i++) {
        run = group[i] == 0 ? run + 1 : 0;
        if (run > *length) {
            *length = run;
            best = i + 1 - run;
        }
    }
    return best;
}

static void put_six(struct text *text, const struct sockaddr_in6 *six) {
    unsigned group[8];
    int length;
    for (int i = 0; i < 8; i++)
        group[i] = ntohs(six->sin6_addr.s6_addr16[i]);
    int zeros = zeros_find(group, &length);
    text_put(text, "[");
    for (int i = 0; i < 8;) {
        if (i == zeros) {
            text_put(text, "::");
            i += length;
            continue;
        }
        put_group(text, group[i++]);
        text_put(text, i < 8 && i != zeros ? ":" : "");
    }
    text_put(text, "]");
    put_port(text, six->sin6_port);
}

/* False: of no family that is known here. */
static bool put_peer(struct text *text, const struct sockaddr_storage *peer) {
    const struct sockaddr_un *local_peer = (const struct sockaddr_un *)(const void *)peer;
    if (peer->ss_family == AF_INET)
        put_four(text, (const struct sockaddr_in *)(const void *)peer);
    else if (peer->ss_family == AF_INET6)
        put_six(text, (const struct sockaddr_in6 *)(const void *)peer);
    else if (peer->ss_family == AF_UNIX)
        text_put(text, local_peer->sun_path[0] != '\0' ? local_peer->sun_path : "a local socket");
    else
        return false;
    return true;
}

/* --- holders ---------------------------------------------------------------------------------------- */

/* "fd 7 (127.0.0.1:80)", "fd 5 (anon_inode:[eventfd])" */
static void put_descriptor(struct text *text, int fd) {
    struct sockaddr_storage peer;
    memset(&peer, 0, sizeof peer);
    int size = sizeof peer - 1; /* a path ends with NUL */
    char link[64], path[128];
    text_put(text, ", fd ");
    text_put_number(text, (uint64_t)fd);
    text_put(text, " (");
    struct text name = text_in(link, sizeof link);
    text_put(&name, "/proc/self/fd/");
    text_put_number(&name, (uint64_t)fd);
    text_end(&name);
    long length = kernel_call(SYS_readlink, (long)link, (long)path, sizeof path - 1, 0, 0, 0);
    path[length > 0 ? length : 0] = '\0';
    if (kernel_call(SYS_getpeername, fd, (long)&peer, (long)&size, 0, 0, 0) != 0 || !put_peer(text, &peer))
        text_put(text, path);
    text_put(text, ")");
}

void leaks_about_holder(const struct holding *holding, char *buffer, size_t size) {
    struct text text = text_in(buffer, size);
    text_put(&text, "held by ");
    text_put(&text, holding_article(holding->kind));
    text_put(&text, holder_words[holding->kind]);
    if (holding->fd >= 0)
        put_descriptor(&text, holding->fd);
    if (holding->gone != NULL)
        text_put(&text, ": its name alone, its values were let go");
    text_end(&text);
}

/* "handed over by thread 12" */
void leaks_how_it_came(const struct holding *holding, char *buffer, size_t size) {
    struct text text = text_in(buffer, size);
    if (holding->origin.tid != 0) {
        text_put(&text, holding_starts(holding->kind) ? "started by thread " : "left there by thread ");
        text_put_number(&text, (uint64_t)holding->origin.tid);
    }
    text_end(&text);
}
