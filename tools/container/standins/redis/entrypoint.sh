#!/bin/sh
# As in the official image: options alone are the server's, and the server is not in protected mode.
set -eu
case "${1:-}" in -*) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ]; then
  set -- "$@" --protected-mode no --bind 0.0.0.0
fi
exec "$@"
