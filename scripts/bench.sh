#!/bin/sh
# bench.sh (`make bench`): what the shim costs whole programs. A server is started plain, preloaded, and preloaded
# with dispatch=exact, in turn and each time anew, every other round backwards. What counts is the ratio of what
# lies next to each other, and of these ratios the median: of the throughput, and of the server's processor time
# for a request, which a client that is slower than the server cannot hide. Absolute numbers say more about the
# machine than about us.
#
# From the environment: PAIRS (5), SECONDS per measurement (3), BUILD (build). All on the loopback, on free ports,
# in a temporary directory; what was started is stopped by pid.
set -eu

# shellcheck disable=SC3028
seconds=${SECONDS:-0}
[ "$seconds" -gt 0 ] || seconds=3 # bash counts in this variable, from 0
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
PAIRS=${PAIRS:-5}
CLIENTS=50
PATH="$PATH:/usr/sbin:/sbin"
server=

complain() {
    echo "bench.sh: $*" >&2
    exit 1
}

for need in redis-server redis-benchmark nginx wrk; do
    command -v "$need" >/dev/null || complain "$need is not installed; scripts/deps.sh installs it"
done
[ -x "$BUILD/ctxshim" ] || complain "$BUILD/ctxshim is not built; make builds it"

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || :
    wait "$server" 2>/dev/null || :
    server=
}

clean_up() {
    stop_server
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

# start WAY PROGRAM [ARGUMENT...]
start() {
    way=$1
    shift
    case $way in
    plain) set -- "$@" ;;
    preloaded) set -- "$BUILD/ctxshim" run -- "$@" ;;
    exact) set -- "$BUILD/ctxshim" run --dispatch=exact -- "$@" ;;
    esac
    "$@" >"$work/server.log" 2>&1 </dev/null &
    server=$!
}

# await COMMAND...: until it succeeds.
await() {
    patience=100
    until "$@" >/dev/null 2>&1; do
        patience=$((patience - 1))
        if [ "$patience" -eq 0 ] || ! kill -0 "$server" 2>/dev/null; then
            complain "the server does not answer: $(tail -n 3 "$work/server.log")"
        fi
        sleep 0.05
    done
}

# Ticks of processor time that the server and its children have used, start-up included.
server_ticks() {
    for pid in "$server" $(cat "/proc/$server/task/$server/children"); do
        cut -d ' ' -f 14,15 "/proc/$pid/stat"
    done | awk '{ sum += $1 + $2 } END { print sum }'
}

# ---- The programs: each measures one way of starting it, and leaves requests per second in $rate and ticks for
# ---- a million requests in $cost.

redis_run() {
    redis-benchmark -p "$port" -t get -c "$CLIENTS" -n "$1" -d 64 --csv 2>/dev/null |
        sed -n 's/^"GET","\([0-9]*\).*/\1/p'
}

# redis-benchmark counts requests, not time: how many make up the time, the first run tells.
redis_count=20000
measure_redis() {
    start "$1" redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$work"
    await redis-cli -p "$port" ping
    rate=$(redis_run "$redis_count")
    [ "${rate:-0}" -gt 0 ] || complain "redis-benchmark measured nothing"
    cost=$(($(server_ticks) * 1000000 / redis_count))
    stop_server
    [ "$redis_count" -ne 20000 ] || redis_count=$((rate * seconds))
}

nginx_prepare() {
    mkdir -p "$work/www"
    head -c 1024 /dev/zero | tr '\0' x >"$work/www/file"
    # As root the worker would become a user who cannot read here.
    user=
    [ "$(id -u)" -ne 0 ] || user="user root;"
    cat >"$work/nginx.conf" <<END
$user
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr error;
events {
    worker_connections 512;
}
http {
    access_log off;
    sendfile on;
    keepalive_requests 100000000;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {
        listen 127.0.0.1:$port;
        root $work/www;
    }
}
END
}

measure_nginx() {
    start "$1" nginx -p "$work" -c "$work/nginx.conf" -e stderr
    await curl -sf "http://127.0.0.1:$port/file"
    wrk -t 1 -c "$CLIENTS" -d "${seconds}s" "http://127.0.0.1:$port/file" >"$work/wrk"
    rate=$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' "$work/wrk")
    count=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$work/wrk")
    [ "${rate:-0}" -gt 0 ] || complain "wrk measured nothing"
    cost=$(($(server_ticks) * 1000000 / count))
    stop_server
}

# ---- Rounds and what they come to

# compare PROGRAM: PAIRS rounds after a warm-up; a line "WAY ROUND RATE COST" for each run in $work/PROGRAM.runs.
compare() {
    port=$(free_port)
    [ "$1" = redis ] || nginx_prepare
    "measure_$1" plain
    round=0
    while [ "$round" -lt "$PAIRS" ]; do
        round=$((round + 1))
        ways='plain preloaded exact'
        [ $((round % 2)) -eq 1 ] || ways='exact preloaded plain'
        printf '%s, round %s of %s:' "$1" "$round" "$PAIRS" >&2
        for way in $ways; do
            "measure_$1" "$way"
            printf ' %s %s/s' "$way" "$rate" >&2
            echo "$way $round $rate $cost" >>"$work/$1.runs"
        done
        echo >&2
    done
}

# The table's rows of one program.
summarise() {
    awk -v name="$2" '
        function ratios(values, way,    list, round, i, value) {
            for (round = 1; round <= rounds; round++) {
                value = values[way, round] / values["plain", round]
                for (i = round; i > 1 && list[i - 1] > value; i--)
                    list[i] = list[i - 1]
                list[i] = value
            }
            value = rounds % 2 ? list[(rounds + 1) / 2] : (list[rounds / 2] + list[rounds / 2 + 1]) / 2
            return sprintf("%.3f (%.3f to %.3f)", value, list[1], list[rounds])
        }
        { rate[$1, $2] = $3; cost[$1, $2] = $4; rounds = $2 > rounds ? $2 : rounds }
        $1 == "plain" { sum += $3 }
        END {
            printf "%-28s %-16s %-26s %s\n", name, "preloaded", ratios(rate, "preloaded"), ratios(cost, "preloaded")
            printf "%-28s %-16s %-26s %s\n", sprintf("  plain: %d/s here", sum / rounds), "dispatch=exact", \
                ratios(rate, "exact"), ratios(cost, "exact")
        }
    ' "$work/$1.runs"
}

compare redis
compare nginx
echo
echo "preloaded : plain, median of $PAIRS pairs (lowest to highest), $CLIENTS connections, $seconds s a run"
echo
printf '%-28s %-16s %-26s %s\n' program way throughput 'processor time a request'
summarise redis "redis-server, GET"
summarise nginx "nginx, static file of 1 KiB"
