#!/bin/bash
# Boots the Debian in folder $1 with namespaces of its own, below control group $2: systemd is its first process.
# The host's other control groups are not mounted in there: systemd would make its slices in them.
set -e
mkdir -p "$2"
echo $$ >"$2/cgroup.procs"
exec unshare --cgroup --net --mount --uts --ipc --pid --fork --kill-child --propagation private bash -ec '
	root=$1
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	# As systemd does it where it is not in a container.
	mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	for name in null zero full random urandom tty; do
		touch "$root/dev/$name"
		mount --bind "/dev/$name" "$root/dev/$name"
	done
	mkdir "$root/dev/pts" "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	cd "$root"
	mkdir run/old
	pivot_root . run/old
	umount -l run/old
	exec env -i container=lasthop-test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd
' bash "$1"
