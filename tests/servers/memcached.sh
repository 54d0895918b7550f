#!/bin/sh
# memcached with four worker threads, unmodified, saying every command on stderr (-vv).
#
# Connections are accepted by the main thread and handed to a worker over an eventfd. Each request's marker must
# be seen when the server reads it, logs it and writes the answer. Options: see lib.sh.
set -eu
. "$(dirname "$0")/lib.sh"

command -v memcached >"$work/found" || no_verdict "memcached is not installed"
options=
[ "$ANNOTATE" != 1 ] || options=':annotate=stderr'
port=$(free_port)

# As root it refuses to start without being told whom to become.
set --
[ "$(id -u)" -ne 0 ] || set -- -u root

start "$work/stderr.log" "$options" memcached -t 4 -vv -l 127.0.0.1 -p "$port" -U 0 "$@"
answers "$port"
drive memcached "$port"
verdict 1,1,1 "$work/stderr.log"
