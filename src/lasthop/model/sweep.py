"""How long the sweeps of the connection table take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Whole sweeps of this process, and the time they took of it; pauses between the steps of one do not count."""

    sweeps: int = 0
    busy_s: float = 0.0
    """All of them together."""
    last_s: float = 0.0
    """The last one."""
