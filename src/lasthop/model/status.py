"""The director at a glance."""

from __future__ import annotations

from dataclasses import dataclass, field

from lasthop.model.asymmetry import AsymmetryReport
from lasthop.model.sweep import SweepReport


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What `lasthop status` shows."""

    director: str
    version: str
    pid: int
    uptime_s: float
    kernel: str
    configuration: str
    """Path of the file it runs."""
    legs: int
    legs_up: int
    services: int
    real_servers: int
    unresolved: list[str]
    """Names of real servers without a MAC address."""
    connections: int
    connections_max: int
    assured: int
    hops: int
    unexpected: dict[str, int]
    """Counters that should be zero and are not."""
    problems: list[str]
    """Sentences about whatever needs an operator."""
    notes: list[str]
    """Sentences about what goes on and needs nobody: the table is being resized."""
    asymmetric: AsymmetryReport = field(default_factory=AsymmetryReport)
    """Responses that came from another real server than their requests went to."""
    sweep: SweepReport = field(default_factory=SweepReport)
