#!/usr/bin/env bash
# Builds the npm package in wasm/pkg: the module, optimised, and the facades over it.
#
#   wasm/build.sh            needs npm's packages: run `npm ci` in this folder before
#
# MOORLINE_WASM_GENERATOR names the program that writes the JavaScript, if it is built already.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cd "$root"

# Another compiler than the workspace's own, so another target folder.
wasm_target=$root/target/wasm
eval "$("$root/ci/wasm-toolchain.sh" --env)"

generator=(cargo run --locked --quiet -p moorline-wasm-generator --)
[ -z "${MOORLINE_WASM_GENERATOR:-}" ] || generator=("$MOORLINE_WASM_GENERATOR")

# WASM_CARGO may be two words.
# shellcheck disable=SC2086
CARGO_TARGET_DIR=$wasm_target $WASM_CARGO build --locked --quiet \
  --target wasm32-unknown-unknown -p moorline-wasm --profile wasm
"${generator[@]}" \
  "$wasm_target/wasm32-unknown-unknown/wasm/moorline_wasm.wasm" "$here/pkg"

cd "$here"
# binaryen's own: distributions carry older ones that break today's modules and exit with 0.
for output in web nodejs; do
  node_modules/.bin/wasm-opt -Oz "pkg/$output/moorline_bg.wasm" -o "pkg/$output/moorline_bg.wasm"
done
# Node would read CommonJS as a module otherwise: the package around it says so.
printf '{ "type": "commonjs" }\n' >pkg/nodejs/package.json
node_modules/.bin/tsc -p .
node pack.mjs
