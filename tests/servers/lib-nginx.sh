# Servers of nginx, for the scripts that need one or two: to be read in after lib.sh.
# shellcheck shell=sh disable=SC2154

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

# backend PORT: an nginx that answers each request with its marker.
backend() {
    configure backend "$1" <<END
server {
        listen 127.0.0.1:$1;
        location / {
            return 200 "answer to \$http_x_marker\n";
        }
    }
END
    run_nginx backend
    answers "$1"
}
