#!/bin/sh
# leaks.sh (`make leaks`): what every kind of server leaves behind when its clients have gone, in one table (Markdown).
#
# Each server of matrix.txt is started with leaks=1 and asked 10,000 requests. Then the clients close, what may be held
# for LEAKS_AFTER seconds has been held for longer, and `ctxshim leaks` and `ctxshim holders` are asked about each of its
# processes; and the records of those that have ended are read.
#
#     leaks.sh [WORD...]       only rows whose line has one of these words
#
# From the environment: BUILD (build); REQUESTS (200) of each of 50 clients (CGI: 20); DISPATCH (auto); LEAKS_AFTER (2); TABLE, a
# file to write the table to as well; KEEP_REPORTS, a directory to keep what the command said in.
#
# Exit: 0 when no server has left a scope open, misused one, begun a request inside another one, or lost a value; and
# what it retains has a holder and a place. 1: else, or when one could not be asked.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=rows.sh
. tests/servers/rows.sh
BUILD=${BUILD:-build}
REQUESTS=${REQUESTS:-200}
DISPATCH=${DISPATCH:-auto}
LEAKS_AFTER=${LEAKS_AFTER:-2}
TABLE=${TABLE:-/dev/null}
export BUILD REQUESTS DISPATCH LEAKS_AFTER
bad=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# summary FILE...: from the reports, five numbers (unpopped, misused, contaminated, values, retained), then "; " and who
# retains: how many, the holder, whom it is connected to (ports differ), and the innermost function with a name that left it there.
summary() {
    cat "$@" /dev/null | awk '
        function kept(    place) {
            if (what == "")
                return
            place = where != "" ? " from `" where "`" : " from nowhere"
            gsub(/, fd [0-9]+/, "", what)
            gsub(/[0-9.]+:[0-9]+/, "its server", what)
            gsub(/: its name alone, its values were let go/, "; the name alone", what)
            sub(/^held by an? /, "", what)
            holders[what "," place] += count
            what = ""
        }
        / of .*, [0-9]+ times?, thread / {
            kept()
            kind = $1
            count = $0
            sub(/ times?, thread [^,]*$/, "", count)
            sub(/ times?, thread .*, from:$/, "", count)
            sub(/.*, /, "", count)
            number[kind] += count
            where = ""
            next
        }
        /^    #/ && where == "" && $2 !~ /^\(/ { where = $2 }
        /^    what: / { if (kind == "retained") { what = $0; sub(/^    what: /, "", what) } }
        /^SUMMARY/ { kept() }
        END {
            printf "%d %d %d %d %d;", number["unpopped"], number["misused"], number["contaminated"], number["leaked"], number["retained"]
            for (one in holders) printf "%s %d × %s", rest++ ? "," : "", holders[one], one
            print ""
        }'
}

# held FILE...: what is alive that is no leak: "3 × connection, 4 × thread working for it".
held() {
    cat "$@" /dev/null | awk '$1 != "COUNT" {
            count = $1; over = $2
            sub(/^ *[0-9]+ +[^ ]+ +/, ""); sub(/ +\(.*/, ""); sub(/  .*/, "")
            sum[$0 (over == "-" ? ", which goes on" : "")] += count
        }
        END { for (one in sum) printf "%s%d × %s", rest++ ? ", " : "", sum[one], one; print "" }'
}

# look SCRIPT...: leaves the reports in $reports.
look() {
    script=$1
    shift
    reports=$work/reports
    rm -rf "$reports"
    mkdir "$reports"
    status=0
    requests=$REQUESTS
    [ "$script" != cgi.sh ] || requests=20 # each is a process, and leaves a record
    LEAKS="$reports" REQUESTS=$requests TIMEOUT=240 timeout -k 10 300 "tests/servers/$script" "$@" >"$work/said" 2>&1 || status=$?
    [ "$status" -eq 0 ] || return 1
}

row() {
    processes=$(find "$reports" -name 'leaks.*' | wc -l)
    numbers=$(summary "$reports"/leaks.*)
    holders=$(find "$reports" -name 'holders.*' -exec cat {} + >"$work/holders" && held "$work/holders")
    # shellcheck disable=SC2086
    set -- ${numbers%%;*}
    echo "| $concurrency | $server | $processes | $1 | $2 | $3 | $4 | $5 |${numbers#*;} | $holders |" >>"$work/table"
    progress "  unpopped $1, misused $2, contaminated $3, values $4, retained $5:${numbers#*;}; held: $holders"
    case $numbers in
    '0 0 0 0 '*) ;;
    *) bad=1 ;;
    esac
    case $numbers in
    *'from nowhere'*) bad=1 ;;
    esac
}

cat >"$work/table" <<END
| concurrency | server | processes | unpopped | misused | contaminated | values lost | retained | by whom, and who left it there | all that is held |
|---|---|---|---|---|---|---|---|---|---|
END
while IFS='|' read -r concurrency server command _ <&3; do
    case $concurrency in
    '' | '#'*) continue ;;
    esac
    wanted "$concurrency $server $command" "$@" || continue
    progress "$server ($concurrency)"
    # shellcheck disable=SC2086
    if look $command; then
        row
    else
        bad=1
        echo "| $concurrency | $server | not asked | | | | | | | |" >>"$work/table"
        progress "  NOT ASKED: $(tail -n 3 "$work/said")"
    fi
    if [ -n "${KEEP_REPORTS:-}" ]; then
        name=$(echo "$command" | tr -c 'a-z0-9\n' '-')
        mkdir -p "$KEEP_REPORTS/$name"
        cp "$work/said" "$reports"/* "$KEEP_REPORTS/$name/" 2>/dev/null || :
    fi
done 3<tests/servers/matrix.txt

echo
cat "$work/table"
cat "$work/table" >"$TABLE"
echo
if [ "$bad" -eq 0 ]; then
    echo "leaks: no server has left a scope open"
else
    echo "leaks: NOT every server is clean; see above"
fi
exit "$bad"
