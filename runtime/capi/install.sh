#!/usr/bin/env bash
# Builds the C library and installs it with its header, pkg-config file and CMake package.
#
#     runtime/capi/install.sh                     # into /usr/local
#     runtime/capi/install.sh --prefix "$HOME/.local"
#     DESTDIR=package runtime/capi/install.sh --prefix /usr
set -euo pipefail

prefix=/usr/local
while [ $# -gt 0 ]; do
    case $1 in
    --prefix) prefix=${2:?--prefix needs a folder} && shift 2 ;;
    --prefix=*) prefix=${1#*=} && shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit ;;
    *) echo "error: unknown option '$1'; --help lists them" >&2 && exit 2 ;;
    esac
done
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
root=${DESTDIR:-}$prefix
here=$(cd "$(dirname "$0")" && pwd)

[ "$(uname -s)" = Linux ] || { echo "error: this script knows only Linux's libraries" >&2 && exit 2; }
cd "$here/../.."
# The compiler itself says what a program needs beside the static library.
log=$(cargo rustc --release --package foldnet-capi --lib -- --print native-static-libs 2>&1 | tee /dev/stderr)
libraries=$(sed -n 's/.*native-static-libs: *//p' <<<"$log" | tail -1)
target=${CARGO_TARGET_DIR:-target}/release
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
IFS=. read -r major minor _ <<<"$version"
soname=libfoldnet.so.$([ "$major" = 0 ] && echo "0.$minor" || echo "$major")

filled() {
    sed -e "s|@VERSION@|$version|g; s|@MAJOR@|$major|g; s|@MINOR@|$minor|g; s|@SONAME@|$soname|g" \
        -e "s|@SHARED_FILE@|libfoldnet.so.$version|g; s|@STATIC_LIBS@|$libraries|g" "$here/package/$1.in" >"$2"
}

install -d "$root/include" "$root/lib/pkgconfig" "$root/lib/cmake/foldnet"
install -m 644 "$here/foldnet.h" "$root/include/foldnet.h"
install -m 644 "$target/libfoldnet.a" "$root/lib/libfoldnet.a"
install -m 755 "$target/libfoldnet.so" "$root/lib/libfoldnet.so.$version"
ln -sf "libfoldnet.so.$version" "$root/lib/$soname"
ln -sf "$soname" "$root/lib/libfoldnet.so"
filled foldnet.pc "$root/lib/pkgconfig/foldnet.pc"
for file in foldnet-config.cmake foldnet-config-version.cmake; do
    filled "$file" "$root/lib/cmake/foldnet/$file"
done
echo "foldnet $version is in $root"
