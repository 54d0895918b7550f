#!/bin/sh
# bench-store.sh (`make bench-store`): what the context store costs, by its public functions, beside what other
# languages have for it. Each round runs every program once, every other round backwards, and the thread program
# plain and preloaded in pairs; the table is of the medians. Only what stands in one table may be compared.
# tests/bench/README.md says what each row is.
#
# From the environment: ROUNDS (7), PAIRS a round (30), BUILD (build). Writes nothing outside a temporary directory.
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
ROUNDS=${ROUNDS:-7}
PAIRS=${PAIRS:-30}
LIMIT=120 # seconds, for one program
bench=tests/bench
programs=store # and the peers that are here
unset CTXSHIM_OPTIONS

complain() {
    echo "bench-store.sh: $*" >&2
    exit 1
}

for need in "$BUILD/libctxshim.so" "$BUILD/tests/bench/store" "$BUILD/tests/bench/thread"; do
    [ -e "$need" ] || complain "$need is not built; make bench-store builds it"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# has PACKAGE COMMAND...: are they here? Else says what is skipped, and for want of which package.
has() {
    package=$1
    shift
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || {
            echo "skipped: what needs $command (Debian's package $package)"
            return 1
        }
    done
}

# Chooses the peers that are here, builds what wants to be built, and says what runs.
prepare() {
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(getconf _NPROCESSORS_ONLN) processors," \
        "Linux $(uname -r), $(getconf GNU_LIBC_VERSION)"
    if has python3 python3; then
        programs="$programs context_vars"
        echo "CPython: $(python3 --version)"
    fi
    if has nodejs node; then
        programs="$programs async_local_storage"
        echo "Node: $(node --version)"
    fi
    if has mono-runtime mono && has mono-mcs mcs; then
        mcs -optimize+ "-out:$work/CallContexts.exe" $bench/peers/CallContexts.cs
        programs="$programs callcontext asynclocal"
        echo "Mono: $(mono --version | sed -n '1s/.*version \([^ ]*\).*/\1/p')"
    fi
    if has default-jdk-headless java javac; then
        javac -d "$work" $bench/peers/InheritableThreadLocals.java
        programs="$programs java"
        echo "Java: $(java -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p')"
    fi
}

# Prints lines "ROW VALUE".
run() {
    case $1 in
    store) timeout $LIMIT env LD_PRELOAD="$BUILD/libctxshim.so" "$BUILD/tests/bench/store" ;;
    context_vars) timeout $LIMIT python3 $bench/peers/context_vars.py ;;
    async_local_storage) timeout $LIMIT node --expose-gc $bench/peers/async_local_storage.mjs ;;
    callcontext | asynclocal) timeout $LIMIT mono "$work/CallContexts.exe" "$1" ;;
    java) timeout $LIMIT java -cp "$work" InheritableThreadLocals ;;
    esac
}

# run_pairs ROW [COMMAND...]: ratios of the thread program preloaded to plain, every other pair begun with the other;
# under COMMAND.
run_pairs() {
    row=$1
    shift
    pair=0
    while [ "$pair" -lt "$PAIRS" ]; do
        pair=$((pair + 1))
        [ $((pair % 2)) -eq 0 ] || plain=$("$@" env "$BUILD/tests/bench/thread")
        preloaded=$("$@" env LD_PRELOAD="$BUILD/libctxshim.so" "$BUILD/tests/bench/thread")
        [ $((pair % 2)) -eq 1 ] || plain=$("$@" env "$BUILD/tests/bench/thread")
        echo "$row $plain $preloaded" | awk '{ printf "%s %.4f\n", $1, $3 / $2 }'
    done
}

# The first processor that this process may run on: "0" of "0-3,7".
first_processor() {
    sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status
}

backwards() {
    turned=
    for program in "$@"; do
        turned="$program $turned"
    done
    echo "$turned"
}

# sample PROGRAM ROUND: reads lines "ROW VALUE".
sample() {
    awk -v program="$1" -v round="$2" '{ print program, round, $0 }' >>"$work/samples"
}

prepare
round=0
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    order=$programs
    # shellcheck disable=SC2086
    [ $((round % 2)) -eq 1 ] || order=$(backwards $programs)
    printf 'round %s of %s:' "$round" "$ROUNDS" >&2
    for program in $order; do
        printf ' %s' "$program" >&2
        run "$program" >"$work/lines" || complain "$program did not end well"
        sample "$program" "$round" <"$work/lines"
    done
    printf ' thread' >&2
    run_pairs thread >"$work/lines"
    run_pairs thread-pinned taskset -c "$(first_processor)" >>"$work/lines"
    sample store "$round" <"$work/lines"
    echo >&2
done

echo
echo "Medians of $ROUNDS rounds; ns for an operation where nothing else is said; in brackets, as a multiple of"
echo "malloc+free in the same run; the targets are for libctxshim."
echo
awk -f $bench/table.awk $bench/rows.txt "$work/samples"
echo
echo "The same in brief, as README.md has it:"
echo
awk -v brief=1 -f $bench/table.awk $bench/rows.txt "$work/samples"
