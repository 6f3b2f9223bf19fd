"""Shortest expected delay: the least (active + 1) / weight, first in the list on a tie.

LVS: net/netfilter/ipvs/ip_vs_sed.c.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

SED = Scheduler(name="sed", choice=Choice.BY_LOAD_SED)
