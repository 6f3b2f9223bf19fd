"""Destination hashing: the slot of the destination's address belongs to one real server, whoever the client is.

LVS: net/netfilter/ipvs/ip_vs_dh.c. The slots go round the list, whatever the weights; those of a real server of weight
0 lead nowhere. A real server that is not usable is as if it were not in the list.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler
from lasthop.policy.schedulers.sh import SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the index of each slot's real server; empty if none is usable."""
    return tuple(islice(cycle([index for index, server in enumerate(servers) if server.usable]), SLOTS))


DH = Scheduler(name="dh", choice=Choice.BY_DESTINATION, turns=turns)
