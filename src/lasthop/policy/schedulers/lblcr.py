"""Locality-based least connection with replication: a destination has a set of real servers, and gets the least loaded.

LVS: net/netfilter/ipvs/ip_vs_lblcr.c. When that one is overloaded (see lblc) wlc's choice joins the set; when the set
has not changed for 24 hours, its most loaded member leaves. A set has at most eight members.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

LBLCR = Scheduler(name="lblcr", choice=Choice.BY_LOCALITY_SET)
