"""What of a machine, beside its interfaces, stands in the way of a director, or of what it leaves to the kernel.

Pure, like `lasthop.policy.findings`, which owns the types. What is particular to a leg is in
`lasthop.policy.leg_findings` and `lasthop.policy.interface_findings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.director import OnDetach
from lasthop.model.service import WhenEmpty
from lasthop.policy.findings import FIRST_KERNEL_WITH_TCX, Capability, fine, version_of, warning

if TYPE_CHECKING:
    from lasthop.model.configuration import Configuration
    from lasthop.policy.findings import Finding, Machine

_NEARLY_FULL = 0.9
_NEIGHBOURS_TO_SPARE = 2


def judge_host(machine: Machine) -> list[Finding]:
    """What any director shares the machine with."""
    return [*_filters(machine), *_users(machine), *_conntrack(machine), *_lvs(machine), *_keepalived(machine)]


def judge_ways(configuration: Configuration, machine: Machine) -> list[Finding]:
    """What a configuration leaves to the kernel, and whether the kernel would forward it; its neighbours."""
    return [*_left_to_the_kernel(configuration, machine), *_detached(configuration, machine),
            *_neighbours(configuration, machine)]  # fmt: skip


def _filters(machine: Machine) -> list[Finding]:
    """Before tcx the legs have clsact filters, and reading whose they are takes CAP_SYS_ADMIN."""
    if version_of(machine.kernel) >= FIRST_KERNEL_WITH_TCX or machine.capabilities >> Capability.SYS_ADMIN & 1:
        return []
    what = "without CAP_SYS_ADMIN, before Linux 6.6, another director's filter on a leg goes unnoticed"
    return [
        fine("capabilities", what, 'in the unit: AmbientCapabilities="CAP_SYS_ADMIN", and in CapabilityBoundingSet')
    ]


def _users(machine: Machine) -> list[Finding]:
    if machine.unprivileged_bpf is not True:
        return []
    what = "kernel.unprivileged_bpf_disabled = 0: every user may load BPF programs; lasthop needs no such thing"
    return [fine("users' BPF", what, "sysctl -w kernel.unprivileged_bpf_disabled=1")]


def _conntrack(machine: Machine) -> list[Finding]:
    if machine.conntrack is None:
        return []
    count, maximum = machine.conntrack
    what = f"the kernel tracks {count:,} of {maximum:,} connections: of what is left to it, not of what is balanced"
    if maximum and count >= maximum * _NEARLY_FULL:
        full = f"{what}; nearly full, new ones are dropped soon"
        return [warning("conntrack", full, f"sysctl -w net.netfilter.nf_conntrack_max={maximum * 2}")]
    return [fine("conntrack", what)]


def _lvs(machine: Machine) -> list[Finding]:
    if not machine.lvs_services:
        return []
    number = f"{machine.lvs_services} virtual service{'s' * (machine.lvs_services != 1)}"
    what = f"LVS has {number} here: they take what lasthop leaves to the kernel, and nothing that it balances"
    return [warning("LVS", what, "ipvsadm -C, once lasthop balances what they did")]


def _keepalived(machine: Machine) -> list[Finding]:
    if "keepalived" not in machine.running:
        return []
    what = "keepalived runs: its VRRP works beside lasthop; give a leg the virtual_macs it moves"
    return [fine("keepalived", what, "lasthop import keepalived /etc/keepalived/keepalived.conf")]


def _left_to_the_kernel(configuration: Configuration, machine: Machine) -> list[Finding]:
    if machine.ip_forward is not False:
        return []
    kinds = [
        f"{service.label} (when_empty = {service.when_empty.value})"
        for service in configuration.services
        if service.when_empty is not WhenEmpty.DROP
    ]
    if not kinds:
        return []
    what = f"net.ipv4.ip_forward = 0: what these services leave to the kernel is dropped there: {', '.join(kinds)}"
    return [warning("forwarding", what, "sysctl -w net.ipv4.ip_forward=1")]


def _detached(configuration: Configuration, machine: Machine) -> list[Finding]:
    """What becomes of traffic when the data plane is taken out: better known before."""
    if configuration.director.on_detach is OnDetach.CLOSED:
        return [fine("on detach", 'on_detach = "closed": nothing is forwarded through the legs then')]
    if machine.ip_forward is False:
        what = 'on_detach = "open", but net.ipv4.ip_forward = 0: nothing is forwarded then'
        return [fine("on detach", what, "sysctl -w net.ipv4.ip_forward=1")]
    return [fine("on detach", 'on_detach = "open": traffic follows the kernel\'s routes then, past the firewalls')]


def _neighbours(configuration: Configuration, machine: Machine) -> list[Finding]:
    """Every real server and gateway takes an entry of the kernel's neighbour table, and must keep it."""
    servers = [server for service in configuration.services for server in service.real_servers]
    named = {address for server in servers for address in (server.address, *server.other_addresses)}
    named |= {gateway for leg in configuration.legs for gateway in leg.gateways}
    numbers = {version: sum(each.version == version for each in named) for version in machine.neighbour_limits}
    return [
        _crowded(version, numbers[version], limit)
        for version, limit in machine.neighbour_limits.items()
        if numbers[version] * _NEIGHBOURS_TO_SPARE > limit
    ]


def _crowded(version: int, needed: int, limit: int) -> Finding:
    what = (
        f"the kernel keeps {limit:,} neighbours by IPv{version}, and this configuration names {needed:,}: with others "
        "on the legs some lose their MAC address"
    )
    table = f"net.ipv{version}.neigh.default.gc_thresh"
    wanted = max(needed * 4, limit)
    return warning("neighbours", what, f"sysctl -w {table}1={wanted // 4} {table}2={wanted // 2} {table}3={wanted}")
