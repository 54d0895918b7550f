#!/bin/sh
# nginx, unmodified, two workers, serving files.
#
#     nginx-files.sh                 by sendfile, in the event loop
#     nginx-files.sh aio             read by a thread pool: a mutex queue there, an eventfd back
#     nginx-files.sh aio-sendfile    sent by the pool's threads
#
# A marker is in each path and in the file behind it. It must be seen when the server reads the request, reads the
# file (aio), sends it and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need nginx
case ${1:-} in
'') way='sendfile on;' stations=1,1,1 ;;
aio) way='sendfile off; aio threads;' stations=2,1,1 ;;
aio-sendfile) way='sendfile on; aio threads;' stations=1,1,1 ;;
*) no_verdict "usage: nginx-files.sh [aio | aio-sendfile]" ;;
esac
# As root the workers would become a user who cannot write here.
user=
[ "$(id -u)" -ne 0 ] || user="user root;"
port=$(free_port)
files "$work/www"
cat >"$work/nginx.conf" <<END
$user
daemon off;
worker_processes 2;
pid $work/pid;
error_log $work/error.log notice;
thread_pool default threads=4;
events {
    worker_connections 512;
}
http {
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    log_format marker '\$remote_addr "\$request" \$status';
    access_log $work/access.log marker;
    keepalive_requests 1000000;
    default_type text/plain;
    $way
    server {
        listen 127.0.0.1:$port;
        root $work/www;
    }
}
END
set -- -- nginx -p "$work" -c "$work/nginx.conf" -e "$work/error.log"
[ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' --annotate-pid "$@"

start "$work/stderr" "$@"
answers "$port"
drive file "$port"
verdict "$stations" "$work/access.log"
