"""Statistics: what went through a service or a real server since its counters were set to zero, and how fast it goes.

Counts are LVS's (struct ip_vs_kstats): connections that were scheduled, packets and bytes each way, bytes from the IP
header on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lasthop.model.connection import EachWay


@dataclass(frozen=True, slots=True)
class Statistics:
    """What went through."""

    connections: int = 0
    packets: EachWay = field(default_factory=lambda: EachWay(0, 0))
    bytes: EachWay = field(default_factory=lambda: EachWay(0, 0))


@dataclass(frozen=True, slots=True)
class RateEachWay:
    """A rate per direction."""

    request: float = 0
    response: float = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """How much goes through in a second: a moving average, as LVS's estimator makes it (ip_vs_est.c)."""

    connections: float = 0
    packets: RateEachWay = field(default_factory=RateEachWay)
    bytes: RateEachWay = field(default_factory=RateEachWay)
