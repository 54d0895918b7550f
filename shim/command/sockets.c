/* Peers of sockets: see sockets.h. The kernel's tables have one line for each socket of a network namespace:
 * they are read once for each process that is looked at. */
#include "sockets.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One word, or four, as the kernel prints them: in this machine's order. */
static char *address_text(const char *words, unsigned port) {
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    bool six = strlen(words) == 32;
    for (size_t i = 0; i < (six ? 4 : 1); i++)
        if (sscanf(words + 8 * i, "%8" SCNx32, &address.s6_addr32[i]) != 1)
            return NULL;
    if (inet_ntop(six ? AF_INET6 : AF_INET, &address, text, sizeof text) == NULL)
        return NULL;
    return g_strdup_printf(six ? "[%s]:%u" : "%s:%u", text, port);
}

/* "sl: local:port remote:port st tx:rx tr:when retransmit uid timeout inode ..." */
static void internet_line(GHashTable *peers, const char *line) {
    char words[33];
    unsigned port;
    uint64_t inode;
    if (sscanf(line, " %*d: %*[0-9A-F]:%*X %32[0-9A-F]:%X %*X %*X:%*X %*X:%*X %*X %*u %*u %" SCNu64, words,
               &port, &inode) != 3 ||
        (strlen(words) != 8 && strlen(words) != 32) || port == 0)
        return;
    char *text = address_text(words, port);
    if (text != NULL)
        g_hash_table_insert(peers, g_strdup_printf("socket:[%" PRIu64 "]", inode), text);
}

/* "address: references protocol flags type state inode path" */
static void local_line(GHashTable *peers, const char *line) {
    uint64_t inode;
    int path = 0;
    if (sscanf(line, "%*[0-9a-f]: %*X %*X %*X %*X %*X %" SCNu64 " %n", &inode, &path) == 1)
        g_hash_table_insert(peers, g_strdup_printf("socket:[%" PRIu64 "]", inode),
                            g_strdup(path > 0 && line[path] != '\0' ? line + path : "a local socket"));
}

static void table_read(GHashTable *peers, int pid, const char *table,
                       void (*take)(GHashTable *peers, const char *line)) {
    char *path = g_strdup_printf("/proc/%d/net/%s", pid, table), *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL)) {
        char **lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line != NULL; line++)
            take(peers, *line);
        g_strfreev(lines);
    }
    g_free(text);
    g_free(path);
}

GHashTable *sockets_peers(int pid) {
    GHashTable *peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const char *const internet[] = {"tcp", "tcp6", "udp", "udp6"};
    for (gsize i = 0; i < G_N_ELEMENTS(internet); i++)
        table_read(peers, pid, internet[i], internet_line);
    table_read(peers, pid, "unix", local_line);
    return peers;
}
