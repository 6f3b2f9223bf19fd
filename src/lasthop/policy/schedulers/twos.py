"""Power of two choices: of two real servers drawn by weight, the one with less (active * 256 + inactive) / weight.

LVS: net/netfilter/ipvs/ip_vs_twos.c, after Mitzenmacher, "The power of two choices in randomized load balancing", IEEE
TPDS 12(10), 2001.
"""

from __future__ import annotations

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

TWOS = Scheduler(name="twos", choice=Choice.BY_LOAD_TWOS)
