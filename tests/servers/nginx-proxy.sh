#!/bin/sh
# nginx as a reverse proxy with a keep-alive pool, in front of a second nginx: both unmodified, both judged.
#
# Each request's marker must be seen in the proxy when it reads from the client, writes to the back-end, reads from
# it, writes to the client and logs; in the back-end when it reads, writes and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need nginx

# As root the workers would become a user who cannot write here.
user=
[ "$(id -u)" -ne 0 ] || user="user root;"

# configure NAME PORT: the part that is the same in both; the rest of the http block comes from stdin.
configure() {
    mkdir "$work/$1"
    cat >"$work/$1/nginx.conf" <<END
$user
daemon off;
master_process on;
worker_processes 2;
pid $work/$1/pid;
error_log $work/$1/error.log notice;
events {
    worker_connections 512;
}
http {
    client_body_temp_path $work/$1/body;
    proxy_temp_path $work/$1/proxy;
    fastcgi_temp_path $work/$1/fastcgi;
    uwsgi_temp_path $work/$1/uwsgi;
    scgi_temp_path $work/$1/scgi;
    log_format marker '\$remote_addr "\$request" \$status \$http_x_marker';
    access_log $work/$1/access.log marker;
    keepalive_requests 1000000;
    default_type text/plain;
    $(cat)
}
END
}

run_nginx() {
    name=$1
    set -- -- nginx -p "$work/$name" -c "$work/$name/nginx.conf" -e "$work/$name/error.log"
    [ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' --annotate-pid "$@"
    start "$work/$name/stderr" "$@"
}

back_port=$(free_port)
front_port=$(free_port)

configure backend "$back_port" <<END
server {
        listen 127.0.0.1:$back_port;
        location / {
            return 200 "answer to \$http_x_marker\n";
        }
    }
END
configure proxy "$front_port" <<END
upstream backend {
        server 127.0.0.1:$back_port;
        keepalive 16;
        keepalive_requests 1000000;
    }
    server {
        listen 127.0.0.1:$front_port;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
END

run_nginx backend
answers "$back_port"
run_nginx proxy
answers "$front_port"
drive http "$front_port"
verdict 3,3,2 "$work/proxy/access.log" "$work/backend/access.log"
