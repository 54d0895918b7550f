#!/bin/sh
# Servers whose processes have not accepted the connections that they serve (passed-http.c), unmodified:
#
#     passed.sh loop        one process accepts, and sends each connection to one of four others, around epoll
#     passed.sh threads     the same, to processes with threads that serve one connection after the other
#     passed.sh xinetd      xinetd starts a process for each connection, as its input and output
#     passed.sh activate    systemd-socket-activate starts one, with the connection behind those
#
# Each marker must be seen when a process reads the request, logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

server_program=$tools/passed-http
[ -e "$server_program" ] || no_verdict "$server_program is not built"
port=$(free_port)
way=${1:-loop}
case $way in
loop | threads) set -- "$server_program" "$way" "$port" "$work/log" ;;
xinetd)
    need xinetd
    cat >"$work/xinetd.conf" <<END
defaults
{
    instances = 200
    cps = 1000 1
    per_source = 200
}
service passed
{
    type = UNLISTED
    bind = 127.0.0.1
    port = $port
    socket_type = stream
    protocol = tcp
    wait = no
    user = $(id -un)
    server = $server_program
    server_args = service 0 $work/log
}
END
    set -- xinetd -dontfork -f "$work/xinetd.conf" -pidfile "$work/pid"
    ;;
activate)
    need systemd-socket-activate
    set -- systemd-socket-activate -a -l "127.0.0.1:$port" -E LD_PRELOAD -E CTXSHIM_OPTIONS -E WITNESS_DIR \
        "$server_program" service 3 "$work/log"
    ;;
*) no_verdict "usage: passed.sh [loop|threads|xinetd|activate]" ;;
esac
set -- -- "$@"
[ "$ANNOTATE" != 1 ] || set -- --annotate=log "$@"

start "$work/stderr" "$@"
answers "$port"
drive http "$port"
verdict 1,1,1 "$work/log"
