#!/bin/sh
# Python, unmodified, with a server on asyncio (asyncio-http.py): tasks that yield before they log and before they
# answer.
#
# Each marker must be seen when the server reads the request, logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3 # Debian's, if it is there
[ -x "$python" ] || python=python3
need "$python"
port=$(free_port)
set -- -- "$python" -I "$root/tests/servers/asyncio-http.py" "$port" "$work/log"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/log"
