"""What a machine lacks to run one configuration: its legs, and memory for its connection table.

Pure, like `lasthop.policy.findings`, which owns the types and what every director needs.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import TYPE_CHECKING

from lasthop.model.leg import Mode
from lasthop.policy.findings import error, fine, warning
from lasthop.policy.interface_findings import judge_interface, judge_neighbourhood
from lasthop.policy.limits import BYTES_PER_CONNECTION, MIN_CONNECTIONS
from lasthop.policy.placement import strip_nothing
from lasthop.policy.vlan_devices import commands

if TYPE_CHECKING:
    from lasthop.model.configuration import Configuration
    from lasthop.model.leg import Leg
    from lasthop.policy.findings import Finding, Interface, Machine

_STRICT = 1
_MIB = 1 << 20


def _sysctl(key: str, interface: str, value: int) -> str:
    """``sysctl`` takes a slash wherever a name holds a dot."""
    name = f"net.ipv4.conf.{interface}.{key}" if "." not in interface else f"net/ipv4/conf/{interface}/{key}"
    return f"{shlex.quote(name)}={value}"


def _xdp(subject: str, leg: Leg, interface: Interface) -> Finding:
    driver = interface.driver or "no driver"
    if leg.mode is Mode.XDP and interface.xdp is False:
        what = f'{driver} has no native XDP, and mode = "xdp" wants it'
        return error(subject, what, f'set mode = "tc" on leg {leg.name!r}')
    if interface.rxvlan and leg.mode is Mode.XDP:
        what = 'VLAN tags are taken out of frames (rx-vlan-hw-parse), and mode = "xdp" would not see them'
        return error(subject, what, strip_nothing(leg.interface))
    if leg.mode is Mode.AUTO and interface.virtual:
        return fine(subject, f"{driver}: tc, as on every virtual interface")
    if leg.mode is Mode.TC:
        return fine(subject, f"{driver}: {leg.mode}, as configured")
    if interface.rxvlan:
        what = (
            f"{driver}: tc alone, for VLAN tags are taken out of frames (rx-vlan-hw-parse), where XDP does not see them"
        )
        return fine(subject, what, strip_nothing(leg.interface))
    native = {True: "native XDP", False: "no native XDP, tc alone", None: "whether it has native XDP is unknown"}
    return fine(subject, f"{driver}: {native[interface.xdp]}")


def _offloads(subject: str, leg: Leg, interface: Interface) -> list[Finding]:
    if not interface.lro:
        return []
    what = "large receive offload is on: merged segments cannot be sent on as they came"
    return [error(subject, what, f"ethtool -K {shlex.quote(leg.interface)} lro off")]


def _reverse_path(subject: str, leg: Leg, interface: Interface) -> list[Finding]:
    if interface.rp_filter != _STRICT:
        return []
    what = "rp_filter = 1 (strict): the kernel drops packets left to it whose way back leads through another interface"
    return [warning(subject, what, f"sysctl -w {_sysctl('rp_filter', leg.interface, 2)}")]


def _redirects(subject: str, leg: Leg, interface: Interface, *, one_arm: bool) -> list[Finding]:
    if not (one_arm and interface.send_redirects):
        return []
    what = "send_redirects = 1 on the only leg of its zone: the kernel tells hosts to go past the director"
    both = f"{_sysctl('send_redirects', 'all', 0)} {_sysctl('send_redirects', leg.interface, 0)}"
    return [warning(subject, what, f"sysctl -w {both}")]


def _vlan_device(subject: str, leg: Leg, machine: Machine) -> list[Finding]:
    if leg.vlan is None or leg.name in machine.vlan_devices:
        return []
    what = (
        f"the kernel has no VLAN interface for {leg.interface} VLAN {leg.vlan}: it resolves nobody there but permanent "
        f"neighbours of {leg.interface}"
    )
    return [warning(subject, what, commands(leg.interface, leg.vlan))]


def _leg(leg: Leg, machine: Machine, *, one_arm: bool) -> list[Finding]:
    subject = f"leg {leg.name}"
    interface = machine.interfaces.get(leg.interface)
    if interface is None:
        return [error(subject, f"there is no interface {leg.interface!r}", "ip link")]
    name = shlex.quote(leg.interface)
    state = (
        fine(subject, f"{leg.interface} is up")
        if interface.up
        else warning(subject, f"{leg.interface} is down or has no carrier", f"ip link set {name} up")
    )
    return [
        state,
        _xdp(subject, leg, interface),
        *_vlan_device(subject, leg, machine),
        *_offloads(subject, leg, interface),
        *_reverse_path(subject, leg, interface),
        *_redirects(subject, leg, interface, one_arm=one_arm),
        *judge_interface(subject, leg.interface, interface, machine.processors),
    ]


def _mtu(zone: str, legs: list[Leg], machine: Machine) -> list[Finding]:
    mtus = {leg.interface: machine.interfaces[leg.interface].mtu for leg in legs if leg.interface in machine.interfaces}
    if len(set(mtus.values())) <= 1:
        return []
    shown = ", ".join(f"{interface} {mtu}" for interface, mtu in mtus.items())
    what = f"MTUs differ ({shown}): frames too large for the leg they leave by go to the kernel"
    largest = max(mtus.values())
    smaller = [interface for interface, mtu in mtus.items() if mtu < largest]
    commands = [f"ip link set {shlex.quote(interface)} mtu {largest}" for interface in smaller]
    return [warning(f"zone {zone}", what, " && ".join(commands))]


def _memory(connections: int, machine: Machine) -> list[Finding]:
    if machine.memory_available is None:
        return []
    needed, available = connections * BYTES_PER_CONNECTION, machine.memory_available
    what = f"{connections:,} connections take about {needed // _MIB:,} MiB, {available // _MIB:,} MiB are available"
    # Half of the memory that is free, to a thousand, leaves the rest to what else runs here.
    remedy = (
        f"set [table] connections = {max(MIN_CONNECTIONS, available // 2 // BYTES_PER_CONNECTION // 1000 * 1000):_}"
    )
    if needed > available:
        return [error("memory", what, remedy)]
    if needed > available // 2:
        return [warning("memory", what, remedy)]
    return [fine("memory", what)]


def judge_configuration(configuration: Configuration, machine: Machine) -> list[Finding]:
    """What `configuration` needs of `machine`: legs in file order, then zones, then memory."""
    zones: defaultdict[str, list[Leg]] = defaultdict(list)
    for leg in configuration.legs:
        zones[leg.zone].append(leg)
    legs = [each for leg in configuration.legs for each in _leg(leg, machine, one_arm=len(zones[leg.zone]) == 1)]
    mtus = [each for zone, its_legs in zones.items() for each in _mtu(zone, its_legs, machine)]
    used = {leg.interface for leg in configuration.legs} & machine.interfaces.keys()
    neighbourhood = judge_neighbourhood({name: machine.interfaces[name] for name in used})
    return [*legs, *mtus, *neighbourhood, *_memory(configuration.director.connections, machine)]
