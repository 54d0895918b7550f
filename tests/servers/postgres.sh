#!/bin/sh
# PostgreSQL, unmodified: a process for each connection, each statement logged.
#
# Each marker must be seen when the statement is read, logged and answered. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=lib-postgres.sh
. "$(dirname "$0")/lib-postgres.sh"

port=$(free_port)
start_postgres "$port"
await_postgres "$port"
drive postgres "$port"
verdict 1,1,1 "$work/postgres.log"
