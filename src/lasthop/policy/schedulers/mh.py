"""Maglev hashing: the slot of the unordered address pair belongs to one real server, and few slots move when one goes.

LVS: net/netfilter/ipvs/ip_vs_mh.c, after Eisenbud et al., "Maglev", NSDI 2016. Two things differ on purpose: the table
is made from the *names* of the real servers in the order of their names, not from addresses in list order, and both
addresses are hashed, unordered, not the client's alone. So two directors on either side of the firewalls, which know a
box by two addresses and by one name, choose the same. With the flag mh-port both ports are hashed too; with mh-fallback
a pair whose real server takes no new connections gets another slot's.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import gcd
from typing import TYPE_CHECKING

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.policy.plan import PlannedServer

#: Slots: a prime, as the permutations need. LVS has 4,093 by default; here a thousand services may have such a table.
SLOTS = 1021

#: Tables that are kept: many services have the same boxes.
REMEMBERED_TABLES = 256


def turns(servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return the index of each slot's real server; empty if none is usable and of a weight above 0."""
    named = sorted(
        (server.name, server.effective_weight, index) for index, server in enumerate(servers) if server.effective_weight
    )
    if not named:
        return ()
    filled = table(tuple(name for name, _, _ in named), tuple(weight for _, weight, _ in named))
    return tuple(named[place][2] for place in filled)


@lru_cache(maxsize=REMEMBERED_TABLES)
def table(names: tuple[str, ...], weights: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of `names` each slot belongs to.

    In rounds, each name takes the next free slots of its own permutation of them, as many as its weight by the greatest
    common divisor says; weights of more slots than there are in all are halved until they are not (LVS: rshift).
    """
    divisor = gcd(*weights)
    shift = max(0, (max(weights) // divisor).bit_length() - SLOTS.bit_length() + 1)
    rounds = [max(1, (weight // divisor) >> shift) for weight in weights]
    steps = [_permutation(name) for name in names]
    slots = [-1] * SLOTS
    left = SLOTS
    while True:
        for place, (offset, skip) in enumerate(steps):
            for _ in range(rounds[place]):
                while slots[offset] >= 0:
                    offset = (offset + skip) % SLOTS  # noqa: PLW2901 -- the walk goes on in the next round
                slots[offset] = place
                left -= 1
                if not left:
                    return tuple(slots)
            steps[place] = (offset, skip)


def _permutation(name: str) -> tuple[int, int]:
    """Where a name's walk over the slots begins, and its step."""
    digest = blake2b(name.encode(), digest_size=16, person=b"lasthop-mh").digest()
    offset, skip = (int.from_bytes(half, "little") for half in (digest[:8], digest[8:]))
    return offset % SLOTS, skip % (SLOTS - 1) + 1


MH = Scheduler(name="mh", choice=Choice.BY_PAIR, turns=turns, flags=("mh-port", "mh-fallback"))
