#!/bin/sh
# A program that uses the shim's header (api-http.c): its own queues, several items taken per wake-up of an eventfd, and
# a context that it captures and attaches itself.
#
# Each marker must be seen when the server reads the request, logs in a worker and answers from the loop. Options: see
# lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need "$tools/api-http"
port=$(free_port)
set -- -- "$tools/api-http" "$port"
[ "$ANNOTATE" != 1 ] || set -- --annotate "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/stderr"
