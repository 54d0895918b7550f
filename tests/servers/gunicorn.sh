#!/bin/sh
# gunicorn, unmodified, with eight worker threads (wsgi.py): a thread waits for connections to have something to read,
# and hands them on to a pool of threads, by the interpreter's locks.
#
# Each marker must be seen when the server reads the request, logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need gunicorn
port=$(free_port)
export WSGI_LOG="$work/log" PYTHONDONTWRITEBYTECODE=1
set -- -- gunicorn --worker-class gthread --workers 1 --threads 8 --keep-alive 60 --bind "127.0.0.1:$port" \
    --chdir "$root/tests/servers" --worker-tmp-dir "$work" wsgi
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/log"
