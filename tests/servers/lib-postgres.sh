# A PostgreSQL server of one's own, for the scripts that need one: to be read in after lib.sh.
# shellcheck shell=sh disable=SC2034,SC2154

# Debian keeps its programs apart, by version.
for directory in /usr/lib/postgresql/*/bin; do
    PATH="$PATH:$directory"
done
need initdb postgres pg_isready

# start_postgres PORT: room for so many clients as there will be, each statement logged on stderr. It refuses to be
# root.
start_postgres() {
    mkdir "$work/postgres"
    [ -z "$somebody" ] || chown "$somebody" "$work/postgres"
    cat >"$work/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = ''
max_connections = $((CLIENTS + 20))
fsync = off
log_statement = all
log_line_prefix = '%p '
autovacuum = off
END
    # shellcheck disable=SC2086
    (cd / && $become initdb --no-sync --auth=trust --username=ctxshim --no-instructions --encoding=UTF8 --locale=C \
        -D "$work/postgres" >"$work/initdb" 2>&1) || no_verdict "initdb: $(tail -n 3 "$work/initdb")"
    cat "$work/postgresql.conf" >>"$work/postgres/postgresql.conf"
    set --
    [ "$ANNOTATE" != 1 ] || set -- --annotate --annotate-pid
    stop_signal=INT # at once, whoever is still connected
    # shellcheck disable=SC2086
    start "$work/postgres.log" "$@" -- $become postgres -D "$work/postgres"
    stop_signal=TERM
}

# await_postgres PORT
await_postgres() {
    patience=200
    until pg_isready -q -h 127.0.0.1 -p "$1" -U ctxshim -d postgres; do
        patience=$((patience - 1))
        if [ "$patience" -eq 0 ] || ! alive "$server"; then
            no_verdict "postgres does not answer: $(tail -n 3 "$log")"
        fi
        sleep 0.05
    done
}
