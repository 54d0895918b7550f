#!/bin/sh
# memcached with four worker threads, unmodified, saying every command on stderr (-vv).
#
# Connections are accepted by the main thread and handed to a worker over an eventfd. Each request's marker must
# be seen when the server reads it, logs it and writes the answer. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need memcached
port=$(free_port)
set -- -- memcached -t 4 -vv -l 127.0.0.1 -p "$port" -U 0

# As root it refuses to start without being told whom to become.
[ "$(id -u)" -ne 0 ] || set -- "$@" -u root
[ "$ANNOTATE" != 1 ] || set -- --annotate "$@"

start "$work/stderr.log" "$@"
answers "$port"
drive memcached "$port"
verdict 1,1,1 "$work/stderr.log"
