"""Weighted round robin: in turn, those of a higher weight more often.

LVS (net/netfilter/ipvs/ip_vs_wrr.c) walks the list again and again, and takes who has at least the weight asked for;
that begins with the highest weight and goes down by their greatest common divisor with each pass. A whole cycle, in
which each has weight / divisor turns, is the table here.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer

#: Turns of a cycle. Weights whose cycle is longer are made smaller, in proportion; none becomes 0.
LONGEST_CYCLE = 1024


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the indices of a cycle, in its order."""
    weights = _shares([server.effective_weight for server in servers])
    return tuple(
        index
        for wanted in range(max(weights, default=0), 0, -1)
        for index, weight in enumerate(weights)
        if weight >= wanted
    )


def _shares(weights: list[int]) -> list[int]:
    """Turns of each in a cycle."""
    divisor = gcd(*weights) or 1
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    if total <= LONGEST_CYCLE:
        return shares
    room = LONGEST_CYCLE - len(shares)
    return [max(1, share * room // total) if share else 0 for share in shares]


WRR = Scheduler(name="wrr", choice=Choice.BY_TURN, turns=turns)
