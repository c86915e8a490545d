#!/bin/sh
# Makes a RAUC bundle of `runtime` and an archive, for a board whose image has a pair of slots for it.
#
# In the board's /etc/rauc/system.conf, beside the root file systems:
#
#     [slot.foldnet.0]                 [slot.foldnet.1]
#     device=/dev/disk/by-partlabel/foldnet-a      …foldnet-b
#     type=raw                         type=raw
#     parent=rootfs.0                  parent=rootfs.1
#
# The slot is a squashfs that /etc/fstab mounts at /opt/foldnet, and a system unit runs
# `/opt/foldnet/runtime camera /opt/foldnet/model.nnef.tgz`. RAUC verifies the signature before it writes;
# hook.sh then lets the new slot classify a picture, and RAUC keeps the old one if that fails.
#
# Usage: bundle.sh COMPATIBLE VERSION RUNTIME ARCHIVE PICTURE CERTIFICATE KEY OUTPUT
# Debian: apt-get install rauc squashfs-tools
set -eu
[ $# -eq 8 ] || { sed -n 's/^# Usage: /usage: /p' "$0" >&2; exit 2; }
compatible=$1 version=$2 runtime=$3 archive=$4 picture=$5 certificate=$6 key=$7 output=$8
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/slot" "$work/bundle"
install -m 755 "$runtime" "$work/slot/runtime"
install -m 644 "$archive" "$work/slot/model.nnef.tgz"
install -m 644 "$picture" "$work/slot/picture"
mksquashfs "$work/slot" "$work/bundle/foldnet.img" -all-root -all-time 0 -mkfs-time 0 -noappend -quiet -no-progress
install -m 755 "$here/hook.sh" "$work/bundle/hook.sh"
cat >"$work/bundle/manifest.raucm" <<END
[update]
compatible=$compatible
version=$version

[bundle]
format=plain

[hooks]
filename=hook.sh

[image.foldnet]
filename=foldnet.img
hooks=post-install
END
rm -f "$output"
rauc bundle --cert="$certificate" --key="$key" "$work/bundle" "$output"
