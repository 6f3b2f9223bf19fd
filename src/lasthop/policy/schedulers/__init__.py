"""The registry of schedulers: one file and one line here for each.

The rendezvous table (`rendezvous`) is no scheduler in this list: every service has one beside its scheduler, for
packets that open nothing.
"""

from __future__ import annotations

from lasthop.policy.schedulers.rr import RR
from lasthop.policy.schedulers.wlc import WLC

#: By the name used in the configuration.
SCHEDULERS = {scheduler.name: scheduler for scheduler in (RR, WLC)}
