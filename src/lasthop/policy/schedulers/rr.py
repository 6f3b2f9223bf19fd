"""Round robin: each usable real server in turn, whatever its weight, as long as it is not 0.

LVS: net/netfilter/ipvs/ip_vs_rr.c walks the list of destinations and skips those of weight 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the indices of the servers that take new connections, once each, in list order."""
    return tuple(index for index, server in enumerate(servers) if server.effective_weight > 0)


RR = Scheduler(name="rr", choice=Choice.BY_TURN, turns=turns)
