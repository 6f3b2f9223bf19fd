"""`lasthop doctor`: reads what this machine has, has it judged, and shows the findings.

Owns the reading and the showing. What counts as lacking is decided in `lasthop.policy.findings` and
`lasthop.policy.leg_findings`; the command itself is in `lasthop.daemon.commands`.
"""

from __future__ import annotations

import ctypes
import os
import socket
from ipaddress import IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.daemon import kernel_files
from lasthop.daemon.kernel_files import field_of, in_force, mounted, sysctl, text
from lasthop.director.surroundings import surroundings_of
from lasthop.errors import LasthopError, NetworkError
from lasthop.network.drivers import XdpFeatures, merges_segments, receive_channels, receive_offloads, xdp_features
from lasthop.network.interface import Observation
from lasthop.policy.findings import Finding, Interface, Machine, Severity, judge_machine
from lasthop.policy.host_findings import judge_host, judge_ways
from lasthop.policy.interface_findings import describe
from lasthop.policy.leg_findings import judge_configuration
from lasthop.policy.vlan_devices import vlan_device

if TYPE_CHECKING:
    from rich.console import Console

    from lasthop.model.configuration import Configuration
    from lasthop.network.interface import Link, Network

_ALL_USERS = 2**32 - 1
_OWN_PROGRAMS = "lh_"
_SIGNS = {Severity.OK: ("✔", "green"), Severity.WARNING: ("!", "yellow"), Severity.ERROR: ("✘", "bold red")}


def _libbpf_version() -> str | None:
    try:
        library = ctypes.CDLL("libbpf.so.1")
        library.libbpf_version_string.restype = ctypes.c_char_p
        version: bytes = library.libbpf_version_string()
    except (OSError, AttributeError):
        return None
    return version.decode().removeprefix("v")


def _interface(link: Link, control: socket.socket, features: dict[int, XdpFeatures] | None) -> Interface:
    offloads, channels = receive_offloads(control, link.name), receive_channels(control, link.name)
    redirects = in_force(link.name, "send_redirects")
    queues, rps = kernel_files.queues(link.name)
    return Interface(
        up=link.up,
        mtu=link.mtu,
        driver=link.driver,
        virtual=link.virtual,
        xdp=None if features is None else bool(features.get(link.ifindex, 0) & XdpFeatures.BASIC),
        lro=None if offloads is None else offloads.lro,
        rxvlan=None if offloads is None else offloads.rxvlan,
        rp_filter=in_force(link.name, "rp_filter"),
        send_redirects=None if redirects is None else bool(redirects),
        kind=link.kind,
        mac=link.mac,
        networks=frozenset(each.network for each in link.addresses if isinstance(each, IPv4Interface)),
        arp_ignore=in_force(link.name, "arp_ignore"),
        gro=merges_segments(control, link.name),
        queues=channels[0] if channels else queues,
        queues_max=channels[1] if channels else None,
        rps=rps,
        foreign=_foreign(link.ifindex),
    )


def _foreign(ifindex: int) -> tuple[str, ...]:
    """Programs on an interface that are not lasthop's; none where they may not be read."""
    try:
        from lasthop.dataplane.attach import programs_on

        return tuple(name for name in programs_on(ifindex) if not name.startswith(_OWN_PROGRAMS))
    except (LasthopError, OSError):
        return ()


def _interfaces(configuration: Configuration | None, links: dict[str, Link]) -> dict[str, Interface]:
    """The interfaces of the legs that exist; without a configuration, those a leg might be on."""
    if configuration is None:
        names = [link.name for link in links.values() if not link.virtual]
    else:
        names = [leg.interface for leg in configuration.legs if leg.interface in links]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        features = xdp_features()
        return {name: _interface(links[name], control, features) for name in names}


