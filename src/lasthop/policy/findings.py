"""What a machine lacks to run a director, judged from readings, each with the command that mends it.

Owns the findings and the readings they are made from. Nothing is read here: that is `lasthop.daemon.doctor`;
what only matters with a configuration is in `lasthop.policy.leg_findings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network

OLDEST_KERNEL = (6, 1)
FIRST_KERNEL_WITH_TCX = (6, 6)


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """Nothing to mend; the remedy, if there is one, is a choice."""
    WARNING = "warning"
    """A director runs, and some traffic or speed may suffer."""
    ERROR = "error"
    """A director does not start, or forwards wrongly."""


class Capability(IntEnum):
    """Numbers of include/uapi/linux/capability.h."""

    NET_ADMIN = 12
    NET_RAW = 13
    SYS_ADMIN = 21
    PERFMON = 38
    BPF = 39


NEEDED_CAPABILITIES = (Capability.BPF, Capability.NET_ADMIN, Capability.PERFMON, Capability.NET_RAW)
_CAPABILITY_IS_FOR = {
    Capability.BPF: "loads maps and programs",
    Capability.NET_ADMIN: "attaches programs, has neighbours resolved",
    Capability.PERFMON: "lets programs compute with pointers",
    Capability.NET_RAW: "sends pings and path probes",
}
#: bpf_capable() and perfmon_capable() of include/linux/capability.h take CAP_SYS_ADMIN as well.
_IMPLIED_BY_SYS_ADMIN = frozenset({Capability.BPF, Capability.PERFMON})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    """Nothing to mend: `severity` is ``ok``."""
    severity: Severity
    what: str
    remedy_command: str = ""
    """A command, or the line of the configuration to change; empty if there is nothing to do."""


def fine(subject: str, what: str, choice: str = "") -> Finding:
    """A finding that needs nothing; `choice` is a command for those who want it otherwise."""
    return Finding(subject, ok=True, severity=Severity.OK, what=what, remedy_command=choice)


def warning(subject: str, what: str, remedy: str) -> Finding:
    """A finding that a director can run with."""
    return Finding(subject, ok=False, severity=Severity.WARNING, what=what, remedy_command=remedy)


def error(subject: str, what: str, remedy: str) -> Finding:
    """A finding that a director cannot run with."""
    return Finding(subject, ok=False, severity=Severity.ERROR, what=what, remedy_command=remedy)


@dataclass(frozen=True, slots=True)
class Interface:
    """Readings of one interface; None where the machine does not say."""

    up: bool
    mtu: int
    driver: str
    virtual: bool
    xdp: bool | None = None
    """Its driver runs XDP programs (the kernel tells since 6.3)."""
    lro: bool | None = None
    rxvlan: bool | None = None
    """Takes VLAN tags out of frames, where XDP does not see them."""
    rp_filter: int | None = None
    """In force: the larger of ``all`` and its own (Documentation/networking/ip-sysctl.rst)."""
    send_redirects: bool | None = None
    """In force: ``all`` or its own."""
    kind: str = ""
    """As `Link.kind`."""
    mac: str = ""
    networks: frozenset[IPv4Network] = frozenset()
    """That its addresses are in."""
    arp_ignore: int | None = None
    """In force: the larger of ``all`` and its own."""
    gro: bool | None = None
    queues: int | None = None
    """Receive queues in use."""
    queues_max: int | None = None
    """As many as ``ethtool -L`` would give it."""
    rps: bool = False
    """Some queue's packets are spread over processors by software."""
    foreign: tuple[str, ...] = ()
    """Names of the programs that are attached and are not lasthop's."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Readings of a machine; None where it does not say."""

    kernel: str
    """As ``uname -r`` prints it."""
    btf: bool
    bpffs: bool
    capabilities: int
    """CapEff: bit n is capability n."""
    initial_user_namespace: bool
    """Elsewhere the kernel grants BPF to nobody."""
    libbpf: str | None
    """Its version; None if it cannot be loaded."""
    bpf_jit: int | None
    ip_forward: bool | None
    memory_available: int | None
    """MemAvailable, in bytes."""
    interfaces: dict[str, Interface] = field(default_factory=dict)
    """By name."""
    vlan_devices: frozenset[str] = frozenset()
    """Names of the tagged legs that the kernel has a VLAN interface for."""
    ip6_forward: bool | None = None
    """net.ipv6.conf.all.forwarding; None also where there is no IPv6."""
    processors: int = 1
    unprivileged_bpf: bool | None = None
    """Users without a capability may load programs."""
    conntrack: tuple[int, int] | None = None
    """Connections that the kernel tracks in this namespace, and the most it would; None: it tracks none."""
    neighbour_limits: dict[int, int] = field(default_factory=dict)
    """By IP version: gc_thresh3, the most neighbours that the kernel keeps."""
    lvs_services: int = 0
    running: frozenset[str] = frozenset()
    """Names of processes that matter: keepalived."""


