#!/usr/bin/env bash
# Tests the package in wasm/pkg: its types, in Node, in Chromium, and the blocks of docs/browser.md.
#
#   wasm/test.sh             needs wasm/build.sh before, and `npm ci` in tests/peers/volt; installs
#                            chromium (Debian) if there is none
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

if ! command -v chromium >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
# MOORLINE names a command that is built already.
[ -n "${MOORLINE:-}" ] || cargo build --locked --quiet -p moorline-cli
cd wasm
node_modules/.bin/tsc -p tests/types
node --test --test-concurrency=1 tests/*.test.mjs
