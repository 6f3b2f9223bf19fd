"""`lasthop doctor`: reads what this machine has, has it judged, and shows the findings.

Owns the reading and the showing. What counts as lacking is decided in `lasthop.policy.findings` and
`lasthop.policy.leg_findings`; the command itself is in `lasthop.daemon.commands`.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.director.surroundings import surroundings_of
from lasthop.network.drivers import XdpFeatures, receive_offloads, xdp_features
from lasthop.network.interface import Observation
from lasthop.policy.findings import Finding, Interface, Machine, Severity, judge_machine
from lasthop.policy.leg_findings import judge_configuration
from lasthop.policy.vlan_devices import vlan_device

if TYPE_CHECKING:
    from rich.console import Console

    from lasthop.model.configuration import Configuration
    from lasthop.network.interface import Link, Network

_ALL_USERS = 2**32 - 1
_SIGNS = {Severity.OK: ("✔", "green"), Severity.WARNING: ("!", "yellow"), Severity.ERROR: ("✘", "bold red")}


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.strip().isdigit() else None


def _sysctl(key: str) -> int | None:
    """A sysctl of this process's network namespace; `key` has slashes."""
    return _number(f"/proc/sys/{key}")


def _field(text: str, name: str) -> str | None:
    """The value of ``Name: value`` in a file such as /proc/meminfo."""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key == name), None)


def _mounted(mounts: str, place: str, kind: str) -> bool:
    """Whether `place` holds a file system of `kind`; a later mount at the same place hides the earlier."""
    kinds = [words[2] for words in map(str.split, mounts.splitlines()) if words[1] == place]
    return bool(kinds) and kinds[-1] == kind


def _libbpf_version() -> str | None:
    try:
        library = ctypes.CDLL("libbpf.so.1")
        library.libbpf_version_string.restype = ctypes.c_char_p
        version: bytes = library.libbpf_version_string()
    except (OSError, AttributeError):
        return None
    return version.decode().removeprefix("v")


def _in_force(interface: str, key: str) -> int | None:
    """The larger of the value for all interfaces and the interface's own."""
    readings = (_sysctl(f"net/ipv4/conf/{name}/{key}") for name in ("all", interface))
    return max((reading for reading in readings if reading is not None), default=None)


def _interface(link: Link, control: socket.socket, features: dict[int, XdpFeatures] | None) -> Interface:
    offloads = receive_offloads(control, link.name)
    redirects = _in_force(link.name, "send_redirects")
    return Interface(
        up=link.up,
        mtu=link.mtu,
        driver=link.driver,
        virtual=link.virtual,
        xdp=None if features is None else bool(features.get(link.ifindex, 0) & XdpFeatures.BASIC),
        lro=None if offloads is None else offloads.lro,
        rxvlan=None if offloads is None else offloads.rxvlan,
        rp_filter=_in_force(link.name, "rp_filter"),
        send_redirects=None if redirects is None else bool(redirects),
    )


def _interfaces(configuration: Configuration, links: dict[str, Link]) -> dict[str, Interface]:
    """The interfaces of the legs that exist."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        features = xdp_features()
        names = [leg.interface for leg in configuration.legs if leg.interface in links]
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


def read_machine(configuration: Configuration | None, network: Network) -> Machine:
    """Read this machine, seen from this process's namespaces. Raises NetworkError if netlink refuses."""
    capabilities = _field(_text("/proc/self/status") or "", "CapEff") or "0"
    users = (_text("/proc/self/uid_map") or "").split()
    memory = _field(_text("/proc/meminfo") or "", "MemAvailable")
    forwards, forwards6 = _sysctl("net/ipv4/ip_forward"), _sysctl("net/ipv6/conf/all/forwarding")
    observation = Observation() if configuration is None else network.observe()
    return Machine(
        kernel=os.uname().release,
        btf=Path("/sys/kernel/btf/vmlinux").exists(),
        bpffs=_mounted(_text("/proc/self/mounts") or "", "/sys/fs/bpf", "bpf"),
        capabilities=int(capabilities, 16),
        initial_user_namespace=users == ["0", "0", str(_ALL_USERS)],
        libbpf=_libbpf_version(),
        bpf_jit=_sysctl("net/core/bpf_jit_enable"),
        ip_forward=None if forwards is None else bool(forwards),
        ip6_forward=None if forwards6 is None else bool(forwards6),
        memory_available=None if memory is None else int(memory.split()[0]) * 1024,
        interfaces={} if configuration is None else _interfaces(configuration, observation.links),
        vlan_devices=frozenset() if configuration is None else _vlan_devices(configuration, observation),
    )


def diagnose(configuration: Configuration | None, network: Network) -> list[Finding]:
    """What this machine lacks for a director; with a configuration, also what that one needs.

    A finding of severity ``error`` means that a director would not start or would forward wrongly:
    `lasthop.policy.findings.any_error`. Raises NetworkError if netlink refuses.
    """
    machine = read_machine(configuration, network)
    findings = judge_machine(machine)
    return findings if configuration is None else findings + judge_configuration(configuration, machine)


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
