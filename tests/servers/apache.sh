#!/bin/sh
# apache2, unmodified, serving files.
#
#     apache.sh event      a listener with worker threads that give idle connections back to it
#     apache.sh worker     a listener with worker threads that keep a connection
#     apache.sh prefork    a process for each connection
#
# A marker is in each path and in the file behind it. It must be seen when the server reads the request, sends the
# file and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need apache2
way=${1:-event}
case $way in
event | worker) size="StartServers 2
ThreadsPerChild 64
MinSpareThreads 64
MaxSpareThreads 128
ServerLimit 2
MaxRequestWorkers 128" ;;
prefork) size="StartServers $((CLIENTS + 4))
MinSpareServers 2
MaxSpareServers $((CLIENTS + 8))
ServerLimit $((CLIENTS + 8))
MaxRequestWorkers $((CLIENTS + 8))" ;;
*) no_verdict "usage: apache.sh [event | worker | prefork]" ;;
esac
# As root the children would become a user who cannot write here, and it will not have them be root.
user=
[ -z "$somebody" ] || user="User $somebody
Group #$(id -g "$somebody")"
port=$(free_port)
files "$work/www"
mkdir -m 1777 "$work/run"
cat >"$work/apache.conf" <<END
ServerRoot $work
DefaultRuntimeDir $work/run
PidFile $work/run/pid
Mutex file:$work/run default
LoadModule mpm_${way}_module /usr/lib/apache2/modules/mod_mpm_$way.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
Listen 127.0.0.1:$port
ServerName 127.0.0.1
$user
$size
DocumentRoot $work/www
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
ErrorLog $work/error.log
LogFormat "%h \"%r\" %>s" marker
CustomLog $work/access.log marker
<Directory $work/www>
    Require all granted
</Directory>
END
set -- -- apache2 -D FOREGROUND -f "$work/apache.conf"
[ "$ANNOTATE" != 1 ] || set -- --annotate='*.log' --annotate-pid "$@"

start "$work/stderr" "$@"
answers "$port"
drive file "$port"
verdict 1,1,1 "$work/access.log"
