#!/usr/bin/env bash
# Builds the C library and installs it: header, shared and static library, files for pkg-config and CMake.
#
#   bindings-c/install.sh PREFIX
#
# MOORLINE_PROFILE names a cargo profile; the default is release.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname "$here")
prefix=$1
profile=${MOORLINE_PROFILE:-release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
folder=$profile
[ "$profile" = dev ] && folder=debug

# What is built may be several words.
# shellcheck disable=SC2086
(cd "$root" && cargo build --locked --quiet --profile "$profile" ${MOORLINE_BUILD:--p moorline-c})
built=${CARGO_TARGET_DIR:-$root/target}/$folder

install -d "$prefix/include" "$prefix/lib/pkgconfig"
install -m 644 "$here/include/moorline.h" "$prefix/include/"
install -m 644 "$built/libmoorline.a" "$prefix/lib/"
install -m 755 "$built/libmoorline.so" "$prefix/lib/libmoorline.so.$version"
ln -sfn "libmoorline.so.$version" "$prefix/lib/libmoorline.so.0"
ln -sfn libmoorline.so.0 "$prefix/lib/libmoorline.so"
sed "s/@VERSION@/$version/" "$here/moorline.pc.in" >"$prefix/lib/pkgconfig/moorline.pc"
IFS=. read -r major minor _ <<<"$version"
cmake=$prefix/lib/cmake/moorline
install -d "$cmake"
install -m 644 "$here/cmake/moorline-config.cmake" "$cmake/"
sed "s/@VERSION@/$version/; s/@MAJOR@/$major/; s/@MINOR@/$minor/" "$here/cmake/moorline-config-version.cmake.in" \
  >"$cmake/moorline-config-version.cmake"
echo "moorline $version is in $prefix"
