#!/bin/sh
# soak.sh (`make soak`): does memory stay flat? nginx (two workers) and redis under the shim, with annotated logs
# and leak finding, at full load for SOAK_MINUTES (30): kept connections and new ones for each request. The resident
# memory of each is looked at every SOAK_SECONDS (5); after the first fifth, in which what is used is built up, a
# line is laid through it by least squares. Prints its slope; the numbers are kept in BUILD/soak.
#
# Exit: 1 when a slope is above SOAK_MOST (100) KiB a minute. All on the loopback, on free ports, in a temporary
# directory; what was started is stopped by pid.
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
SOAK_MINUTES=${SOAK_MINUTES:-30}
SOAK_SECONDS=${SOAK_SECONDS:-5}
SOAK_MOST=${SOAK_MOST:-100}
PATH="$PATH:/usr/sbin:/sbin"
started=

complain() {
    echo "soak.sh: $*" >&2
    exit 2
}

for need in redis-server redis-benchmark nginx wrk; do
    command -v "$need" >/dev/null || complain "$need is not installed; scripts/deps.sh installs it"
done
[ -x "$BUILD/ctxshim" ] || complain "$BUILD/ctxshim is not built; make builds it"

# shellcheck disable=SC2317
clean_up() {
    for pid in $started; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in $started; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
}
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# Below the range from which the kernel takes ports for outgoing connections.
free_port() {
    python3 - <<'END'
import random, socket
while True:
    port = random.randrange(10240, 30000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
END
}

# begin LOG COMMAND...: in the background; its pid is in $pid.
begin() {
    log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    started="$pid $started"
}

# resident PID: of the process and its children, in KiB.
resident() {
    ps -o rss= -p "$1" --ppid "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# slope FILE: of lines "seconds KiB", without the first fifth; KiB a minute, and from where to where.
slope() {
    awk '{ t[NR] = $1; y[NR] = $2 }
         END { for (i = int(NR / 5) + 1; i <= NR; i++) { n++; st += t[i]; sy += y[i]; stt += t[i] * t[i]; sty += t[i] * y[i] }
               d = n * stt - st * st
               slope = d == 0 ? 0 : 60 * (n * sty - st * sy) / d
               printf "%.1f %d %d\n", slope, y[int(NR / 5) + 1], y[NR] }' "$1"
}

web=$(free_port)
kept=$(free_port)
user=
[ "$(id -u)" -ne 0 ] || user="user root;"
cat >"$work/nginx.conf" <<END
$user
daemon off;
worker_processes 2;
pid $work/pid;
error_log $work/error.log info;
events { worker_connections 512; }
http {
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    access_log /dev/null;
    server {
        listen 127.0.0.1:$web;
        location / { return 200 "an answer\n"; }
        location /log { access_log $work/access.log; return 200 "logged\n"; }
    }
}
END
begin "$work/nginx.log" "$BUILD/ctxshim" run --leaks --annotate='*.log' -- nginx -p "$work" -c "$work/nginx.conf" \
    -e "$work/error.log"
nginx=$pid
begin "$work/redis.log" "$BUILD/ctxshim" run --leaks --annotate=stderr -- redis-server --port "$kept" --bind 127.0.0.1 \
    --save '' --dir "$work"
redis=$pid
sleep 2
both_run() {
    kill -0 "$nginx" && kill -0 "$redis"
}
both_run || complain "a server did not start: $(tail -n 3 "$work"/*.log)"

load() {
    end=$1
    while [ "$(date +%s)" -lt "$end" ]; do
        wrk -t 1 -c 20 -d 10s "http://127.0.0.1:$web/" >"$work/kept" 2>&1 &
        wrk -t 1 -c 10 -d 10s -H 'Connection: close' "http://127.0.0.1:$web/log" >"$work/new" 2>&1 &
        redis-benchmark -p "$kept" -q -c 30 -n 60000 -t set,get,incr >"$work/answers" 2>&1
        redis-benchmark -p "$kept" -q -c 30 -n 3000 -k 0 -t ping >>"$work/answers" 2>&1
        wait
        awk '/requests in/ { print $1 }' "$work/kept" "$work/new" >>"$work/requests"
        : >"$work/access.log"
    done
}

began=$(date +%s)
end=$((began + SOAK_MINUTES * 60))
load "$end" &
started="$! $started"
mkdir -p "$BUILD/soak"
: >"$BUILD/soak/nginx"
: >"$BUILD/soak/redis"
while [ "$(date +%s)" -lt "$end" ]; do
    sleep "$SOAK_SECONDS"
    at=$(($(date +%s) - began))
    echo "$at $(resident "$nginx")" >>"$BUILD/soak/nginx"
    echo "$at $(resident "$redis")" >>"$BUILD/soak/redis"
done
both_run || complain "a server ended: $(tail -n 3 "$work"/*.log)"

bad=0
printf '%-8s %10s %12s %12s %14s\n' server minutes 'KiB, first' 'KiB, last' 'KiB a minute'
for server in nginx redis; do
    # shellcheck disable=SC2046
    set -- $(slope "$BUILD/soak/$server")
    printf '%-8s %10s %12s %12s %14s\n' "$server" "$SOAK_MINUTES" "$2" "$3" "$1"
    [ "$(echo "$1 $SOAK_MOST" | awk '{ print ($1 <= $2) }')" -eq 1 ] || bad=1
done
echo "nginx answered $(awk '{ sum += $1 } END { print sum + 0 }' "$work/requests") requests"
exit "$bad"
