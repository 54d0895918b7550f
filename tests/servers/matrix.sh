#!/bin/sh
# matrix.sh (`make matrix`): every kind of server that there is a script for, judged, and what the shim costs it, in one
# table (Markdown). The rows, and what each must reach, are in matrix.txt.
#
#     matrix.sh [WORD...]      only rows whose line has one of these words
#
# From the environment: BUILD (build); PAIRS (5), how often plain, auto and exact are measured in turn, 0: not at all;
# SECONDS_EACH (0.7), how long each time; EXPLAIN (0) offenders shown per run; TABLE, a file to write the table to as well.
#
# Exit: 0 when every row reaches what it must; 1 when one does not, or could not be brought to a verdict.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=rows.sh
. tests/servers/rows.sh
BUILD=${BUILD:-build}
PAIRS=${PAIRS:-5}
SECONDS_EACH=${SECONDS_EACH:-0.7}
EXPLAIN=${EXPLAIN:-0}
TABLE=${TABLE:-/dev/null}
export BUILD SECONDS_EACH EXPLAIN
ways='plain auto exact'
pids=
bad=0

# In memory, if there is some to write to: thousands of small files are made for each run.
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
work=$(mktemp -d)
# shellcheck disable=SC2317
clean_up() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# ---- The judge's part

# judge DISPATCH SCRIPT...: annotated lines are judged as well. Leaves the numbers in $right, $wrong, $unknown, $mixed, and in $judged whether there are any.
judge() {
    dispatch=$1
    script=$2
    shift 2
    status=0
    ANNOTATE=1 DISPATCH=$dispatch timeout -k 10 120 "tests/servers/$script" "$@" >"$work/said" 2>&1 || status=$?
    progress "  $dispatch: $(tail -n "$((EXPLAIN + 2))" "$work/said")"
    # Of sightings, and of annotated lines.
    numbers=$(sed -n '/^verdict:/ { s/^[^:]*:[^:]*: //; s/ annotated lines: //; s/[a-z,;]*//g; p; }' "$work/said")
    judged=false
    if [ "$status" -le 1 ] && [ -n "$numbers" ] && ! grep -q 'too few' "$work/said"; then
        judged=true
        # shellcheck disable=SC2086
        set -- $numbers
        right=$(($1 + ${5:-0})) wrong=$(($2 + ${6:-0})) unknown=$(($3 + ${7:-0})) mixed=$(($4 + ${8:-0}))
        late=$(sed -n 's/^unknown: all within the first \([0-9]*\) .*/\1/p' "$work/said")
    fi
}

# ---- Throughput: three servers at the same time, but only one of them is asked at a time

# measured WAY ROUND: waits for its file; false when its script has ended instead.
measured() {
    until [ -s "$work/$1/rate.$2" ]; do
        kill -0 "$(cat "$work/$1/pid")" 2>/dev/null || return 1
        sleep 0.1
    done
}

measure_rounds() {
    round=0
    while [ "$round" -lt "$PAIRS" ]; do
        order=$ways
        [ $((round % 2)) -eq 0 ] || order='exact auto plain'
        for way in $order; do
            : >"$work/$way/go.$round"
            measured "$way" "$round" || return 1
        done
        paste "$work/plain/rate.$round" "$work/auto/rate.$round" "$work/exact/rate.$round" >>"$work/rates"
        round=$((round + 1))
    done
}

# measure SCRIPT...: leaves the ratios to plain in $auto_ratio and $exact_ratio: two columns each.
measure() {
    script=$1
    shift
    auto_ratio='- | -' exact_ratio='- | -'
    [ "$PAIRS" -gt 0 ] || return 0
    : >"$work/rates"
    for way in $ways; do
        rm -rf "${work:?}/$way"
        mkdir "$work/$way"
        plain=0
        [ "$way" != plain ] || plain=1
        dispatch=$way
        [ "$way" != plain ] || dispatch=auto
        MEASURE="$work/$way" PLAIN=$plain DISPATCH=$dispatch "tests/servers/$script" "$@" >"$work/$way/said" 2>&1 &
        echo $! >"$work/$way/pid"
        pids="$pids $!"
    done
    measured_all=true
    measure_rounds || measured_all=false
    for way in $ways; do
        : >"$work/$way/stop"
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || :
    done
    pids=
    if $measured_all; then
        auto_ratio="$(ratios 3 1) | $(ratios 4 2)"
        exact_ratio="$(ratios 5 1) | $(ratios 6 2)"
        progress "  throughput | processor time: auto $auto_ratio; exact $exact_ratio; plain $(awk '{ sum += $1 } END { print int(sum / NR) }' "$work/rates")/s"
    else
        bad=1
        auto_ratio='not measured |' exact_ratio='not measured |'
        progress "  NOT MEASURED: $(cat "$work"/*/said)"
    fi
}

# ratios COLUMN TO: the median of the ratios, the lowest and the highest.
ratios() {
    awk -v column="$1" -v to="$2" '{ print $column / $to }' "$work/rates" | sort -n | awk '
        { value[NR] = $1 }
        END {
            middle = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
            printf "%.2f (%.2f to %.2f)\n", middle, value[1], value[NR]
        }'
}

# ---- The table

# reaches ALLOWED: none wrong, and no more unknown: so many, or "first N", among a process's first N sightings only.
reaches() {
    [ "$wrong" -eq 0 ] || return 1
    case $1 in
    first*) [ "${late:-0}" -le "${1#first }" ] ;;
    *) [ "$unknown" -le "$1" ] ;;
    esac
}

# row DISPATCH ALLOWED RATIO WHY: from the numbers that judge() left.
row() {
    if ! $judged; then
        bad=1
        echo "| $concurrency | $server | $1 | no verdict | | | | | $3 | |" >>"$work/table"
        progress "  NO VERDICT with dispatch=$1"
        return 0
    fi
    remark=
    [ "$unknown" -eq 0 ] || remark="$4${late:+ (the last one at sighting $late)}"
    if ! reaches "$2"; then
        bad=1
        remark="**MISSED**; allowed unknown: $2"
        progress "  MISSED with dispatch=$1: $wrong wrong, $unknown unknown${late:+, the last at $late}; allowed unknown: $2"
    fi
    echo "| $concurrency | $server | $1 | $((right + wrong + unknown)) | $right | $wrong | $unknown | $mixed | $3 | $remark |" \
        >>"$work/table"
}

cat >"$work/table" <<END
| concurrency | server | dispatch | looked at | right | wrong | unknown | mixed | throughput, to plain | processor time a request, to plain | |
|---|---|---|---|---|---|---|---|---|---|---|
END
while IFS='|' read -r concurrency server command allowed_auto allowed_exact why <&3; do
    case $concurrency in
    '' | '#'*) continue ;;
    esac
    wanted "$concurrency $server $command" "$@" || continue
    progress "$server ($concurrency)"
    # shellcheck disable=SC2086
    measure $command
    for dispatch in auto exact; do
        # shellcheck disable=SC2086
        judge "$dispatch" $command
        if [ "$dispatch" = auto ]; then
            row auto "$allowed_auto" "$auto_ratio" "$why"
        else
            row exact "$allowed_exact" "$exact_ratio" "$why"
        fi
    done
done 3<tests/servers/matrix.txt

echo
cat "$work/table"
cat "$work/table" >"$TABLE"
echo
if [ "$bad" -eq 0 ]; then
    echo "matrix: every row reaches what it must"
else
    echo "matrix: NOT every row reaches what it must; see above (EXPLAIN=5 shows offenders)"
fi
exit "$bad"
