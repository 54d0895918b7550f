#!/bin/sh
# bench-hooks.sh (`make bench-hooks`): how many instructions each hot hook adds to its call, as callgrind counts them:
# the same on a busy machine as on a quiet one. What each added when tests/bench/hooks.txt was written is compared
# with what it adds now; exit code 1 when one adds more. `bench-hooks.sh --renew` writes the file anew.
#
# From the environment: BUILD (build); CC (gcc), what it was built with; TOLERANCE in per cent (4; 30 where the figures
# are another compiler's).
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
figures=tests/bench/hooks.txt
compiler=$(${CC:-gcc} --version | head -n 1)
usual=4
grep -qxF "# compiler: $compiler" "$figures" || usual=30
TOLERANCE=${TOLERANCE:-$usual}
case $BUILD in
/*) shim=$BUILD/libctxshim.so ;;
*) shim=$PWD/$BUILD/libctxshim.so ;;
esac

complain() {
    echo "bench-hooks.sh: $*" >&2
    exit 2
}

command -v valgrind >/dev/null || complain "valgrind is not installed; scripts/deps.sh installs it"
[ -x "$BUILD/tests/bench/hooks" ] || complain "$BUILD/tests/bench/hooks is not built; make bench-hooks builds it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# counted NAME COMMAND...: runs it under callgrind, whose dumps are $work/NAME and $work/NAME.N.
counted() {
    name=$1
    shift
    valgrind --tool=callgrind --callgrind-out-file="$work/$name" "$@" >"$work/said" 2>&1 ||
        complain "$name: $(tail -n 5 "$work/said")"
}

# A line "NAME<tab>INSTRUCTIONS FOR ONE CALL" for each dump that has a name, in the order of the calls.
calls_of() {
    number=1
    while [ -e "$work/$1.$number" ]; do
        awk '
            /^desc: Trigger: Client Request: / { sub(/.*Client Request: /, ""); split($0, part, " / ") }
            $1 == "totals:" { total = $2 }
            END { if (part[2] > 0) printf "%s\t%d\n", part[1], total / part[2] }' "$work/$1.$number"
        number=$((number + 1))
    done
}

whole() {
    awk -F ': ' '$1 == "totals" { print $2 }' "$work/$1"
}

counted plain "$BUILD/tests/bench/hooks"
counted plain-true /bin/true
LD_PRELOAD=$shim counted shim "$BUILD/tests/bench/hooks"
LD_PRELOAD=$shim counted shim-true /bin/true

{
    calls_of plain | sed 's/^/plain\t/'
    calls_of shim | sed 's/^/shim\t/'
    printf 'plain\tstart-up of /bin/true\t%s\nshim\tstart-up of /bin/true\t%s\n' "$(whole plain-true)" "$(whole shim-true)"
} | awk -F '\t' '
    $1 == "plain" { plain[$2] = $3 }
    $1 == "shim" { printf "%s\t%d\n", $2, $3 - plain[$2] }' >"$work/now"
[ -s "$work/now" ] || complain "callgrind counted nothing"

if [ "${1:-}" = --renew ]; then
    {
        sed -n '/^# compiler/d; /^#/p' "$figures"
        echo "# compiler: $compiler"
        cat "$work/now"
    } >"$work/figures"
    cp "$work/figures" "$figures"
fi

awk -F '\t' -v tolerance="$TOLERANCE" '
    /^#/ { next }
    FNR == NR { before[$1] = $2; next }
    {
        verdict = ""
        seen[$1]
        if (!($1 in before))
            verdict = "has no figure"
        else if ($2 > before[$1] * (1 + tolerance / 100) + 2)
            verdict = "MORE"
        else if ($2 < before[$1] * (1 - tolerance / 100) - 2)
            verdict = "less: renew the figures"
        bad += verdict == "MORE" || verdict == "has no figure"
        printf "%-40s %10s %10d  %s\n", $1, before[$1], $2, verdict
    }
    END {
        for (name in before)
            if (!(name in seen)) {
                print name ": was not counted"
                bad++
            }
        exit bad > 0
    }' "$figures" "$work/now"
