#!/bin/sh
# lighttpd, unmodified, that starts a program for each request (CGI): a process that gets its request by its
# environment, and answers through a pipe.
#
# Each marker must be seen when the server reads the request, when the program writes its answer, and when the server
# reads that and writes it. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need lighttpd
port=$(free_port)
mkdir "$work/www"
cat >"$work/www/answer.cgi" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\nContent-Length: 35\r\n\r\nanswer to %s\n' "$HTTP_X_MARKER"
END
chmod 755 "$work/www/answer.cgi"
cat >"$work/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $port
server.document-root = "$work/www"
server.errorlog = "$work/error.log"
server.max-keep-alive-requests = 60000
server.modules = ("mod_cgi")
cgi.assign = (".cgi" => "")
END

start "$work/stderr" -- lighttpd -D -f "$work/lighttpd.conf"
answers "$port"
drive http "$port" --path=/answer.cgi
verdict 2,2,0
