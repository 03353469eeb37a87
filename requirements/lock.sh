#!/bin/sh
# Resolves every requirements file for every platform, with hashes and without naming an index.
# A package is pinned with the extras with which another asks for it, and plain as well: a pip before 23.3 takes the
# newest release of a package otherwise, for which there is no hash.
#     lock.sh INSTALL NODE_ENVIRONMENT
set -eu
install=$1
node=$2/bin
compile() {
  out=$1
  shift
  "${PYTHON:-python3}" "$install" --uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 \
    --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --output-file "$out" "$@"
  "${PYTHON:-python3}" plain_pins.py "$out"
}
compile run.txt ../pyproject.toml build.in --extra embedded --extra export --extra otel
compile image.txt ../pyproject.toml --extra embedded --extra otel --constraint run.txt
compile build.txt build.in --constraint run.txt
compile audit.txt audit.in
compile dev.txt ../pyproject.toml build.in --extra embedded --extra export --extra otel --group ../pyproject.toml:dev
compile sdk-new.txt sdk-new.in
compile sdk-old.txt sdk-old.in
compile sdk-js.txt sdk-js.in
compile focus.txt focus.in --override focus-override.in
compile helm.txt helm.in
compile litellm.txt litellm.in
compile schema.txt schema.in
compile flames.txt flames.in
compile fuzz.txt fuzz.in
compile uv.txt uv.in
compile pip-oldest.txt pip-oldest.in
for folder in ../tests/sdk_js ../openapi/lint ../tools/bench/peers; do
  NODE_OPTIONS=--use-system-ca "$node/node" "$node/npm" install --prefix "$folder" --package-lock-only --ignore-scripts --loglevel error \
    --omit-lockfile-registry-resolved
done
