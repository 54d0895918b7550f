#!/bin/sh
# bench.sh (`make bench`): what the shim costs whole programs. A server is started plain and preloaded in turn and each
# time anew, every other round backwards; it has one processor, and its client another. What counts is the ratio of what
# lies next to each other, and of these ratios the median: of the throughput, and of the server's processor time for a
# request, which a client that is slower than the server cannot hide. Absolute numbers say more about the machine than
# about us. Says on stderr how far it is, and ends in tables (Markdown), as README.md has them.
#
#     bench.sh [WORD...]       only rows whose name has one of these words
#
# From the environment: PAIRS (9); SECONDS_EACH, a measurement's length (3); QUICK=1: PAIRS=3 and the rows of redis,
# memcached and nginx's files; WAYS (preloaded), what the plain program is compared with: `preloaded` has the default
# options, `batch` and `exact` are those ways to dispatch; WAITS=1: beside them how often each waits (strace counts);
# LEAKS=1: leaks=1 with one stack in STACKS (64) kept, to preloaded without; TOOLS=1: what people use else, one round of
# each (strace -f -c, ltrace, uftrace, the helpers of LTTng-UST, heaptrack, as far as they are there); BUILD (build). All
# on the loopback, on free ports, in a temporary directory; what was started is stopped by pid.
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
QUICK=${QUICK:-0}
PAIRS=${PAIRS:-$([ "$QUICK" = 1 ] && echo 3 || echo 9)}
SECONDS_EACH=${SECONDS_EACH:-3}
WAYS=${WAYS:-preloaded}
WAITS=${WAITS:-0}
TOOLS=${TOOLS:-0}
LEAKS=${LEAKS:-0}
STACKS=${STACKS:-64}
base=plain
[ "$LEAKS" != 1 ] || base=preloaded WAYS=leaks
words=$*
CLIENTS=50
under=
PATH="$PATH:/usr/sbin:/sbin"
for directory in /usr/lib/postgresql/*/bin; do
    PATH="$PATH:$directory"
done
server=

complain() {
    echo "bench.sh: $*" >&2
    exit 1
}

for need in "$BUILD/ctxshim" "$BUILD/tests/load"; do
    [ -x "$need" ] || complain "$need is not built; make bench builds it"
done

# The clients' processor, and those that servers have.
on_server='' on_client=''
processors=$(nproc)
if [ "$processors" -gt 1 ]; then
    on_server="taskset -c 1-$((processors - 1))" on_client='taskset -c 0'
fi

# What was started leads a session, and most programs end with the one that leads it.
stop_server() {
    [ -n "$server" ] || return 0
    # strace tells what it has counted when the server ends.
    if [ -n "$under" ]; then
        ps -o pid= --ppid "$server" | xargs -r kill 2>/dev/null || :
    else
        kill "$server" 2>/dev/null || :
    fi
    patience=100
    while kill -0 "$server" 2>/dev/null && [ "$patience" -gt 0 ]; do
        sleep 0.05
        patience=$((patience - 1))
    done
    kill -KILL -"$server" 2>/dev/null || :
    wait "$server" 2>/dev/null || :
    server=
}

# LTTng's helpers record into memory, of which the newest part stays: a daemon of our own, and nothing on disk.
lttng_daemon=
lttng_begin() {
    [ -z "$lttng_daemon" ] || return 0
    export LTTNG_HOME="$work"
    lttng-sessiond --no-kernel >"$work/lttng.log" 2>&1 &
    lttng_daemon=$!
    patience=100
    until lttng --no-sessiond create ctxshim --snapshot >>"$work/lttng.log" 2>&1; do
        sleep 0.1
        patience=$((patience - 1))
        [ "$patience" -gt 0 ] || complain "lttng: $(tail -n 3 "$work/lttng.log")"
    done
    for event in 'lttng_ust_libc:*' 'lttng_ust_pthread:*'; do
        lttng --no-sessiond enable-event -u "$event" >>"$work/lttng.log" 2>&1 || complain "lttng: no events"
    done
    lttng --no-sessiond start >>"$work/lttng.log" 2>&1 || complain "lttng: $(tail -n 3 "$work/lttng.log")"
}

# shellcheck disable=SC2317
clean_up() {
    stop_server
    [ -z "$lttng_daemon" ] || kill "$lttng_daemon" 2>/dev/null || :
    rm -rf "$work"
}
work=$(mktemp -d)
chmod 755 "$work"
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# start WAY PROGRAM [ARGUMENT...]
start() {
    way=$1
    shift
    case $way in
    plain) ;;
    preloaded) set -- "$BUILD/ctxshim" run -- "$@" ;;
    batch | exact) set -- "$BUILD/ctxshim" run --dispatch="$way" -- "$@" ;;
    leaks) set -- "$BUILD/ctxshim" run --option=leaks=1 --stacks="$STACKS" -- "$@" ;;
    strace) set -- strace -f -c -o "$work/trace" "$@" ;;
    ltrace) set -- ltrace -f -c -o "$work/trace" "$@" ;;
    uftrace) set -- uftrace record --force --no-event -d "$work/uftrace" "$@" ;;
    lttng)
        lttng_begin
        set -- env LTTNG_HOME="$work" LD_PRELOAD="liblttng-ust-libc-wrapper.so liblttng-ust-pthread-wrapper.so" "$@"
        ;;
    heaptrack) set -- heaptrack -o "$work/heap" "$@" ;;
    esac
    # shellcheck disable=SC2086
    setsid $on_server $under "$@" >"$work/server.log" 2>&1 </dev/null &
    server=$!
}

answers() {
    "$BUILD/tests/load" --await --port "$port" --timeout 20 || complain "no answer: $(tail -n 3 "$work/server.log")"
}

# Of all that the server's session runs: its ticks of processor time, those of ended children too; its KiB of memory.
session() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk -v session="$server" -v page="$(($(getconf PAGESIZE) / 1024))" '
        $4 == session { ticks += $12 + $13 + $14 + $15; memory += $22 * page }
        END { print ticks + 0, memory + 0 }'
}

# ---- The clients: each leaves how many requests it made in $count, and how many in a second in $rate; and how many
# ---- microseconds half of them took, and 99 of 100, in $half and $most ('-': it does not tell).

ask_wrk() {
    # shellcheck disable=SC2086
    $on_client wrk --latency -t 1 -c "$CLIENTS" -d "${SECONDS_EACH}s" "http://127.0.0.1:$port/file" >"$work/said"
    rate=$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' "$work/said")
    count=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$work/said")
    half=$(microseconds 50%) most=$(microseconds 99%)
}
microseconds() {
    awk -v which="$1" '$1 == which {
        factor = $2 ~ /us$/ ? 1 : $2 ~ /ms$/ ? 1000 : 1000000
        sub(/[a-z]*$/, "", $2)
        print $2 * factor }' "$work/said"
}

# It counts requests, not time: how many make up the time, the first run tells.
redis_count=20000
ask_redis() {
    # shellcheck disable=SC2086
    $on_client redis-benchmark -p "$port" -t get -c "$CLIENTS" -n "$redis_count" -d 64 --csv "$@" >"$work/said" 2>&1
    line=$(sed -n 's/"//g; /^GET/p' "$work/said")
    rate=$(echo "$line" | cut -d , -f 2 | cut -d . -f 1)
    half=$(echo "$line" | awk -F , '{ print $5 * 1000 }')
    most=$(echo "$line" | awk -F , '{ print $7 * 1000 }')
    count=$redis_count
    redis_count=$((${rate:-0} * SECONDS_EACH))
}

ask_load() {
    # shellcheck disable=SC2086
    $on_client "$BUILD/tests/load" --protocol="$1" --port "$port" --clients "$CLIENTS" --seconds "$SECONDS_EACH" \
        --timeout 60 >"$work/said" 2>&1 || complain "$(cat "$work/said")"
    count=$(sed -n 's/^load: \([0-9]*\) of .*/\1/p' "$work/said")
    rate=$(sed -n 's/^load: .*, \([0-9]*\)\/s$/\1/p' "$work/said")
    half=$(sed -n 's/^half within \([0-9]*\) us.*/\1/p' "$work/said")
    most=$(sed -n 's/^half within .* 99 of 100 within \([0-9]*\) us$/\1/p' "$work/said")
}

