"""Failover: the real server of the highest weight, first in the list on a tie, as long as it takes new connections.

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
    """Return the indices of those that take new connections, the highest weight first."""
    taking = [index for index, server in enumerate(servers) if server.effective_weight > 0]
    return tuple(sorted(taking, key=lambda index: -servers[index].weight))


FO = Scheduler(name="fo", choice=Choice.BY_ORDER, turns=turns)
