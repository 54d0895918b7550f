#!/bin/sh
# An event loop that hands its requests to four worker threads (hand-over-http.c), unmodified:
#
#     hand-over.sh list     one queue under a mutex and a condition variable
#     hand-over.sh own      each worker has one of its own
#     hand-over.sh stages   two of them, one behind the other
#     hand-over.sh all      a worker takes all that is in the queue at once
#     hand-over.sh pipe     a pipe to each worker, with several pointers in one read
#     hand-over.sh spin     a list that no libc call guards
#
# Each marker must be seen when the loop reads the request, and when a worker logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

way=${1:-list}
stations=1,1,1
[ "$way" != stages ] || stations=1,1,2
[ -e "$tools/hand-over-http" ] || no_verdict "$tools/hand-over-http is not built"
port=$(free_port)
set -- -- "$tools/hand-over-http" "$way" "$port" "$work/log"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict "$stations" "$work/log"
