#!/bin/sh
# run-tests.sh BINARY...: runs Criterion test binaries one after the other and adds up what they say.
#
# Each runs from the root of the tree under a time limit (LIMIT seconds, 600). Its output is shown once it is
# over, so that a process it left behind can hold nobody up. A binary that dies, is late, ends badly without a
# failed test, or has no tests counts as one failure. Criterion leaves skipped tests out of its sum, and so do we.
#
# The last line is `N passed, N failed`. Exit: 0 when nothing failed, else 1; 2 for a bad command line.
set -eu

cd "$(dirname "$0")/.."
LIMIT=${LIMIT:-600}
if [ $# -eq 0 ]; then
    echo "usage: scripts/run-tests.sh BINARY..." >&2
    exit 2
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' HUP INT TERM

passed=0
failed=0
number=0
suspects=

# sum_of WORD: the number behind it in Criterion's last line of synthesis.
sum_of() {
    sed -n "s/.*Synthesis: Tested:.* $1: \([0-9][0-9]*\).*/\1/p" "$log" | tail -n 1
}

# judge BINARY STATUS: sets $passing, $failing and, when there is more to say than these, $remark.
judge() {
    sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$log" >"$log.plain" && mv "$log.plain" "$log"
    passing=$(sum_of '| Passing')
    failing=$(sum_of '| Failing')
    remark=
    case $2 in
    0 | 1) ;;
    124 | 137) remark="not done after $LIMIT seconds" ;;
    126 | 127) remark="could not be started" ;;
    *) remark="ended with status $2" ;;
    esac
    [ -n "$remark" ] || [ -n "$passing" ] || remark="said nothing of its tests"
    [ -n "$remark" ] || [ "$((passing + failing))" -gt 0 ] || remark="has no tests"
    [ -n "$remark" ] || [ "$2" -eq 0 ] || [ "$failing" -gt 0 ] || remark="failed, but none of its tests did"
    passing=${passing:-0}
    failing=${failing:-0}
    [ -z "$remark" ] || [ "$failing" -gt 0 ] || failing=1
}

for binary in "$@"; do
    number=$((number + 1))
    echo "[$number/$#] $binary"
    began=$(date +%s)
    status=0
    timeout -k 10 "$LIMIT" "$binary" --color=never >"$log" 2>&1 </dev/null || status=$?
    judge "$binary" "$status"
    sed 's/^/    /' "$log"
    echo "    -> $passing passed, $failing failed${remark:+: $remark} ($(($(date +%s) - began)) s)"
    passed=$((passed + passing))
    failed=$((failed + failing))
    [ "$failing" -eq 0 ] || suspects="$suspects $binary"
done

[ -z "$suspects" ] || echo "failures in:$suspects"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
