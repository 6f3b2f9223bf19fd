#!/bin/bash
# The first process of the virtual machine: makes it a machine the tests can run on, runs them, tells how they ended.
# /run-tests, which lies beside, is written for each run (tests/kernels/run.py).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
# LASTHOP_LAB_SLOWNESS: an emulated machine with little to share loads the programs in half a minute.
export PYTHONDONTWRITEBYTECODE=1 LASTHOP_LAB_SLOWNESS=6

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run /tmp /root /var/lib /var/tmp
chmod 1777 /tmp /var/tmp # in memory as all else; the checkout may lie there
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t bpf bpf /sys/fs/bpf
ln -sf /proc/self/fd /dev/fd
exec </dev/null >/dev/console 2>&1
hostname lasthop
ip link set lo up

# What the kernel does not load by itself when it is first asked for.
for module in vmxnet3 veth bridge tun macvlan 8021q sch_ingress cls_bpf nf_tables nf_conntrack nft_ct nf_conntrack_netlink sctp; do
	modprobe "$module" || echo "test-kernels: there is no module $module in $(uname -r)"
done

# The machine's two network cards, which have a cable between them (virtual_machine.py); see tests/lab/trunk.py.
[[ -e /sys/class/net/eth0 && -e /sys/class/net/eth1 ]] && export LASTHOP_LAB_CARDS="eth0 eth1"

echo "test-kernels: Linux $(uname -r) is up"
bash /run-tests
echo "test-kernels: exit status $?"
# The other side ends the machine when it has read this; should it be gone, the machine ends itself.
read -rt 30 _ <>/dev/ptmx
echo b >/proc/sysrq-trigger
