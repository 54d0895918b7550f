#!/bin/sh
# waitress, unmodified, with eight worker threads (wsgi.py): a select loop reads requests into a list; the locks of the
# interpreter are semaphores.
#
# Each marker must be seen when the loop reads the request, and when a worker logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3 # Debian's, whose module it is
"$python" -c 'import waitress' 2>"$work/found" || no_verdict "python3-waitress is not installed (see scripts/deps.sh)"
port=$(free_port)
export WSGI_LOG="$work/log" PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/tests/servers"
set -- -- "$python" -m waitress --listen="127.0.0.1:$port" --threads=8 wsgi:application
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/log"