ask_pgbench() {
    rm -f "$work"/pgbench_log.*
    # shellcheck disable=SC2086
    (cd "$work" && $on_client pgbench -n -S -h 127.0.0.1 -p "$port" -U ctxshim -c 16 -T "$SECONDS_EACH" -l postgres) \
        >"$work/said" 2>&1 || complain "$(cat "$work/said")"
    count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/said")
    rate=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$work/said")
    cat "$work"/pgbench_log.* | cut -d ' ' -f 3 | sort -n >"$work/latencies"
    half=$(sed -n "$((count / 2 + 1))p" "$work/latencies") most=$(sed -n "$((count * 99 / 100 + 1))p" "$work/latencies")
}

# ---- The servers: each starts, and names its client.

run_redis() {
    way=$1
    shift
    start "$way" redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$work" "$@"
    answers
}
row_redis() {
    if [ "$2" = ask ]; then ask_redis; else run_redis "$1"; fi
}
row_redis_pipelined() {
    if [ "$2" = ask ]; then ask_redis -P 16; else run_redis "$1"; fi
}
# Its threads wait for each other in a busy loop: on one processor that is all they would do.
row_redis_io_threads() {
    [ "$2" != ask ] || { ask_redis && return; }
    pinned=$on_server
    [ "$processors" -gt 2 ] || on_server=''
    run_redis "$1" --io-threads 4
    on_server=$pinned
}

