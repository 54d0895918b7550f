#!/bin/sh
# A DNS server, unmodified, asked by datagrams.
#
#     dns.sh dnsmasq     a poll loop, that answers by itself
#     dns.sh unbound     two event loops, one per thread, a socket for each, that answer by themselves
#     dns.sh pdns        PowerDNS: threads that each wait at one socket, a cache and threads that look names up
#     dns.sh forward     dnsmasq that asks unbound: both judged
#
# Each marker, which is part of the name, must be seen when the server reads the question, logs it and answers; where it
# asks another one, also when it does, and when it reads what that answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# answering_unbound PORT
answering_unbound() {
    need unbound
    cat >"$work/unbound.conf" <<END
server:
    interface: 127.0.0.1
    port: $1
    num-threads: 2
    so-reuseport: yes
    do-daemonize: no
    use-syslog: no
    logfile: "$work/unbound.log"
    log-queries: yes
    verbosity: 0
    username: ""
    chroot: ""
    directory: "$work"
    pidfile: ""
    local-zone: "test." redirect
    local-data: "test. A 127.0.0.1"
remote-control:
    control-enable: no
END
    set -- -- unbound -d -p -c "$work/unbound.conf"
    [ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' "$@"
    start "$work/unbound.stderr" "$@"
}

# dnsmasq_on PORT [OPTION...]
dnsmasq_on() {
    need dnsmasq
    listen=$1
    shift
    set -- -- dnsmasq --conf-file=/dev/null --keep-in-foreground --port="$listen" --listen-address=127.0.0.1 \
        --bind-interfaces --no-resolv --no-hosts --cache-size=0 --log-queries --log-facility="$work/dnsmasq.log" \
        --pid-file= --user= "$@"
    [ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' "$@"
    start "$work/dnsmasq.stderr" "$@"
}

# answering_pdns PORT
answering_pdns() {
    need pdns_server
    mkdir -m 1777 "$work/pdns"
    cat >"$work/pdns/zone" <<END
@ 60 IN SOA ns.test. root.test. 1 60 60 60 60
@ 60 IN NS ns.test.
ns 60 IN A 127.0.0.1
* 60 IN A 127.0.0.1
END
    echo "zone \"test\" { type master; file \"$work/pdns/zone\"; };" >"$work/pdns/named.conf"
    cat >"$work/pdns/pdns.conf" <<END
launch=bind
bind-config=$work/pdns/named.conf
local-address=127.0.0.1
local-port=$1
socket-dir=$work/pdns
guardian=no
daemon=no
write-pid=no
receiver-threads=2
log-dns-queries=yes
loglevel=9
disable-syslog=yes
cache-ttl=0
query-cache-ttl=0
END
    set -- -- pdns_server --config-dir="$work/pdns"
    [ "$ANNOTATE" != 1 ] || set -- --annotate "$@"
    start "$work/pdns.log" "$@"
}

port=$(free_port)
case ${1:-dnsmasq} in
dnsmasq)
    dnsmasq_on "$port" --address=/test/127.0.0.1
    answers "$port"
    drive dns "$port"
    verdict 1,1,1 "$work/dnsmasq.log"
    ;;
unbound)
    answering_unbound "$port"
    answers "$port"
    drive dns "$port"
    verdict 1,1,1 "$work/unbound.log"
    ;;
pdns)
    answering_pdns "$port"
    answers "$port"
    drive dns "$port"
    verdict 1,1,1 "$work/pdns.log"
    ;;
forward)
    back_port=$(free_port)
    answering_unbound "$back_port"
    answers "$back_port"
    dnsmasq_on "$port" --server="127.0.0.1#$back_port"
    answers "$port"
    drive dns "$port"
    verdict 3,3,3 "$work/dnsmasq.log" "$work/unbound.log"
    ;;
*) no_verdict "usage: dns.sh [dnsmasq | unbound | pdns | forward]" ;;
esac
