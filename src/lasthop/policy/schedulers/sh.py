"""Source hashing: the slot of the client's address belongs to one real server, which all its connections get.

LVS: net/netfilter/ipvs/ip_vs_sh.c. The slots are filled in list order, each real server as often in a row as its weight
says, and one of weight 0 once: its clients get none. With the flag sh-port the client's port is hashed too; with
sh-fallback a client whose real server takes no new connections gets another slot's. A real server that is not usable is
as if it were not in the list, as when keepalived takes one out.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer

#: Slots of the table: 1 << HASH_BITS in bpf/abi.h.
SLOTS = 256


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the index of each slot's real server; empty if none is usable."""
    once = [
        index for index, server in enumerate(servers) if server.usable for _ in range(min(max(server.weight, 1), SLOTS))
    ]
    return tuple(islice(cycle(once), SLOTS))


SH = Scheduler(name="sh", choice=Choice.BY_SOURCE, turns=turns, flags=("sh-port", "sh-fallback"))
