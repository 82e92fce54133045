#!/bin/busybox sh
# The virtual machine's first program: makes the host's file system, read-only, the root, with empty places to write to.
set -e
busybox() { /bin/busybox "$@"; }

busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod "$module"; done

busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 host /host
busybox mount --bind /host /root
for folder in tmp run var; do busybox mount -t tmpfs tmpfs "/root/$folder"; done
# Wherever the tree and its target folder are, also if below /tmp.
. /settings.sh
for folder in "$TREE" "$TARGET"; do
    busybox mkdir -p "/root$folder"
    busybox mount --bind "/host$folder" "/root$folder"
done

busybox mkdir -p /root/run/guest
busybox cp /guest.sh /settings.sh /root/run/guest/
for folder in proc sys dev; do busybox mount --move "/$folder" "/root/$folder"; done
exec /bin/busybox switch_root /root /bin/sh /run/guest/guest.sh
