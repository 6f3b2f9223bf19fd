"""Weighted least connection: the least (active * 256 + inactive) / weight, first in the list on a tie.

LVS: net/netfilter/ipvs/ip_vs_wlc.c. The data plane compares live counters, so there is no table to make.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

WLC = Scheduler(name="wlc", choice=Choice.BY_LOAD_WLC)
