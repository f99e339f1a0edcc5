#!/usr/bin/env bash
# Builds the npm package in wasm/pkg: the module, optimised, and the facades over it.
#
#   wasm/build.sh                    needs npm's packages: run `npm ci` in this folder before
#   wasm/build.sh --features volt    a package whose module speaks one dialect alone
#   wasm/build.sh --sizes            prints how large the module of each set of features is, and what
#                                    fills it; leaves wasm/pkg alone
#   wasm/build.sh --scripted         the module of tests/conformance, in target/conformance/wasm
#
# MOORLINE_WASM_GENERATOR names the program that writes the JavaScript, if it is built already.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cd "$root"

features=beacon,volt,netcluster sizes=0
case ${1:-} in
  "") ;;
  --features) features=${2:?} ;;
  --sizes) sizes=1 ;;
  --scripted) ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

# Another compiler than the workspace's own, so another target folder.
wasm_target=$root/target/wasm
eval "$("$root/ci/wasm-toolchain.sh" --env)"

generator=(cargo run --locked --quiet -p moorline-wasm-generator --)
[ -z "${MOORLINE_WASM_GENERATOR:-}" ] || generator=("$MOORLINE_WASM_GENERATOR")

# Writes what a set of features compiles to: $2/web and $2/nodejs.
compile() { # features folder wasm-opt-flags...
  # WASM_CARGO may be two words.
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR=$wasm_target $WASM_CARGO build --locked --quiet --target wasm32-unknown-unknown \
    -p moorline-wasm --profile wasm --no-default-features --features "$1"
  "${generator[@]}" "$wasm_target/wasm32-unknown-unknown/wasm/moorline_wasm.wasm" "$2"
  # binaryen's own: distributions carry older ones that break today's modules and exit with 0.
  for output in web nodejs; do
    "$here/node_modules/.bin/wasm-opt" -Oz "${@:3}" "$2/$output/moorline_bg.wasm" -o "$2/$output/moorline_bg.wasm"
  done
}

if [ "${1:-}" = --scripted ]; then
  out=$root/target/conformance/wasm
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR=$wasm_target $WASM_CARGO build --locked --quiet --target wasm32-unknown-unknown \
    -p moorline-wasm --features "$features,scripted"
  "${generator[@]}" "$wasm_target/wasm32-unknown-unknown/debug/moorline_wasm.wasm" "$out"
  printf '{ "type": "commonjs" }\n' >"$out/nodejs/package.json"
  exit
fi

if [ "$sizes" = 1 ]; then
  for set in beacon volt netcluster beacon,volt,netcluster; do
    compile "$set" "$wasm_target/sizes/$set" -g
  done
  exec node "$here/sizes.mjs" "$wasm_target/sizes"
fi

compile "$features" "$here/pkg"
cd "$here"
# Node would read CommonJS as a module otherwise: the package around it says so.
printf '{ "type": "commonjs" }\n' >pkg/nodejs/package.json
node_modules/.bin/tsc -p .
node pack.mjs