def _vlan_devices(configuration: Configuration, observation: Observation) -> frozenset[str]:
    """The tagged legs that the kernel has a VLAN interface for."""
    surroundings = surroundings_of(observation)
    return frozenset(
        leg.name
        for leg in configuration.legs
        if leg.vlan
        and leg.interface in surroundings.links
        and vlan_device(leg.vlan, surroundings.links[leg.interface], surroundings)
    )


def _seen(network: Network) -> Observation:
    """What can be seen without a file that needs it: nothing, where netlink refuses."""
    try:
        return network.observe()
    except NetworkError:
        return Observation()


def read_machine(configuration: Configuration | None, network: Network) -> Machine:
    """Read this machine, seen from this process's namespaces. Raises NetworkError if netlink refuses."""
    capabilities = field_of(text("/proc/self/status") or "", "CapEff") or "0"
    users = (text("/proc/self/uid_map") or "").split()
    memory = field_of(text("/proc/meminfo") or "", "MemAvailable")
    forwards, forwards6 = sysctl("net/ipv4/ip_forward"), sysctl("net/ipv6/conf/all/forwarding")
    unprivileged = sysctl("kernel/unprivileged_bpf_disabled")
    observation = _seen(network) if configuration is None else network.observe()
    return Machine(
        kernel=os.uname().release,
        btf=Path("/sys/kernel/btf/vmlinux").exists(),
        bpffs=mounted(text("/proc/self/mounts") or "", "/sys/fs/bpf", "bpf"),
        capabilities=int(capabilities, 16),
        initial_user_namespace=users == ["0", "0", str(_ALL_USERS)],
        libbpf=_libbpf_version(),
        bpf_jit=sysctl("net/core/bpf_jit_enable"),
        ip_forward=None if forwards is None else bool(forwards),
        ip6_forward=None if forwards6 is None else bool(forwards6),
        memory_available=None if memory is None else int(memory.split()[0]) * 1024,
        interfaces=_interfaces(configuration, observation.links),
        vlan_devices=frozenset() if configuration is None else _vlan_devices(configuration, observation),
        processors=kernel_files.processors(),
        unprivileged_bpf=None if unprivileged is None else not unprivileged,
        conntrack=kernel_files.tracked(),
        neighbour_limits=kernel_files.neighbour_limits(),
        lvs_services=kernel_files.lvs_services(),
        running=kernel_files.running(),
    )


def diagnose(configuration: Configuration | None, network: Network) -> list[Finding]:
    """What this machine lacks for a director; with a configuration, also what that one needs.

    A finding of severity ``error`` means that a director would not start or would forward wrongly:
    `lasthop.policy.findings.any_error`. Raises NetworkError if netlink refuses.
    """
    machine = read_machine(configuration, network)
    findings = [*judge_machine(machine), *judge_host(machine)]
    if configuration is None:
        described = (describe(name, found, machine.processors) for name, found in machine.interfaces.items())
        return [*findings, *(each for several in described for each in several)]
    return [*findings, *judge_ways(configuration, machine), *judge_configuration(configuration, machine)]


def _summary(findings: list[Finding]) -> str:
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    if not errors and not warnings:
        return "This machine lacks nothing."
    counted = [f"{number} {noun}{'s' * (number != 1)}" for number, noun in ((errors, "error"), (warnings, "warning"))]
    return f"{' and '.join(each for each in counted if not each.startswith('0 '))} to mend."


def render(findings: list[Finding], console: Console) -> None:
    """Print one line per finding, below it the remedy, unwrapped so that it can be copied; a summary last."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        sign, style = _SIGNS[finding.severity]
        console.print(sign, style=style, end=" ")
        console.print(f"{finding.subject:<{width}}  {finding.what}", markup=False, highlight=False, soft_wrap=True)
        if finding.remedy_command:
            remedy = f"{'':{width + 2}}  {finding.remedy_command}"
            console.print(remedy, style="cyan", markup=False, highlight=False, soft_wrap=True)
    console.print(_summary(findings), markup=False, highlight=False, soft_wrap=True)
