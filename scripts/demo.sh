#!/bin/sh
# demo.sh: the main job, shown and judged. `make demo` builds what it needs and then runs it.
#
# From the environment: BUILD (build), CLIENTS and REQUESTS (20 x 50), DISPATCH (auto). Exit: 0 when everything was
# attributed right, else 1.
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
CLIENTS=${CLIENTS:-20}
REQUESTS=${REQUESTS:-50}
export BUILD CLIENTS REQUESTS
bad=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

bold=
plain=
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1m')
    plain=$(printf '\033[0m')
fi

title() {
    printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"
}

text() {
    sed 's/^./  &/'
}

# Says so when the part did not do what it should.
judge() {
    if [ "$1" -eq 0 ]; then
        printf '  %sgood%s: %s\n' "$bold" "$plain" "$2"
    else
        printf '  %sBAD%s: %s\n' "$bold" "$plain" "$3"
        bad=1
    fi
}

# ---- 1. The logical stack

# stacks_are_right FILE: the lines of each piece of work are its own, complete and in order.
stacks_are_right() {
    for name in 1 2; do
        grep "^Main $name" "$1" >"$work/seen" || :
        cat >"$work/wanted" <<END
Main $name: <SomeWork>
Main $name A: <MoreWork>
Main $name A: </MoreWork>
Main $name B: <MoreWork>
Main $name B: </MoreWork>
Main $name: </SomeWork>
END
        cmp -s "$work/seen" "$work/wanted" || return 1
    done
    [ "$(sed -n '1p;$p' "$1" | tr '\n' ' ')" = "Main: <Main> Main: </Main> " ] && [ "$(wc -l <"$1")" -eq 14 ]
}

demo_stack() {
    title "1. The logical stack: two pieces of work at once, and every line knows whose it is"
    text <<END
Work 1 and work 2 go on at the same time, each in two steps, A and B. The programs
(tests/demo/) print the current stack before each line; none of their own code takes
it from one thread, or from one callback, to the next. The shim does:

\$ $BUILD/ctxshim run $BUILD/demo/logical_stack_threads      (and ..._loop)

END
    for way in threads loop; do
        "$BUILD/ctxshim" run -- "$BUILD/demo/logical_stack_$way" >"$work/$way" || :
        status=0
        stacks_are_right "$work/$way" || status=$?
        [ "$status" -eq 0 ] || wrong="$wrong $way"
    done
    "$BUILD/demo/logical_stack_loop" >"$work/without" || :
    {
        printf 'two threads\tone event loop, timerfds\tthe same loop without the shim\n'
        printf -- '-----------\t------------------------\t------------------------------\n'
        paste "$work/threads" "$work/loop" "$work/without"
    } | awk -F '\t' '{ printf "    %-26s%-28s%s\n", $1, $2, $3 }'
    echo
    text <<END
Look at the lines of "Main 1" alone: begun, step A, step B, done, whatever "Main 2"
does in between. In the loop, two timers may be due at once; still nothing mixes.

END
    judge "${#wrong}" "each piece of work has its own six lines, in order, in both programs" \
        "wrong stacks in:$wrong"
}

# ---- 2., 3. Servers that nobody rebuilt

# serve SCRIPT: runs a server's script and keeps its logs in $work/SCRIPT; leaves its status in $status.
serve() {
    status=0
    ANNOTATE=1 EXPLAIN=3 KEEP="$work/$1" "tests/servers/$1.sh" >"$work/verdict" 2>"$work/complaint" || status=$?
}

verdict() {
    shortened "$work/complaint" | text
    text <"$work/verdict"
    judge "$status" "every read, write and log line was attributed to its own request" \
        "see the verdict; the same again, with all records kept: ANNOTATE=1 KEEP=DIR tests/servers/$1.sh"
}

# The padding in a memcached request is of no interest.
shortened() {
    sed 's/k\{64\}/k.../' "$1"
}

# middle_lines COUNT: from the middle of the lines of requests.
middle_lines() {
    grep CTXM- | sed -n "$((CLIENTS * REQUESTS / 2)),+$(($1 - 1))p"
}

demo_memcached() {
    title "2. memcached, four worker threads, $CLIENTS clients at once, $REQUESTS requests each"
    text <<END
\$ $BUILD/ctxshim run --annotate -- memcached -vv -t 4

A dozen lines of what it says on stderr. conn# is the connection it accepted, req# the
request on it; the program knows nothing of either:

END
    serve memcached
    shortened "$work/memcached/stderr.log" | middle_lines 12 | sed 's/^/    /'
    echo
    text <<END
Look at the number behind "<", memcached's own for the connection: the same conn# goes
with it in every line. The judge has looked at all of them, and at what was current at
each read and write of the marker (CTXM-...) that the client put into each request:

END
    verdict memcached
}

demo_nginx() {
    title "3. nginx in front of nginx, $CLIENTS clients at once, $REQUESTS requests each"
    text <<END
\$ $BUILD/ctxshim run --annotate='*.log' --annotate-pid -- nginx

Half a dozen lines of the proxy's access log, each with the pid of the worker:

END
    serve nginx-proxy
    shortened "$work/nginx-proxy/proxy/access.log" | middle_lines 6 >"$work/lines"
    sed 's/^/    /' "$work/lines"
    echo
    text <<END
The back-end's lines for the same six requests. They came over connections that the
proxy keeps open and shares among its clients, so the conn# and req# are others there:

END
    sed -n 's/.*\(CTXM-[0-9a-f]*-[0-9a-f]*-E\).*/\1/p' "$work/lines" | while read -r marker; do
        grep -h "$marker" "$work/nginx-proxy/backend/access.log" | sed 's/^/    /'
    done
    echo
    text <<END
Look at one marker in both. In between, the proxy read it from the client, wrote it to
the back-end, read the answer and wrote that to the client, one event loop for all:

END
    verdict nginx-proxy
}

wrong=
printf '%sWhich request is this line doing work for? Unmodified programs, with libctxshim preloaded.%s\n' \
    "$bold" "$plain"
demo_stack
demo_memcached
demo_nginx

title "How to read a verdict"
text <<END
The judge is no part of the shim: a second preload sees every buffer that goes in or out and
asks the public API which context is current (tests/witness/).

  right     the request's own context at every place where its marker was seen
  wrong     another request's
  unknown   none, or one that the shim itself marks as uncertain (a "?" behind the name)
  mixed     one buffer with several requests' bytes: counted apart
END
echo
if [ "$bad" -eq 0 ]; then
    echo "${bold}demo: all good${plain}"
else
    echo "${bold}demo: not good, see BAD above${plain}"
fi
exit "$bad"
