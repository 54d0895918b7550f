#!/bin/sh
# A server on GLib's GSocketService (glib-http.c): a main loop, which is a poll loop. It logs and answers in an idle
# callback.
#
# Each marker must be seen when the server reads the request, logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need "$tools/glib-http"
port=$(free_port)
set -- -- "$tools/glib-http" "$port"
[ "$ANNOTATE" != 1 ] || set -- --annotate "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/stderr"
