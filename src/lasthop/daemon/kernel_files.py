"""What the kernel says in files: of this process's network namespace, and of the machine.

Owns the reading of /proc and /sys for `lasthop doctor`. A file that is not there, or may not be read, says nothing.
What follows from it is decided in `lasthop.policy`.
"""

from __future__ import annotations

import os
from pathlib import Path

_LVS_LINES = ("TCP", "UDP", "SCTP", "FWM")
_PROCESSES = frozenset({"keepalived"})


def text(path: str | Path) -> str | None:
    """A file's text; None where it says nothing."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def number(path: str | Path) -> int | None:
    """A file that holds one number."""
    found = text(path)
    return int(found) if found is not None and found.strip().isdigit() else None


def sysctl(key: str) -> int | None:
    """A sysctl of this process's network namespace; `key` has slashes."""
    return number(f"/proc/sys/{key}")


def in_force(interface: str, key: str) -> int | None:
    """The larger of the value for all interfaces and the interface's own."""
    readings = (sysctl(f"net/ipv4/conf/{name}/{key}") for name in ("all", interface))
    return max((reading for reading in readings if reading is not None), default=None)


def field_of(content: str, name: str) -> str | None:
    """The value of ``Name: value`` in a file such as /proc/meminfo."""
    lines = (line.partition(":") for line in content.splitlines())
    return next((value.strip() for key, _, value in lines if key == name), None)


def mounted(mounts: str, place: str, kind: str) -> bool:
    """Whether `place` holds a file system of `kind`; a later mount at the same place hides the earlier."""
    kinds = [words[2] for words in map(str.split, mounts.splitlines()) if words[1] == place]
    return bool(kinds) and kinds[-1] == kind


def tracked() -> tuple[int, int] | None:
    """How many connections the kernel's connection tracking has here, and its most; None where it tracks none."""
    count, most = sysctl("net/netfilter/nf_conntrack_count"), sysctl("net/netfilter/nf_conntrack_max")
    return (count, most) if count and most else None


def neighbour_limits() -> dict[int, int]:
    """gc_thresh3 by IP version. Only the machine's first network namespace shows it."""
    limits = {version: sysctl(f"net/ipv{version}/neigh/default/gc_thresh3") for version in (4, 6)}
    return {version: limit for version, limit in limits.items() if limit is not None}


def lvs_services(path: str = "/proc/net/ip_vs") -> int:
    """How many virtual services LVS has."""
    return sum(line.startswith(_LVS_LINES) for line in (text(path) or "").splitlines())


def running() -> frozenset[str]:
    """Which of the processes that matter run."""
    names = ((text(path / "comm") or "").strip() for path in Path("/proc").glob("[0-9]*"))
    return _PROCESSES.intersection(names)


def queues(interface: str) -> tuple[int | None, bool]:
    """How many receive queues an interface has, and whether software spreads the packets of one."""
    found = list(Path("/sys/class/net", interface, "queues").glob("rx-*"))
    masks = [(text(each / "rps_cpus") or "").replace(",", "").strip().strip("0") for each in found]
    return len(found) or None, any(masks)


def processors() -> int:
    """How many processors take packets."""
    return os.cpu_count() or 1