row_memcached() {
    [ "$2" != ask ] || { ask_load memcached && return; }
    set -- "$1" memcached -t 4 -l 127.0.0.1 -p "$port" -U 0
    [ "$(id -u)" -ne 0 ] || set -- "$@" -u root
    start "$@"
    answers
}

# nginx WAY LINE SERVER: its configuration has this line in the http block, and this in the server's.
nginx_start() {
    # As root the worker would become a user who cannot read here.
    user=
    [ "$(id -u)" -ne 0 ] || user="user root;"
    mkdir -p "$work/www"
    head -c 1024 /dev/zero | tr '\0' x >"$work/www/file"
    cat >"$work/nginx.conf" <<END
$user
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr error;
thread_pool default threads=4;
events {
    worker_connections 512;
}
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    $2
    server {
        listen 127.0.0.1:$port;
        root $work/www;
        $3
    }
}
END
    start "$1" nginx -p "$work" -c "$work/nginx.conf" -e stderr
    answers
}
row_nginx_file() {
    if [ "$2" = ask ]; then ask_wrk; else nginx_start "$1" 'sendfile on;' ''; fi
}
row_nginx_aio_threads() {
    if [ "$2" = ask ]; then ask_wrk; else nginx_start "$1" 'sendfile off; aio threads;' ''; fi
}
# The back-end is another server of the same process, so that one session has both.
row_nginx_proxy() {
    [ "$2" != ask ] || { ask_wrk && return; }
    nginx_start "$1" "upstream backend { server 127.0.0.1:$back_port; keepalive 16; keepalive_requests 1000000; }
        server { listen 127.0.0.1:$back_port; root $work/www; }" \
        'location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }'
}

row_apache_event() {
    [ "$2" != ask ] || { ask_wrk && return; }
    mkdir -p "$work/www"
    head -c 1024 /dev/zero | tr '\0' x >"$work/www/file"
    user=
    [ "$(id -u)" -ne 0 ] || user="User nobody
Group #$(id -g nobody)"
    cat >"$work/apache.conf" <<END
ServerRoot $work
DefaultRuntimeDir $work
PidFile $work/apache.pid
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
Listen 127.0.0.1:$port
ServerName 127.0.0.1
$user
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
DocumentRoot $work/www
KeepAlive On
MaxKeepAliveRequests 0
ErrorLog $work/apache.log
<Directory $work/www>
    Require all granted
</Directory>
END
    start "$1" apache2 -D FOREGROUND -f "$work/apache.conf"
    answers
}

# A database is made once; it refuses to be root's.
row_postgresql() {
    [ "$2" != ask ] || { ask_pgbench && return; }
    become=
    if [ "$(id -u)" -eq 0 ]; then
        become="setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups"
    fi
    if [ ! -d "$work/postgres" ]; then
        mkdir "$work/postgres"
        [ -z "$become" ] || chown nobody "$work/postgres"
        # shellcheck disable=SC2086
        (cd / && $become initdb --no-sync --auth=trust --username=ctxshim --no-instructions --encoding=UTF8 --locale=C \
            -D "$work/postgres") >"$work/initdb" 2>&1 || complain "initdb: $(tail -n 3 "$work/initdb")"
        printf "unix_socket_directories = ''\nfsync = off\nautovacuum = off\nmax_connections = 40\n" \
            >>"$work/postgres/postgresql.conf"
    fi
    # shellcheck disable=SC2086
    start "$1" $become postgres -D "$work/postgres" -h 127.0.0.1 -p "$port"
    until pg_isready -q -h 127.0.0.1 -p "$port" -U ctxshim -d postgres; do
        sleep 0.1
        kill -0 "$server" 2>/dev/null || complain "postgres: $(tail -n 3 "$work/server.log")"
    done
    pgbench -q -i -h 127.0.0.1 -p "$port" -U ctxshim postgres >"$work/said" 2>&1 || complain "$(cat "$work/said")"
}

# ---- Rounds and what they come to

# measure ROW WAY: leaves a line "RATE TICKS-FOR-A-MILLION P50 P99 KIB" in $measured.
measure() {
    port=$("$BUILD/tests/load" --free-port)
    back_port=$("$BUILD/tests/load" --free-port)
    "row_$1" "$2" start
    before=$(session)
    "row_$1" "$2" ask
    after=$(session)
    if [ "${rate:-0}" -eq 0 ] || [ "${count:-0}" -eq 0 ]; then
        complain "$1: the client measured nothing: $(cat "$work/said")"
    fi
    measured="$rate $(((${after% *} - ${before% *}) * 1000000 / count)) $half $most ${after#* }"
    stop_server
}

