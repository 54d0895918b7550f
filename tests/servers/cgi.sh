#!/bin/sh
# lighttpd, unmodified, that starts a program for each request (CGI): a process that gets its request by its
# environment, and answers through a pipe.
#
# Each marker must be seen when the server reads the request, when it reads the program's answer and writes it; and where
# the program writes it, if the server leaves it the time to record that. The server gives its programs none of its own
# environment, so it is told to pass the preloads on. Options: see lib.sh; REQUESTS is 20 here, since each is a process.
set -eu
REQUESTS=${REQUESTS:-20}
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
server.modules = ("mod_setenv", "mod_cgi")
cgi.assign = (".cgi" => "")
END
[ -n "$MEASURE$LEAKS" ] || cat >>"$work/lighttpd.conf" <<'END'
setenv.set-environment = ("LD_PRELOAD" => env.LD_PRELOAD, "WITNESS_DIR" => env.WITNESS_DIR)
END
[ -z "$LEAKS" ] || cat >>"$work/lighttpd.conf" <<'END'
setenv.set-environment = ("LD_PRELOAD" => env.LD_PRELOAD, "CTXSHIM_OPTIONS" => env.CTXSHIM_OPTIONS)
END

start "$work/stderr" -- lighttpd -D -f "$work/lighttpd.conf"
answers "$port"
drive http "$port" --path=/answer.cgi
verdict 2,1,0
