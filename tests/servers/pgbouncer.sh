#!/bin/sh
# PgBouncer with a pool of eight connections to PostgreSQL, handed out for one transaction each: requests wait in a
# list of its own for one to be free. Both unmodified, both judged.
#
# Each marker must be seen in the pooler when it reads from the client, writes to the server, reads from it and writes
# to the client; in the server when it reads, logs and answers. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-postgres.sh
. "$(dirname "$0")/lib-postgres.sh"

need pgbouncer
back_port=$(free_port)
front_port=$(free_port)
start_postgres "$back_port"
await_postgres "$back_port"

cat >"$work/pgbouncer.ini" <<END
[databases]
postgres = host=127.0.0.1 port=$back_port user=ctxshim
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $front_port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = $((CLIENTS + 20))
END
# It refuses to be root.
# shellcheck disable=SC2086
start "$work/pgbouncer.log" -- $become pgbouncer "$work/pgbouncer.ini"
answers "$front_port"
drive postgres "$front_port"
verdict 3,3,1 "$work/postgres.log"
