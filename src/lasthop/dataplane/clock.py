"""The clock that the kernel stamps connections with, as a process reads it.

Owns the correction for time namespaces: packets are stamped with the machine's own monotonic clock, while a process in
such a namespace (a container that was moved, or wants another uptime) reads one that is ahead of it or behind.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

#: include/uapi/linux/time.h; the time module has no name for it.
_CLOCK_MONOTONIC_COARSE = 6
_OFFSETS = Path("/proc/self/timens_offsets")
_NS = 1_000_000_000


def now_ns() -> int:
    """The clock that entries are stamped with."""
    return time.clock_gettime_ns(_CLOCK_MONOTONIC_COARSE) - _ahead_ns()


def started_ns() -> int:
    """When that clock was 0, in nanoseconds since 1970."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC) + _ahead_ns()


@cache
def _ahead_ns() -> int:
    """By how much this process's monotonic clocks are ahead: it cannot change (time_namespaces(7))."""
    try:
        lines = [line.split() for line in _OFFSETS.read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(seconds) * _NS + int(rest) for name, seconds, rest in lines if name == "monotonic")
