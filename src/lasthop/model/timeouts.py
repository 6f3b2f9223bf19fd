"""Time-outs as they are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeoutsReport:
    """The time-outs in force, as `lasthop timeouts` shows them."""

    profile: str
    seconds: dict[str, float]
    """Key of ``[timeouts]`` -> seconds: ``tcp_established``, ``udp`` ..."""
