"""What of an interface stands in a leg's way: queues, offloads, addresses, programs of others.

Pure, like `lasthop.policy.findings`, which owns the types. What is decided by the leg's configuration is in
`lasthop.policy.leg_findings`.
"""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING

from lasthop.policy.findings import fine, warning
from lasthop.policy.placement import strip_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lasthop.policy.findings import Finding, Interface

#: Interfaces that have the MAC address of the one they are made of or over.
_SHARE_MACS = frozenset({"vlan", "macvlan", "bridge", "bond", "team", "dummy"})
_XDP = {True: "native XDP", False: "no native XDP: tc", None: "whether it has native XDP is unknown"}


def describe(name: str, interface: Interface, processors: int) -> list[Finding]:
    """What an interface is that no leg is on yet, and what a leg on it would want otherwise."""
    subject = f"interface {name}"
    if interface.virtual:
        return [fine(subject, f"{interface.driver or 'no driver'}: tc, as on every virtual interface")]
    told = f"{interface.driver}: {_XDP[interface.xdp]}"
    if interface.queues is not None:
        told += f", {interface.queues} receive queue{'s' * (interface.queues != 1)}"
    found = [fine(subject, told), *judge_interface(subject, name, interface, processors)]
    if interface.lro:
        what = "large receive offload is on: a leg here would be refused"
        found.append(fine(subject, what, f"ethtool -K {shlex.quote(name)} lro off"))
    if interface.rxvlan:
        what = "VLAN tags are taken out of frames: a leg here would be attached by tc alone"
        found.append(fine(subject, what, strip_nothing(name)))
    return found


def judge_interface(subject: str, name: str, interface: Interface, processors: int) -> list[Finding]:
    """What would make the interface slower than it could be, or is attached to it by others."""
    return [
        *_queues(subject, name, interface, processors),
        *_offloads(subject, name, interface),
        *_others(subject, name, interface),
    ]


def judge_neighbourhood(interfaces: Mapping[str, Interface]) -> list[Finding]:
    """What interfaces of one director are to each other."""
    return [each for pair in itertools.combinations(sorted(interfaces), 2) for each in _pair(pair, interfaces)]


def _queues(subject: str, name: str, interface: Interface, processors: int) -> list[Finding]:
    """One queue means one processor, however many there are."""
    if interface.virtual or interface.queues is None or interface.queues >= processors:
        return []
    told = f"{interface.queues} receive queue{'s' * (interface.queues != 1)} for {processors} processors"
    possible = min(interface.queues_max or 0, processors)
    if possible > interface.queues:
        command = f"ethtool -L {shlex.quote(name)} combined {possible}"
        return [warning(subject, f"{told}: the others look on", command)]
    if interface.queues > 1 or interface.rps:
        return [fine(subject, f"{told}, as many as it has")]
    mask = f"{(1 << processors) - 1:x}"
    command = f"echo {mask} > /sys/class/net/{shlex.quote(name)}/queues/rx-0/rps_cpus"
    what = f"{told}, and the driver has no more: tc's work could be spread by software (rps_cpus = 0)"
    return [fine(subject, what, command)]


def _offloads(subject: str, name: str, interface: Interface) -> list[Finding]:
    if interface.virtual or interface.gro is not False:
        return []
    what = "generic receive offload is off: tc looks at every segment by itself"
    return [fine(subject, what, f"ethtool -K {shlex.quote(name)} gro on")]


def _others(subject: str, name: str, interface: Interface) -> list[Finding]:
    if not interface.foreign:
        return []
    listed = ", ".join(interface.foreign)
    what = f"programs of others are attached ({listed}): they see packets before or after lasthop, and may take them"
    return [warning(subject, what, f"bpftool net show dev {shlex.quote(name)}")]


def _pair(names: tuple[str, str], interfaces: Mapping[str, Interface]) -> list[Finding]:
    first, second = (interfaces[name] for name in names)
    both = " and ".join(names)
    found = []
    if first.mac and first.mac == second.mac and not _SHARE_MACS & {first.kind, second.kind}:
        what = f"{both} have one MAC address, {first.mac}: where they meet, switches send to one of them alone"
        found.append(warning("MAC addresses", what, f"ip link set {shlex.quote(names[1])} address XX:XX:XX:XX:XX:XX"))
    shared = first.networks & second.networks
    if shared and min(first.arp_ignore or 0, second.arp_ignore or 0) == 0:
        listed = ", ".join(sorted(map(str, shared)))
        what = f"{both} are both in {listed}, and arp_ignore = 0: each answers for the other's address"
        found.append(warning("ARP", what, "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"))
    return found
