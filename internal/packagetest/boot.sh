#!/bin/sh
# Becomes the first process of a host in a folder:
#
#	boot.sh FOLDER
#
# It is started in namespaces of its own (mount, pid, net, ipc, uts, cgroup).
set -eu

root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
# Settings of the kernel belong to the host around.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

cd "$root"
mkdir -p outside
pivot_root . outside
umount -l /outside
rmdir /outside
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin NOTIFY_SOCKET=/booted.sock \
	setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-audit_control,-audit_read,-audit_write,-mac_admin,-syslog \
	/lib/systemd/systemd --log-target=console --show-status=no
