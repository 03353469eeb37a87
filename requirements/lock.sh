#!/bin/sh
# Resolves every requirements file for every platform, with hashes and without naming an index.
#     lock.sh UV NODE_ENVIRONMENT
set -eu
uv=$1
node=$2/bin
compile() {
  out=$1
  shift
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command 'make lock' --output-file "$out" "$@"
}
compile run.txt ../pyproject.toml build.in --extra embedded --extra export --extra otel
compile dev.txt ../pyproject.toml build.in --extra embedded --extra export --extra otel --group ../pyproject.toml:dev
compile sdk-new.txt sdk-new.in
compile sdk-old.txt sdk-old.in
compile sdk-js.txt sdk-js.in
compile focus.txt focus.in --override focus-override.in
compile helm.txt helm.in
compile virtualenv.txt virtualenv.in
"$node/node" "$node/npm" install --prefix ../tests/sdk_js --package-lock-only --ignore-scripts --loglevel error \
  --omit-lockfile-registry-resolved
