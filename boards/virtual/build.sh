#!/bin/sh
# Builds the virtual board's kernel and first file system in the folder given, from Debian's packages for
# arm64. Needs no root: apt keeps its state in that folder. What is there already is kept.
# Usage: build.sh FOLDER INIT FEED   (INIT: the board's first program; FEED: what drives its camera)
set -eu
folder=$1 init=$2 feed=$3
mkdir -p "$folder" && cd "$folder"
here=$PWD

for tool in apt-get dpkg-deb cpio gzip xz; do
    command -v $tool >/dev/null || { echo "build.sh: $tool is missing (apt-get install cpio xz-utils)" >&2; exit 1; }
done

sources=$(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
[ -n "$sources" ] || { echo "build.sh: no Debian sources of packages" >&2; exit 1; }
mkdir -p apt/lists/partial apt/cache/archives/partial packages
: >apt/status
apt() {
    command=$1
    shift
    "apt-$command" -o Dir::State="$here/apt" -o Dir::State::lists="$here/apt/lists" -o Dir::State::status="$here/apt/status" \
        -o Dir::Cache="$here/apt/cache" -o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=- \
        -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Acquire::Languages=none \
        -o APT::Sandbox::User= "$@"
}
if [ ! -e packages/complete ]; then
    apt get update -qq
    kernel=$(apt cache depends linux-image-arm64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    (cd packages && apt get download -qq "$kernel" busybox-static dropbear-bin libc6 libcrypt1 libtomcrypt1 \
        libtommath1 libgmp10 zlib1g)
    touch packages/complete
fi

[ -d kernel ] || { mkdir kernel.part && dpkg-deb -x packages/linux-image-*.deb kernel.part && mv kernel.part kernel; }
rm -rf files
mkdir -p files/dev files/proc files/sys files/tmp files/root files/etc files/modules files/bin
for package in packages/busybox-static_*.deb packages/dropbear-bin_*.deb packages/lib*.deb packages/zlib1g_*.deb; do
    dpkg-deb -x "$package" files
done
rm -rf files/usr/share
# The modules and, before each, those it depends on, in the order to load them. ext4 asks for crc32c by name
# when it mounts.
modules=$(ls -d kernel/lib/modules/*)
: >files/modules/order
add() {
    name=$(printf %s "$1" | tr - _)
    grep -qx "$name" files/modules/order && return
    file=$(find "$modules/kernel" -name "$name.ko*" -o -name "$(printf %s "$name" | tr _ -).ko*" | head -n 1)
    # Not a module: it is in the kernel, or the kernel does without.
    [ -n "$file" ] || return 0
    case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"files/modules/$name.ko"
    for dependency in $(tr '\0' '\n' <"files/modules/$name.ko" | sed -n 's/^depends=//p' | tr , ' '); do
        (add "$dependency")
    done
    echo "$name" >>files/modules/order
}
for module in virtio_pci virtio_rng virtio_net virtio_blk crc32c_generic ext4 af_packet vivid; do (add $module); done
sed -i '/^vivid$/d' files/modules/order

cp "$init" files/init
cp "$feed" files/bin/foldnet-feed
ln -sf busybox files/bin/sh
chmod 755 files/init files/bin/foldnet-feed
echo 'root:x:0:0::/root:/bin/sh' >files/etc/passwd
(cd files && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >initrd.part
cp kernel/boot/vmlinuz-* Image.part
mv initrd.part initrd && mv Image.part Image