def version_of(release: str) -> tuple[int, int]:
    """Major and minor number of a kernel's release, 0.0 of what is none."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _kernel(machine: Machine) -> list[Finding]:
    version = version_of(machine.kernel)
    if version < OLDEST_KERNEL:
        oldest = ".".join(map(str, OLDEST_KERNEL))
        remedy = "apt install linux-image-amd64 && reboot"
        return [error("kernel", f"Linux {machine.kernel} is older than {oldest}", remedy)]
    attachment = "tcx" if version >= FIRST_KERNEL_WITH_TCX else "clsact: tcx came with 6.6"
    return [
        fine("kernel", f"Linux {machine.kernel}"),
        fine("tc", f"programs are attached through {attachment}"),
    ]


def _btf(machine: Machine) -> Finding:
    if machine.btf:
        return fine("BTF", "/sys/kernel/btf/vmlinux")
    what = "/sys/kernel/btf/vmlinux is missing: the kernel was built without CONFIG_DEBUG_INFO_BTF"
    return error("BTF", what, "apt install linux-image-amd64 && reboot")


def _bpffs(machine: Machine) -> Finding:
    if machine.bpffs:
        return fine("bpffs", "mounted at /sys/fs/bpf")
    return error("bpffs", "no bpf file system at /sys/fs/bpf to pin to", "mount -t bpf bpf /sys/fs/bpf")


def holds(machine: Machine, capability: Capability) -> bool:
    """Whether this process has a capability, or one that stands for it."""
    implied = capability in _IMPLIED_BY_SYS_ADMIN and machine.capabilities >> Capability.SYS_ADMIN & 1
    return bool(machine.capabilities >> capability & 1 or implied)


def _capabilities(machine: Machine) -> Finding:
    missing = [capability for capability in NEEDED_CAPABILITIES if not holds(machine, capability)]
    if missing:
        names = " ".join(f"CAP_{each.name}" for each in missing)
        told = ", ".join(f"CAP_{each.name} ({_CAPABILITY_IS_FOR[each]})" for each in missing)
        return error("capabilities", f"missing: {told}", f'run as root, or in the unit: AmbientCapabilities="{names}"')
    if not machine.initial_user_namespace:
        what = "held in a user namespace of its own, where the kernel grants BPF to nobody"
        return error("capabilities", what, "run outside the container, or in one without its own user namespace")
    return fine("capabilities", " ".join(f"CAP_{capability.name}" for capability in NEEDED_CAPABILITIES))


def _libbpf(machine: Machine) -> Finding:
    if machine.libbpf is None:
        return error("libbpf", "libbpf.so.1 cannot be loaded", "apt install libbpf1")
    return fine("libbpf", f"libbpf.so.1, {machine.libbpf}")


def _jit(machine: Machine) -> Finding:
    if machine.bpf_jit is None:
        return fine("BPF JIT", "unknown: net.core.bpf_jit_enable is not shown in this network namespace")
    if not machine.bpf_jit:
        what = "net.core.bpf_jit_enable = 0: programs are interpreted, several times slower"
        return warning("BPF JIT", what, "sysctl -w net.core.bpf_jit_enable=1")
    return fine("BPF JIT", f"net.core.bpf_jit_enable = {machine.bpf_jit}")


def _forwarding(machine: Machine) -> list[Finding]:
    settings = {
        "net.ipv4.ip_forward": (machine.ip_forward, "what is not balanced"),
        "net.ipv6.conf.all.forwarding": (machine.ip6_forward, "IPv6 that is not balanced"),
    }
    return [
        fine("forwarding", f"{key} = 0: {what} is not forwarded by the kernel", f"sysctl -w {key}=1")
        for key, (forwards, what) in settings.items()
        if forwards is False
    ]


def judge_machine(machine: Machine) -> list[Finding]:
    """What any director needs of `machine`, in the order of the way a start goes."""
    return [
        *_kernel(machine),
        _btf(machine),
        _bpffs(machine),
        _capabilities(machine),
        _libbpf(machine),
        _jit(machine),
        *_forwarding(machine),
    ]


def any_error(findings: list[Finding]) -> bool:
    """Whether a director would fail."""
    return any(finding.severity is Severity.ERROR for finding in findings)
