"""Least connection: the least active * 256 + inactive, whatever the weight unless it is 0; first in the list on a tie.

LVS: net/netfilter/ipvs/ip_vs_lc.c.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

LC = Scheduler(name="lc", choice=Choice.BY_LOAD_LC)
