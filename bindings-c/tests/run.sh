#!/usr/bin/env bash
# Tests the C library as a C program meets it: installed, with its header, through pkg-config.
#
#   bindings-c/tests/run.sh
#
# Needs gcc and g++, nm, readelf and pkg-config. valgrind is used if it is there, and
# MOORLINE_NEED_VALGRIND=1 insists. MOORLINE_PROFILE names a cargo profile; the default is dev.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")
export MOORLINE_PROFILE=${MOORLINE_PROFILE:-dev}
work=$root/target/c-tests
prefix=$work/prefix
warnings=(-Wall -Wextra -Werror -pedantic -g -O1)

step() { printf '%s\n' "c: $*"; }
fail() { printf 'c: %s\n' "$*" >&2; exit 1; }

rm -rf "$work"
mkdir -p "$work"
"$root/bindings-c/install.sh" "$prefix"
header=$prefix/include/moorline.h

step "the header is C99, C11 and C++17"
gcc -std=c99 "${warnings[@]}" -fsyntax-only -x c "$header"
gcc -std=c11 "${warnings[@]}" -fsyntax-only -x c "$header"
g++ -std=c++17 "${warnings[@]}" -fsyntax-only -x c++ "$header"

step "the shared library exports moorline_* only, under its soname"
foreign=$(nm -D --defined-only "$prefix/lib/libmoorline.so" | awk '$3 !~ /^moorline_/')
[ -z "$foreign" ] || fail "foreign symbols: $foreign"
declared=$(grep -oE '\bmoorline_[a-z_]+\(' "$header" | tr -d '(' | sort -u)
# A build for tests may be led by a script; that is in no header and in no package.
exported=$(nm -D --defined-only "$prefix/lib/libmoorline.so" | awk '$3 !~ /^moorline_scripted_/ {print $3}' | sort -u)
[ "$declared" = "$exported" ] || fail "header and library differ: $(diff <(echo "$declared") <(echo "$exported"))"
readelf -d "$prefix/lib/libmoorline.so" | grep -q 'SONAME.*\[libmoorline\.so\.0\]' || fail "no soname"

pkg() { PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config "$@" moorline; }
read -ra include <<<"$(pkg --cflags)"
read -ra shared <<<"$(pkg --libs)"
read -ra static <<<"$(pkg --libs --static)"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
[ "$(pkg --modversion)" = "$version" ] || fail "pkg-config names another version than the workspace"
shared+=("-Wl,-rpath,$prefix/lib")
# The linker prefers the shared library of that name; the static one is asked for by its file.
static=("${static[@]/#-lmoorline/$prefix/lib/libmoorline.a}")

step "C++"
g++ -std=c++17 "${warnings[@]}" "${include[@]}" "$here/header.cpp" "${shared[@]}" -o "$work/header"
"$work/header"

# Examples are programs that end by themselves; they are tested like the tests.
programs=("$here/misuse.c" "$here/round_trip.c" "$here/hostile.c" "$here/network_cluster.c" "$here/ws_daemon.c" "$root/bindings-c/examples/volt_daemon.c")

for program in "${programs[@]}"; do
  test=$(basename "$program" .c)
  step "$test, shared"
  gcc -std=c11 "${warnings[@]}" -D_POSIX_C_SOURCE=200809L "${include[@]}" "$program" "${shared[@]}" -o "$work/$test"
  timeout 120 "$work/$test"
done

step "hostile outcomes, compared"
"$work/hostile" | python3 "$here/hostile.py" "$root/tests/vectors/hostile_outcomes.json"

step "round_trip, static"
gcc -std=c11 "${warnings[@]}" -D_POSIX_C_SOURCE=200809L "${include[@]}" "$here/round_trip.c" "${static[@]}" -o "$work/round_trip_static"
timeout 120 "$work/round_trip_static"

for program in "${programs[@]}"; do
  test=$(basename "$program" .c)
  step "$test, address and undefined behaviour sanitizers"
  gcc -std=c11 "${warnings[@]}" -D_POSIX_C_SOURCE=200809L -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer "${include[@]}" "$program" "${static[@]}" -o "$work/${test}_asan"
  timeout 120 "$work/${test}_asan"
done

if command -v valgrind >/dev/null; then
  for program in "${programs[@]}"; do
    test=$(basename "$program" .c)
    step "$test, valgrind"
    timeout 300 valgrind -q --leak-check=full --show-leak-kinds=definite,indirect \
      --errors-for-leak-kinds=definite,indirect --error-exitcode=9 "$work/$test"
  done
elif [ "${MOORLINE_NEED_VALGRIND:-0}" = 1 ]; then
  fail "valgrind is missing"
else
  step "valgrind is not installed: leaks unchecked"
fi

step "docs/c.md"
"$here/page.sh" "$root/docs/c.md" "$work"
step "ok"
