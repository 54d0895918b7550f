#!/bin/sh
# A proxy, unmodified, in front of nginx: both judged.
#
#     proxy.sh haproxy     two event loops, one per thread, connections to the back-end shared among them
#     proxy.sh h2o         two event loops, one per thread
#     proxy.sh squid       one event loop
#     proxy.sh varnish     a thread for each request, that wait in a poller of their own between requests
#     proxy.sh nghttpx     one event loop
#     proxy.sh privoxy     a thread for each connection
#     proxy.sh socat       a process for each connection
#
# Each request's marker must be seen in the proxy when it reads from the client, writes to the back-end, reads from it
# and writes to the client (and logs: not varnish, which logs into shared memory, nor privoxy and socat); in the back-end when it reads, writes
# and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-nginx.sh
. "$(dirname "$0")/lib-nginx.sh"

back_port=$(free_port)
front_port=$(free_port)
backend "$back_port"
proxy=${1:-haproxy}
stations=3,3,2
log=$work/access.log
case $proxy in
haproxy)
    need haproxy
    cat >"$work/haproxy.cfg" <<END
global
    nbthread 2
    log stdout format raw local0
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:$front_port
    log global
    log-format "%ci %HM %ST %[capture.req.hdr(0)]"
    http-request capture req.hdr(X-Marker) len 64
    default_backend back
backend back
    server one 127.0.0.1:$back_port
END
    stations=3,3,1 # under contention for its output it drops lines of its log
    lacking=$((CLIENTS * REQUESTS / 20))
    log=$work/stdout
    set -- haproxy -db -f "$work/haproxy.cfg"
    ;;
h2o)
    need h2o
    cat >"$work/h2o.conf" <<END
num-threads: 2
pid-file: $work/h2o.pid
error-log: $work/h2o.error
access-log:
  path: $work/access.log
  format: "%h \"%r\" %s %{X-Marker}i"
hosts:
  "127.0.0.1:$front_port":
    listen:
      host: 127.0.0.1
      port: $front_port
    paths:
      "/":
        proxy.reverse.url: "http://127.0.0.1:$back_port/"
END
    # As root it would become a user who cannot write here.
    [ "$(id -u)" -ne 0 ] || echo "user: root" >>"$work/h2o.conf"
    set -- h2o -m worker -c "$work/h2o.conf"
    ;;
squid)
    need squid
    mkdir -m 1777 "$work/squid"
    log=$work/squid/access.log
    cat >"$work/squid.conf" <<END
http_port 127.0.0.1:$front_port accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent $back_port 0 no-query no-digest originserver
http_access allow all
cache deny all
logformat marker %>a "%rm %ru" %>Hs %{X-Marker}>h
access_log stdio:$log marker
cache_log $work/squid/cache.log
pid_filename none
coredump_dir $work/squid
shutdown_lifetime 0 seconds
netdb_filename none
pinger_enable off
buffered_logs off
END
    set -- squid -N -f "$work/squid.conf"
    ;;
varnish)
    need varnishd
    stations=3,3,1
    log=$work/backend/access.log
    cat >"$work/front.vcl" <<END
vcl 4.1;
backend default {
    .host = "127.0.0.1";
    .port = "$back_port";
}
sub vcl_recv {
    return (pass);
}
END
    mkdir "$work/varnish"
    set -- varnishd -F -j none -n "$work/varnish" -a "127.0.0.1:$front_port" -f "$work/front.vcl" \
        -p thread_pool_min=200
    ;;
nghttpx)
    need nghttpx
    set -- nghttpx --conf=/dev/null --workers=1 --frontend="127.0.0.1,$front_port;no-tls" \
        --backend="127.0.0.1,$back_port;;proto=http/1.1" --errorlog-file="$work/nghttpx.error" \
        --accesslog-file="$log" --accesslog-format="\$remote_addr \$status \$http_x_marker"
    [ "$(id -u)" -ne 0 ] || set -- "$@" --user=root
    ;;
privoxy)
    need privoxy
    stations=3,3,1
    log=$work/backend/access.log
    cat >"$work/privoxy.conf" <<END
confdir /etc/privoxy
logdir $work
listen-address 127.0.0.1:$front_port
accept-intercepted-requests 1
keep-alive-timeout 60
connection-sharing 1
forward / 127.0.0.1:$back_port
END
    set -- privoxy --no-daemon "$work/privoxy.conf"
    ;;
socat)
    need socat
    stations=3,3,1
    log=$work/backend/access.log
    set -- socat "TCP-LISTEN:$front_port,bind=127.0.0.1,fork,backlog=128" "TCP:127.0.0.1:$back_port"
    ;;
*) no_verdict "usage: proxy.sh [haproxy | h2o | squid | varnish | nghttpx | privoxy | socat]" ;;
esac
if [ "$ANNOTATE" = 1 ] && [ "$proxy" = haproxy ]; then
    set -- --option=annotate=stdout --annotate-pid -- "$@"
elif [ "$ANNOTATE" = 1 ]; then
    set -- --annotate='*.log' --annotate-pid -- "$@"
else
    set -- -- "$@"
fi
access_log=$log

start "$work/stderr" "$@"
answers "$front_port"
drive http "$front_port"
verdict "$stations" "$access_log"
