/* Whom the sockets of a process are connected to, as /proc has it. */
#ifndef CTXSHIM_COMMAND_SOCKETS_H
#define CTXSHIM_COMMAND_SOCKETS_H

#include <glib.h>

/* Peers by inode ("socket:[4711]", as /proc/PID/fd names them): "127.0.0.1:80", "[::1]:80", or the path of a
 * local socket. To be freed with g_hash_table_unref. */
GHashTable *sockets_peers(int pid);

#endif
