"""Never queue: the first real server without an active connection; if each has one, as sed chooses.

LVS: net/netfilter/ipvs/ip_vs_nq.c.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

NQ = Scheduler(name="nq", choice=Choice.BY_LOAD_NQ)
