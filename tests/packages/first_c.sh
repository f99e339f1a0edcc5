#!/usr/bin/env bash
# Compiles a first program against the installed C library, as pkg-config or CMake finds it.
#
#   tests/packages/first_c.sh TOOL PREFIX FOLDER
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=$2 folder=$3

case $1 in
  pkg-config)
    found=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs moorline)
    # shellcheck disable=SC2086
    cc -std=c11 -D_POSIX_C_SOURCE=200809L "$here/first.c" $found "-Wl,-rpath,$prefix/lib" -o "$folder/first"
    ;;
  cmake)
    cp "$here/first.c" "$folder/"
    cat >"$folder/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.13)
project(first C)
find_package(moorline 0.1 REQUIRED)
add_executable(first first.c)
target_compile_definitions(first PRIVATE _POSIX_C_SOURCE=200809L)
target_link_libraries(first PRIVATE moorline::moorline)
CMAKE
    cmake -S "$folder" -B "$folder" "-DCMAKE_PREFIX_PATH=$prefix" >/dev/null
    cmake --build "$folder" >/dev/null
    ;;
  *)
    echo "first_c.sh: TOOL is pkg-config or cmake" >&2
    exit 2
    ;;
esac
