"""The rendezvous table: which real server gets a packet that neither belongs to a connection nor opens one.

Every service has one, whatever its scheduler; a service whose scheduler this is goes by it for new connections too.

Slot s belongs to the real server whose name scores highest for s (highest random weight, Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", IEEE/ACM ToN 6(1), 1998). The score depends on the name and the slot
alone, so two directors that know a box by the same name under other addresses fill the same table, and a box that
comes or goes moves only the slots that are or become its own. How a packet finds its slot is the data plane's business.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lasthop.policy.plan import PlannedServer

#: Slots of the table: a prime, so that no stride in the packets' hash falls on few slots.
TABLE_SIZE = 1021

#: Names whose scores are kept, 8 KiB each.
REMEMBERED_NAMES = 2048

#: Sets of names whose table is kept, 8 KiB each.
REMEMBERED_SETS = 256

#: splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=REMEMBERED_NAMES)
def scores(name: str) -> NDArray[np.uint64]:
    """Return the score of `name` for each slot.

    The 64-bit BLAKE2b digest of the name, read little-endian, seeds splitmix64; slot s takes its output number s.
    """
    seed = np.uint64(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little"))
    mixed = seed + np.arange(1, TABLE_SIZE + 1, dtype=np.uint64) * GOLDEN_GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST_FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND_FACTOR
    mixed = mixed ^ (mixed >> np.uint64(31))
    mixed.flags.writeable = False
    return mixed


def table(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the index into `servers` for each slot; empty if no server is usable.

    Servers of weight 0 take part only where no other is usable: better a box that is being emptied than none.
    """
    usable = [index for index, server in enumerate(servers) if server.usable]
    candidates = [index for index in usable if servers[index].weight > 0] or usable
    if not candidates:
        return ()
    # argmax takes the first of equals: in order of names, two directors agree even then.
    candidates.sort(key=lambda index: servers[index].name)
    best = _best(tuple(servers[index].name for index in candidates))
    return tuple(np.asarray(candidates)[best].tolist())


@lru_cache(maxsize=REMEMBERED_SETS)
def _best(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Return which of `names` has the highest score, for each slot. Many services have the same boxes."""
    best: NDArray[np.intp] = np.stack([scores(name) for name in names]).argmax(axis=0)
    return best


RENDEZVOUS = Scheduler(name="rendezvous", choice=Choice.BY_RENDEZVOUS)
