# What the server scripts share: a directory of their own, free ports, starting a server under the witness and
# the shim, and stopping whatever was started, by pid. To be read in by a POSIX shell that has set -eu.
#
# From the environment (all optional):
#   BUILD      where the tree was built (build)
#   SHIM       the library to judge (libctxshim.so in BUILD); the witness's self-test puts a fake here
#   DISPATCH   auto, exact or batch: the shim's option dispatch (auto)
#   CLIENTS    connections at the same time (50)
#   REQUESTS   requests on each (100)
#   THINK_US   longest pause of a client before a request (0)
#   TIMEOUT    seconds for all of them (60)
#   ANNOTATE   1: the shim also annotates the log lines, and they are judged too
#   EXPLAIN    how many offending sightings to show (5)
#   KEEP       a directory to keep records and logs in
#   MEASURE    a directory: measure throughput instead of judging, round by round as drive() says below, with
#   PLAIN      1: the server without the shim
#   SECONDS_EACH  how long a round lasts (0.7)
#   LEAKS      a directory: look for leaks instead of judging; what the servers' processes are found to have left lies
#              there afterwards, as verdict() below says
#   LEAKS_AFTER  seconds for which what is over may be held (2)
#
# Exit codes of a script: the judge's 0 or 1; 3 when it could not be brought to a verdict.
# shellcheck shell=sh

root=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$root/build}
SHIM=${SHIM:-$BUILD/libctxshim.so}
DISPATCH=${DISPATCH:-auto}
CLIENTS=${CLIENTS:-50}
REQUESTS=${REQUESTS:-100}
THINK_US=${THINK_US:-0}
TIMEOUT=${TIMEOUT:-60}
ANNOTATE=${ANNOTATE:-0}
EXPLAIN=${EXPLAIN:-5}
MEASURE=${MEASURE:-}
PLAIN=${PLAIN:-0}
SECONDS_EACH=${SECONDS_EACH:-0.7}
LEAKS=${LEAKS:-}
LEAKS_AFTER=${LEAKS_AFTER:-2}
PATH="$PATH:/usr/sbin:/sbin"
run=$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n') # in all markers
stop_signal=TERM                                  # what ends the server that is started next
started=
lacking=0 # so many lines of its log a server may drop by itself

no_verdict() {
    echo "$(basename "$0"): $*" >&2
    exit 3
}

# The loader takes no relative path from a server that has changed its directory.
absolute() {
    case $1 in
    /*) echo "$1" ;;
    *) echo "$PWD/$1" ;;
    esac
}

alive() {
    kill -0 "$1" 2>/dev/null
}

# stop PID:SIGNAL: a server gets five seconds to end; then what is left of it is killed. It leads a group of its own.
stop() {
    pid=${1%:*}
    kill -"${1#*:}" "$pid" 2>/dev/null || return 0
    patience=100
    while alive "$pid" && [ "$patience" -gt 0 ]; do
        sleep 0.05
        patience=$((patience - 1))
    done
    kill -KILL -"$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# The last one first: it may use those before.
stop_all() {
    backwards=
    for one in $started; do
        backwards="$one $backwards"
    done
    for one in $backwards; do
        stop "$one"
    done
    started=
}

clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    stop_all
    if [ -n "${KEEP:-}" ]; then
        mkdir -p "$KEEP"
        cp -R "$work/." "$KEEP"
    fi
    rm -rf "$work"
    exit "$status"
}

# start LOG [OPTION...] -- PROGRAM [ARGUMENT...]: in the background, stderr to LOG, by `ctxshim run` with these
# options. The library is in LD_PRELOAD already, between the two witnesses, so the command leaves that as it is.
# Leaves the pid, which is the program's, in $server. A session of its own: a server that ends may end its group.
start() {
    log=$1
    shift
    if [ -n "$LEAKS" ]; then
        setsid "$BUILD/ctxshim" run --library="$SHIM" --dispatch="$DISPATCH" --option=leaks=1 --stacks=1 \
            --leaks-after="$LEAKS_AFTER" --record-path="$work/leaks/record" "$@" >"$work/stdout" 2>"$log" </dev/null &
    elif [ -z "$MEASURE" ]; then
        LD_PRELOAD="$tools/libwitness.so $SHIM $tools/libwitness-inner.so" WITNESS_DIR="$work/records" setsid \
            "$BUILD/ctxshim" run --library="$SHIM" --dispatch="$DISPATCH" "$@" >"$work/stdout" 2>"$log" </dev/null &
    elif [ "$PLAIN" != 1 ]; then
        setsid "$BUILD/ctxshim" run --library="$SHIM" --dispatch="$DISPATCH" "$@" >"$work/stdout" 2>"$log" </dev/null &
    else
        while [ "$1" != -- ]; do
            shift
        done
        shift
        setsid "$@" >"$work/stdout" 2>"$log" </dev/null &
    fi
    server=$!
    started="$started $server:$stop_signal"
}

# answers PORT: waits until the server just started does; fails with what it said when it does not.
answers() {
    "$tools/load" --await --port "$1" --timeout 10 || no_verdict "the server does not answer: $(tail -n 3 "$log")"
    alive "$server" || no_verdict "the server ended: $(tail -n 3 "$log")"
}

free_port() {
    "$tools/load" --free-port
}

# need PROGRAM...: no verdict without these.
need() {
    for program in "$@"; do
        command -v "$program" >"$work/found" || no_verdict "$program is not installed (see scripts/deps.sh)"
    done
}

# As root, a server may insist on being somebody else: whom, and a way to become that with PREFIX COMMAND. Nothing
# else. What it needs must be readable by others.
# shellcheck disable=SC2034
{
    somebody=
    become=
}
if [ "$(id -u)" -eq 0 ]; then
    # shellcheck disable=SC2034
    somebody=nobody
    # shellcheck disable=SC2034
    become="setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups"
fi

# files DIRECTORY: what the protocol "file" will ask for.
files() {
    "$tools/load" --make-files "$1" --run "$run" --clients "$CLIENTS" --requests "$REQUESTS" ||
        no_verdict "cannot make files in $1"
}

ask() {
    "$tools/load" --run "$run" --clients "$CLIENTS" --requests "$REQUESTS" --think-us "$THINK_US" "$@" >"$work/load" \
        2>&1 || no_verdict "$(cat "$work/load")"
}

# Ticks of processor time that what was started has used, with its children (each server leads a session).
ticks() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk -v started="$started" '
        BEGIN { count = split(started, one, " "); for (i = 1; i <= count; i++) ours[one[i] + 0] }
        $4 in ours { sum += $12 + $13 + $14 + $15 }
        END { print sum + 0 }'
}

# drive PROTOCOL PORT [OPTION...]: all requests, each answer checked. When measuring: a round as soon as there is a
# file go.N in $MEASURE; what comes out then is in rate.N, requests per second and ticks for a million of them; until
# there is a file stop.
drive() {
    protocol=$1
    port=$2
    shift 2
    if [ -z "$MEASURE" ]; then
        ask --protocol="$protocol" --port "$port" --timeout "$TIMEOUT" "$@"
        return 0
    fi
    ask --protocol="$protocol" --port "$port" --timeout "$TIMEOUT" --seconds 0.3 "$@" # warm
    round=0
    while :; do
        while [ ! -e "$MEASURE/go.$round" ]; do
            [ ! -e "$MEASURE/stop" ] || exit 0
            sleep 0.1
        done
        before=$(ticks)
        ask --protocol="$protocol" --port "$port" --timeout "$TIMEOUT" --seconds "$SECONDS_EACH" "$@"
        used=$(($(ticks) - before))
        sed -n 's/^load: \([0-9]*\) of .*, \([0-9]*\)\/s$/\1 \2/p' "$work/load" |
            awk -v used="$used" '{ print $2, (used > 0 ? used : 1) * 1000000 / $1 }' >"$MEASURE/rate.new"
        mv "$MEASURE/rate.new" "$MEASURE/rate.$round"
        round=$((round + 1))
    done
}

# A client has its answer before the server's witness has written down that it was sent: until no record comes any more.
settle() {
    before=
    patience=50
    while now=$(cat "$work"/records/* 2>/dev/null | wc -c) && [ "$now" != "$before" ] && [ "$patience" -gt 0 ]; do
        before=$now
        patience=$((patience - 1))
        sleep 0.2
    done
}

# Pids of what was started, with its children (each server leads a session), that the shim is in.
processes() {
    for stat in /proc/[0-9]*/stat; do
        sed 's/ (.*) . [0-9-]* [0-9-]*//' "$stat" 2>/dev/null || :
    done | while read -r pid session _; do
        case " $started" in
        *" $session:"*) ! grep -q "$(basename "$SHIM")" "/proc/$pid/maps" 2>/dev/null || echo "$pid" ;;
        esac
    done
}

