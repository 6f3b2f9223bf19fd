"""Locality-based least connection: a destination keeps its real server until that is overloaded, then wlc chooses.

LVS: net/netfilter/ipvs/ip_vs_lblc.c. Overloaded is who has more active connections than weight while another has less
than half of its own. What was not asked for in 24 hours is forgotten.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

LBLC = Scheduler(name="lblc", choice=Choice.BY_LOCALITY)
