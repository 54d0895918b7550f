#!/bin/sh
# lighttpd, unmodified: one event loop, serving files.
#
# A marker is in each path and in the file behind it. It must be seen when the server reads the request, sends the
# file and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need lighttpd
port=$(free_port)
files "$work/www"
cat >"$work/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $port
server.document-root = "$work/www"
server.errorlog = "$work/error.log"
server.max-keep-alive-requests = 60000
server.modules = ("mod_accesslog")
accesslog.filename = "$work/access.log"
accesslog.format = "%h \"%r\" %s"
mimetype.assign = ("" => "text/plain")
END
set -- -- lighttpd -D -f "$work/lighttpd.conf"
[ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' "$@"

start "$work/stderr" "$@"
answers "$port"
drive file "$port"
verdict 1,1,0 "$work/access.log"
