#!/bin/sh
# Twisted, unmodified, with a server on twisted.web (twisted-http.py): deferToThread, an epoll loop that goes on with what
# its threads have put into a list.
#
# Each marker must be seen when the loop reads the request, when a thread logs, and when the loop logs and answers.
# Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3 # Debian's, whose module it is
"$python" -c 'import twisted' 2>"$work/found" || no_verdict "python3-twisted is not installed (see scripts/deps.sh)"
port=$(free_port)
set -- -- "$python" -I "$root/tests/servers/twisted-http.py" "$port" "$work/log"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,2 "$work/log"