# compare ROW: PAIRS rounds after a warm-up; a line "WAY ROUND RATE COST P50 P99 KIB" for each in $work/ROW.runs.
compare() {
    redis_count=20000
    measure "$1" "$base"
    round=0
    while [ "$round" -lt "$PAIRS" ]; do
        round=$((round + 1))
        ways=
        for way in $base $WAYS; do
            if [ $((round % 2)) -eq 1 ]; then ways="$ways $way"; else ways="$way $ways"; fi
        done
        [ "$round" -gt 1 ] || ways="$ways $tools"
        printf '%s, round %s of %s:' "$1" "$round" "$PAIRS" >&2
        for way in $ways; do
            measure "$1" "$way"
            printf ' %s %s/s' "$way" "${measured%% *}" >&2
            echo "$way $round $measured" >>"$work/$1.runs"
        done
        echo >&2
    done
}

# The table's lines of one row: medians of the pairs' ratios.
summarise() {
    for way in $WAYS $tools; do
        awk -v name="$1" -v way="$way" -v base="$base" '
            function ratio(column,    list, n, round, i, value) {
                for (round = 1; round <= rounds; round++) {
                    if (!((way, round, column) in run) || run[base, round, column] + 0 == 0)
                        continue
                    value = run[way, round, column] / run[base, round, column]
                    for (i = ++n; i > 1 && list[i - 1] > value; i--)
                        list[i] = list[i - 1]
                    list[i] = value
                }
                if (n == 0)
                    return "-"
                value = n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
                return sprintf(n > 1 ? "%.3f (%.3f to %.3f)" : "%.3f", value, list[1], list[n])
            }
            { for (i = 3; i <= 7; i++) run[$1, $2, i] = $i; rounds = $2 > rounds ? $2 : rounds }
            END {
                gsub(/_/, " ", name)
                printf "| %s | %s | %s | %s | %s | %s | %s |\n", name, way, ratio(3), ratio(4), ratio(5), ratio(6), ratio(7)
            }' "$work/$1.runs"
    done
}

# Is this row wanted, and are its programs there?
wanted() {
    for program in $2; do
        if ! command -v "$program" >/dev/null; then
            echo "$1: $program is not installed; scripts/deps.sh installs it" >&2
            return 1
        fi
    done
    [ -n "$words" ] || return 0
    for word in $words; do
        case $1 in *"$word"*) return 0 ;; esac
    done
    return 1
}

tools=
if [ "$TOOLS" = 1 ]; then
    for tool in strace ltrace uftrace lttng heaptrack; do
        ! command -v "$tool" >/dev/null || tools="$tools $tool"
    done
fi

done_rows=''
waits=''
row() {
    wanted "$1" "$2" || return 0
    compare "$1"
    [ "$WAITS" != 1 ] || count_waits "$1"
    done_rows="$done_rows $1"
}

# ---- How often a server waits, which is what serving events one by one costs: calls for a thousand requests. strace
# ---- stops it at these calls alone.

count_waits() {
    under="strace -f --seccomp-bpf -c -e trace=epoll_wait,epoll_pwait,epoll_pwait2 -o $work/waits"
    counts="| $1 |"
    for way in $base $WAYS; do
        measure "$1" "$way"
        counts="$counts $(awk -v count="$count" '$NF ~ /^epoll_p?wait2?$/ { calls += $4 }
            END { printf "%.0f", calls * 1000 / count }' "$work/waits") |"
    done
    under=
    waits="$waits
$counts"
}

row redis 'redis-server redis-benchmark'
row redis_pipelined 'redis-server redis-benchmark'
row memcached memcached
row nginx_file 'nginx wrk'
if [ "$QUICK" != 1 ]; then
    row redis_io_threads 'redis-server redis-benchmark'
    row nginx_proxy 'nginx wrk'
    row nginx_aio_threads 'nginx wrk'
    row apache_event 'apache2 wrk'
    row postgresql 'initdb postgres pgbench'
fi

echo
echo "Ratios to the program $base: median of $PAIRS pairs (lowest to highest), $CLIENTS connections, $SECONDS_EACH s each."
echo
echo "| program | way | throughput | processor time a request | half of the answers within | 99 of 100 within | memory |"
echo "|---|---|---|---|---|---|---|"
for one in $done_rows; do
    summarise "$one"
done
if [ -n "$waits" ]; then
    echo
    echo "| waits for 1000 requests | $base |$(for way in $WAYS; do printf ' %s |' "$way"; done)"
    echo "|---|---|$(for way in $WAYS; do printf -- '---|'; done)$waits" | tr _ ' '
fi
