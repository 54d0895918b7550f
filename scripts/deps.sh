#!/bin/sh
# deps.sh: installs, from Debian's packages, what building, tests, demo, bench and lint miss. As root or with
# sudo; when nothing is missing it changes nothing, asks nobody, and is done in a moment.
# deps.sh peers: instead, the runtimes that make bench-store compares the store with.
# deps.sh matrix: instead, the servers that only make matrix asks.
# deps.sh tools: instead, what make bench compares the shim with, when it is asked to (TOOLS=1).
# deps.sh transparency: instead, the heavy programs that tests work with when they are there.
#
# A program that is there by another way (another package, a version manager) is good enough. Servers are
# installed without being started: we start our own, on ports of our own.
set -eu

# PROGRAM PACKAGE: the package is wanted when the program is nowhere.
programs='
gcc build-essential
g++ build-essential
make build-essential
clang clang
clang-format clang-format
clang-tidy clang-tidy
cppcheck cppcheck
pkg-config pkg-config
git git
perl perl
curl curl
python3 python3
node nodejs
nginx nginx-light
memcached memcached
apache2 apache2-bin
lighttpd lighttpd
redis-server redis-server
redis-cli redis-tools
redis-benchmark redis-tools
wrk wrk
shellcheck shellcheck
setcap libcap2-bin
readelf binutils
unshare util-linux
ps procps
strace strace
valgrind valgrind
taskset util-linux
stress-ng stress-ng
java default-jdk-headless
javac default-jdk-headless
gcore gdb
chromium chromium
man man-db
col bsdextrautils
fakeroot fakeroot
dpkg-shlibdeps dpkg-dev
'
# Packages that are no program.
libraries='libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 libpython3.11-testsuite libc6-dev libglib2.0-dev libelf-dev libdw-dev systemtap-sdt-dev libcriterion-dev libevent-dev libsystemd-dev libuv1-dev libev-dev'

transparency_programs='
java default-jdk-headless
javac default-jdk-headless
'
# Tests of other projects, as they are installed.
transparency_libraries='libglib2.0-tests glib-networking-tests libsoup-3.0-tests dbus-tests pipewire-tests libsdl2-tests systemd-tests openssh-tests openssh-server'

matrix_programs='
initdb postgresql
pgbouncer pgbouncer
webfsd webfs
haproxy haproxy
h2o h2o
squid squid
varnishd varnish
dnsmasq dnsmasq-base
unbound unbound
gunicorn gunicorn
nghttpx nghttp2-proxy
privoxy privoxy
socat socat
pdns_server pdns-server
xinetd xinetd
systemd-socket-activate systemd
setpriv util-linux
'
matrix_libraries='pdns-backend-bind python3-waitress python3-twisted'

peer_programs='
python3 python3
node nodejs
mono mono-runtime
mcs mono-mcs
java default-jdk-headless
javac default-jdk-headless
'

tool_programs='
strace strace
ltrace ltrace
uftrace uftrace
heaptrack heaptrack
lttng lttng-tools
'

PATH="$PATH:/usr/sbin:/sbin"
for directory in /usr/lib/postgresql/*/bin; do # not in anybody's PATH, by version
    PATH="$PATH:$directory"
done

complain() {
    echo "deps.sh: $*" >&2
    exit 1
}

case $* in
'') ;;
peers)
    programs=$peer_programs
    libraries=
    ;;
matrix)
    programs=$matrix_programs
    libraries=$matrix_libraries
    ;;
tools)
    programs=$tool_programs
    libraries=liblttng-ust-dev
    ;;
transparency)
    programs=$transparency_programs
    libraries=$transparency_libraries
    ;;
*) complain "usage: deps.sh [peers | matrix | tools | transparency]" ;;
esac

missing_programs() {
    echo "$programs" | while read -r program package; do
        [ -z "$program" ] || command -v "$program" >/dev/null 2>&1 || echo "$package"
    done
}

# dpkg-query says nothing at all of a package that dpkg never saw.
missing_libraries() {
    [ -n "$libraries" ] || return 0
    # shellcheck disable=SC2016,SC2086
    installed=" $(dpkg-query --show --showformat='${Package}:${db:Status-Status} ' $libraries 2>/dev/null || :)"
    for package in $libraries; do
        case $installed in
        *" $package:installed "*) ;;
        *) echo "$package" ;;
        esac
    done
}

command -v dpkg-query >/dev/null 2>&1 ||
    complain "this is not a Debian system (no dpkg-query): install what README.md lists, then use make test-only"
missing=$( (missing_programs && missing_libraries) | sort -u | tr '\n' ' ')
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
        complain "missing: $missing- install them as root, or install sudo and run this again"
    # Without a terminal nobody can be asked for a password.
    ask=
    [ -t 0 ] || ask=-n
    echo "deps.sh: missing: $missing- installing with sudo"
    # shellcheck disable=SC2086
    exec sudo $ask sh "$0" "$@"
fi

# invoke-rc.d asks this file whether a server may be started (101: no). One that is there is somebody's.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install_missing() {
    # shellcheck disable=SC2086
    apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 $missing </dev/null
}

export DEBIAN_FRONTEND=noninteractive
echo "deps.sh: installing: $missing"
# Lists that are old, or not there, name packages that cannot be had: only then are they fetched.
install_missing >/dev/null 2>&1 || {
    echo "deps.sh: fetching the lists of packages"
    apt-get update -q -o DPkg::Lock::Timeout=120 </dev/null
    install_missing || complain "could not install: $missing- see above"
}
