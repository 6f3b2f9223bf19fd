"""Overflow: the highest weight, until its active connections are more than that; then the next.

If all have more, there is none. Datagram conversations count as inactive and never overflow.
LVS: net/netfilter/ipvs/ip_vs_ovf.c.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

OVF = Scheduler(name="ovf", choice=Choice.BY_LOAD_OVF)
