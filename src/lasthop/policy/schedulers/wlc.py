"""Weighted least connection: the least (active * 256 + inactive) / weight, first in the list on a tie.

LVS: net/netfilter/ipvs/ip_vs_wlc.c. The data plane compares live counters, so there is no table to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer


def turns(_servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return no turns: the choice is made by load."""
    return ()


WLC = Scheduler(name="wlc", choice=Choice.BY_LOAD_WLC, turns=turns)
