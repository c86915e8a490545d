#!/bin/sh
# Run by RAUC on the board, after it wrote a slot: does the new release classify?
set -eu
[ "$1" = slot-post-install ] || exit 0
mount=$(mktemp -d)
mount -t squashfs -o ro "$RAUC_SLOT_DEVICE" "$mount"
trap 'umount "$mount"; rmdir "$mount"' EXIT
timeout 60 "$mount/runtime" classify "$mount/model.nnef.tgz" "$mount/picture" --json --no-cache
