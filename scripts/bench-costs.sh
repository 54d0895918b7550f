#!/bin/sh
# bench-costs.sh (the second half of `make bench`): what the shim costs a program by itself, plain and preloaded in turn:
# a process that starts, threads, children, memory; and whether a thing costs the same when there are many: connections,
# threads, descriptors. Processor time, as the kernel counts it. Ends in tables (Markdown), as README.md has them.
#
#     bench-costs.sh [WORD...]       only rows whose name has one of these words
#
# From the environment: PAIRS (9), BUILD (build).
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
PAIRS=${PAIRS:-9}
words=$*
shim=$(cd "$BUILD" && pwd)/libctxshim.so

complain() {
    echo "bench-costs.sh: $*" >&2
    exit 1
}

for need in "$BUILD/tests/bench/costs" "$BUILD/tests/bench/connections" "$shim"; do
    [ -x "$need" ] || complain "$need is not built; make bench builds it"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

wanted() {
    [ -n "$words" ] || return 0
    for word in $words; do
        case $1 in *"$word"*) return 0 ;; esac
    done
    return 1
}

# pairs FIELD COMMAND...: lines "PLAIN PRELOADED" of that field of what it prints; false: the system does not allow it.
pairs() {
    field=$1
    shift
    LD_PRELOAD='' "$@" >"$work/said" || return 1
    round=0
    while [ "$round" -lt "$PAIRS" ]; do
        round=$((round + 1))
        [ $((round % 2)) -eq 1 ] || more=$(LD_PRELOAD=$shim "$@" | cut -d ' ' -f "$field")
        plain=$(LD_PRELOAD='' "$@" | cut -d ' ' -f "$field")
        [ $((round % 2)) -eq 0 ] || more=$(LD_PRELOAD=$shim "$@" | cut -d ' ' -f "$field")
        echo "$plain $more"
    done >"$work/pairs"
}

# Of $work/pairs: "PLAIN ADDED RATIO LOWEST HIGHEST", medians.
medians() {
    awk '
        function insert(list, n, value) {
            for (; n > 1 && list[n - 1] > value; n--)
                list[n] = list[n - 1]
            list[n] = value
        }
        function median(list) {
            return NR % 2 ? list[(NR + 1) / 2] : (list[NR / 2] + list[NR / 2 + 1]) / 2
        }
        {
            insert(plain, NR, $1)
            insert(added, NR, $2 - $1)
            insert(ratio, NR, $1 > 0 ? $2 / $1 : 0)
        }
        END { print median(plain), median(added), median(ratio), ratio[1], ratio[NR] }' "$work/pairs"
}

# ---- One thing at a time

# single NAME WHAT UNIT DIVISOR COMMAND...
single() {
    wanted "$1" || return 0
    what=$2 unit=$3 divisor=$4
    shift 4
    pairs 1 "$@" || return 0
    medians | awk -v what="$what" -v unit="$unit" -v by="$divisor" '{
        printf "| %s | %.1f %s | %+.1f %s | %.3f (%.3f to %.3f) |\n", what, $1 / by, unit, $2 / by, unit, $3, $4, $5 }'
}

# KiB that a sleeping process has of its own.
asleep() {
    sleep 5 &
    sleeper=$!
    sleep 0.3
    awk '/^RssAnon/ { anonymous = $2 } END { print anonymous }' "/proc/$sleeper/status"
    kill "$sleeper"
}
if [ "${1:-}" = --asleep ]; then
    asleep
    exit
fi

echo
echo "| one of | plain | what the shim adds | ratio |"
echo "|---|---|---|---|"
single create 'pthread_create and join' us 1000 "$BUILD/tests/bench/costs" create
single fork 'fork, and the child ends' us 1000 "$BUILD/tests/bench/costs" fork
single exec 'fork, and the child executes /bin/true' us 1000 "$BUILD/tests/bench/costs" exec
single start 'start-up of /bin/true' us 1000 "$BUILD/tests/bench/costs" start
single memory 'memory of a process that sleeps' KiB 1 "$0" --asleep

# ---- Many of a kind

# many SERIES FIELD UNIT NUMBER... -- COMMAND...: the number is the command's second last argument, or its last.
many() {
    wanted "$1" || return 0
    series=$1 field=$2 unit=$3
    shift 3
    numbers=
    while [ "$1" != -- ]; do
        numbers="$numbers $1"
        shift
    done
    shift
    : >"$work/slope"
    for number in $numbers; do
        # shellcheck disable=SC2046 # its words are arguments
        if ! pairs "$field" $(echo "$*" | sed "s/@/$number/"); then
            echo "| $series | $number | - | - | the system does not allow so many |"
            continue
        fi
        medians | awk -v series="$series" -v number="$number" -v unit="$unit" -v slope="$work/slope" '{
            ratio = $1 > 0 ? sprintf("%.3f (%.3f to %.3f)", $3, $4, $5) : "-"
            printf "| %s | %s | %.0f %s | %+.0f %s | %s |\n", series, number, $1, unit, $2, unit, ratio
            print number, $3 >>slope }'
    done
    [ "$unit" = ns ] || return 0
    # A line through the ratios over the logarithm of the number.
    awk -v series="$series" '
        { x = log($1) / log(10); y = $2; n++; sx += x; sy += y; sxx += x * x; sxy += x * y }
        END { if (n > 1) printf "| %s | slope | | | %+.1f %% for ten times as many |\n", series,
            100 * (n * sxy - sx * sy) / (n * sxx - sx * sx) }' "$work/slope"
}

echo
echo "| series | how many | plain | what the shim adds | ratio |"
echo "|---|---|---|---|---|"
many 'a request, over connections' 3 ns 10 100 1000 10000 -- "$BUILD/tests/bench/connections" @ 20000
many 'an eventfd written and read, over threads' 1 ns 1 4 16 64 -- "$BUILD/tests/bench/costs" threads @
many 'the same, over descriptors' 1 ns 10 1000 10000 100000 1000000 -- "$BUILD/tests/bench/costs" fds @
many 'memory of an idle connection' 2 bytes 1000 5000 10000 -- "$BUILD/tests/bench/connections" @ 8
many 'memory of a descriptor' 2 bytes 10000 1000000 -- "$BUILD/tests/bench/costs" fds @