# The clients have gone, and what may be held no longer has been for long enough: asks each process, and reads what
# those left that have ended before. One file for each in $LEAKS: leaks.PID, and holders.PID of one that was alive.
look_for_leaks() {
    sleep "$((LEAKS_AFTER + 2))"
    for pid in $(processes); do
        "$BUILD/ctxshim" leaks "$pid" >"$LEAKS/leaks.$pid" 2>"$work/said" || [ $? = 23 ] || no_verdict "$(cat "$work/said")"
        "$BUILD/ctxshim" holders "$pid" >"$LEAKS/holders.$pid" 2>"$work/said" || no_verdict "$(cat "$work/said")"
    done
    for record in "$work"/leaks/record.*; do
        pid=${record#"$work/leaks/record."}
        [ -e "$LEAKS/leaks.$pid" ] || [ ! -e "$record" ] ||
            "$BUILD/ctxshim" leaks "$record" >"$LEAKS/leaks.$pid" 2>"$work/said" || [ $? = 23 ] ||
            no_verdict "$(cat "$work/said")"
    done
}

# verdict STATIONS [LOG...]: stops the servers, then judges the records, and the logs if they are annotated.
verdict() {
    stations=$1
    shift
    if [ -n "$LEAKS" ]; then
        look_for_leaks
        stop_all
        exit 0
    fi
    settle
    stop_all
    if [ "$ANNOTATE" = 1 ]; then
        for log in "$@"; do
            set -- "$@" "--annotated=$log"
            shift
        done
        set -- "$@" "--lacking=$lacking"
    else
        set --
    fi
    "$tools/judge" --requests "$((CLIENTS * REQUESTS))" --stations "$stations" --explain "$EXPLAIN" "$@" \
        "$work/records" || {
        status=$?
        [ "$status" = 1 ] || no_verdict "the judge could not read the records"
        exit 1
    }
}

BUILD=$(absolute "$BUILD")
SHIM=$(absolute "$SHIM")
tools=$BUILD/tests
for need in "$tools/libwitness.so" "$tools/libwitness-inner.so" "$tools/load" "$tools/judge" "$BUILD/ctxshim" "$SHIM"; do
    [ -e "$need" ] || no_verdict "$need is not built"
done
work=$(mktemp -d)
chmod 755 "$work"
trap clean_up EXIT
trap 'exit 3' HUP INT TERM
mkdir -m 1777 "$work/records" "$work/leaks"
