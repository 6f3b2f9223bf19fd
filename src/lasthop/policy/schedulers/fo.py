"""Failover: the real server of the highest weight, first in the list on a tie, as long as it is usable.

LVS: net/netfilter/ipvs/ip_vs_fo.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the index of the one that takes all new connections; none if there is none."""
    best = max(range(len(servers)), key=lambda index: servers[index].effective_weight, default=None)
    return () if best is None or servers[best].effective_weight == 0 else (best,)


FO = Scheduler(name="fo", choice=Choice.BY_TURN, turns=turns)
