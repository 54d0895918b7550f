#!/bin/sh
# node, unmodified, with a server on its own http module (node-http.js): a libuv loop.
#
#     node.sh            answers and logs in a later phase of the loop (setImmediate)
#     node.sh timer      answers and logs after 2 milliseconds (setTimeout)
#     node.sh files      serves files that the thread pool reads
#     node.sh cluster    as without, in three processes that are sent their connections by a fourth
#
# Each marker must be seen when the server reads the request, (reads the file,) logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need node
port=$(free_port)
case ${1:-} in
'') protocol=http stations=1,1,1 && set -- ;;
timer) protocol=http stations=1,1,1 && set -- timer ;;
files) protocol=file stations=2,1,1 && files "$work/www" && set -- "$work/www" ;;
cluster) protocol=http stations=1,1,1 && set -- cluster ;;
*) no_verdict "usage: node.sh [timer | files | cluster]" ;;
esac
set -- -- node "$root/tests/servers/node-http.js" "$port" "$work/log" "$@"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive "$protocol" "$port"
verdict "$stations" "$work/log"
