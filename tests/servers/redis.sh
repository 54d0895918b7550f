#!/bin/sh
# redis, unmodified: one event loop. Each request runs a script that stores the marker, logs it and answers with it;
# the store goes to an append-only file as well.
#
#     redis.sh [threads | reading-threads]     with four I/O threads: for answers, or for requests too
#
# Each marker must be seen when it is read, logged and written; in the append-only file, where many come together,
# it may be. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need redis-server
case ${1:-} in
'') set -- ;;
threads) set -- --io-threads 4 ;;
reading-threads) set -- --io-threads 4 --io-threads-do-reads yes ;;
*) no_verdict "usage: redis.sh [threads | reading-threads]" ;;
esac
port=$(free_port)
set -- -- redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" --logfile "$work/log" \
    --appendonly yes --appendfsync no "$@"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive redis "$port"
verdict 1,1,1 "$work/log"
