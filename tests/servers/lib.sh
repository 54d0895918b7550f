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
#   ANNOTATE   1: the shim also annotates the log lines, and they are judged too
#   EXPLAIN    how many offending sightings to show (5)
#   KEEP       a directory to keep records and logs in
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
ANNOTATE=${ANNOTATE:-0}
EXPLAIN=${EXPLAIN:-5}
started=

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

# A server gets five seconds to end; then it and its workers are killed.
stop() {
    kill -TERM "$1" 2>/dev/null || return 0
    patience=100
    while alive "$1" && [ "$patience" -gt 0 ]; do
        sleep 0.05
        patience=$((patience - 1))
    done
    if alive "$1"; then
        children=$(cat "/proc/$1/task/$1/children" 2>/dev/null || true)
        # shellcheck disable=SC2086
        kill -KILL "$1" $children 2>/dev/null || true
    fi
    wait "$1" 2>/dev/null || true
}

clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    for pid in $started; do
        stop "$pid"
    done
    if [ -n "${KEEP:-}" ]; then
        mkdir -p "$KEEP"
        cp -R "$work/." "$KEEP"
    fi
    rm -rf "$work"
    exit "$status"
}

# start LOG [OPTION...] -- PROGRAM [ARGUMENT...]: in the background, stderr to LOG, by `ctxshim run` with these
# options. The library is in LD_PRELOAD already, behind the witness, so the command leaves that as it is.
# Leaves the pid, which is the program's, in $server.
start() {
    log=$1
    shift
    LD_PRELOAD="$tools/libwitness.so $SHIM" WITNESS_DIR="$work/records" \
        "$BUILD/ctxshim" run --library="$SHIM" --dispatch="$DISPATCH" "$@" >"$work/stdout" 2>"$log" </dev/null &
    server=$!
    started="$server $started"
}

# answers PORT: waits until the server just started does; fails with what it said when it does not.
answers() {
    "$tools/load" --await --port "$1" --timeout 10 || no_verdict "the server does not answer: $(tail -n 3 "$log")"
    alive "$server" || no_verdict "the server ended: $(tail -n 3 "$log")"
}

free_port() {
    "$tools/load" --free-port
}

# drive PROTOCOL PORT: all requests, each answer checked.
drive() {
    "$tools/load" --protocol="$1" --port "$2" --clients "$CLIENTS" --requests "$REQUESTS" --think-us "$THINK_US" \
        --timeout 60 >"$work/load" 2>&1 || no_verdict "$(cat "$work/load")"
}

# verdict STATIONS [LOG...]: stops the servers, then judges the records, and the logs if they are annotated.
verdict() {
    stations=$1
    shift
    for pid in $started; do
        stop "$pid"
    done
    started=
    if [ "$ANNOTATE" = 1 ]; then
        for log in "$@"; do
            set -- "$@" "--annotated=$log"
            shift
        done
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
for need in "$tools/libwitness.so" "$tools/load" "$tools/judge" "$BUILD/ctxshim" "$SHIM"; do
    [ -e "$need" ] || no_verdict "$need is not built"
done
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 3' HUP INT TERM
mkdir -m 1777 "$work/records"
