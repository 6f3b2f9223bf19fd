"""The registry of schedulers: one file and one line here for each."""

from __future__ import annotations

from lasthop.policy.schedulers.dh import DH
from lasthop.policy.schedulers.fo import FO
from lasthop.policy.schedulers.lblc import LBLC
from lasthop.policy.schedulers.lblcr import LBLCR
from lasthop.policy.schedulers.lc import LC
from lasthop.policy.schedulers.mh import MH
from lasthop.policy.schedulers.nq import NQ
from lasthop.policy.schedulers.ovf import OVF
from lasthop.policy.schedulers.rendezvous import RENDEZVOUS
from lasthop.policy.schedulers.rr import RR
from lasthop.policy.schedulers.sed import SED
from lasthop.policy.schedulers.sh import SH
from lasthop.policy.schedulers.twos import TWOS
from lasthop.policy.schedulers.wlc import WLC
from lasthop.policy.schedulers.wrr import WRR

#: By the name used in the configuration.
SCHEDULERS = {
    scheduler.name: scheduler
    for scheduler in (RR, WRR, LC, WLC, LBLC, LBLCR, DH, SH, SED, NQ, FO, OVF, MH, TWOS, RENDEZVOUS)
}
