#!/usr/bin/env bash
# Carries out a page: its C blocks are one program, worker.c; its shell blocks run in order.
#
#   page.sh PAGE FOLDER        builds in FOLDER, installs below FOLDER/page
set -euo pipefail

page=$1
folder=$2/page
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PREFIX=$folder/prefix PKG_CONFIG_PATH=$folder/prefix/lib/pkgconfig

blocks() { # language
  awk -v open="\`\`\`$1" '$0 == open { inside = 1; next } /^```/ { inside = 0 } inside' "$page"
}

rm -rf "$folder"
mkdir -p "$folder"
ln -s "$root/bindings-c" "$folder/bindings-c"
blocks c >"$folder/worker.c"
blocks sh >"$folder/page-commands.sh"
cd "$folder"
bash -euo pipefail page-commands.sh
gcc -std=c11 -Wall -Wextra -Werror -pedantic -fsyntax-only "-I$PREFIX/include" worker.c
timeout 120 ./worker
