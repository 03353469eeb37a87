#!/bin/sh
# POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB make a database at the first start, as in the official image. Not one
# TCP port is open before it is there: a readiness check must not meet the server that makes it.
set -eu
case "${1:-}" in -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -g postgres -m 700 "$PGDATA"
  install -d -o postgres -g postgres -m 3777 /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  secret=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:-$(cat "$POSTGRES_PASSWORD_FILE")}" > "$secret"
  initdb --username="$user" --pwfile="$secret" --auth-local=trust --auth-host=scram-sha-256
  rm "$secret"
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  if [ "$database" != postgres ]; then
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb --username="$user" --maintenance-db=postgres "$database"
    pg_ctl -w -m fast stop
  fi
  echo "PostgreSQL init process complete; ready for start up."
fi
exec "$@" -c "listen_addresses=*"
