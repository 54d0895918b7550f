#!/bin/sh
# webfs, unmodified: a select loop, serving files.
#
# A marker is in each path and in the file behind it. It must be seen when the server reads the request, sends the
# file and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need webfsd
port=$(free_port)
files "$work/www"
set -- -- webfsd -F -4 -i 127.0.0.1 -p "$port" -r "$work/www" -n 127.0.0.1 -L "$work/access.log" -c $((CLIENTS + 8))
[ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' "$@"

start "$work/stderr" "$@"
answers "$port"
drive file "$port"
verdict 1,1,1 "$work/access.log"
