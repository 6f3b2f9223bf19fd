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

    In rounds, each name that has not all of its share takes the next free slot of its own permutation of them. In LVS a
    name of weight n takes n slots in a round, and large weights are shifted right; here shares are exact to a slot.
    """
    shares = _shares(weights)
    steps = [_permutation(name) for name in names]
    slots = [-1] * SLOTS
    while any(shares):
        for place, (offset, skip) in enumerate(steps):
            if not shares[place]:
                continue
            while slots[offset] >= 0:
                offset = (offset + skip) % SLOTS  # noqa: PLW2901 -- the walk goes on in the next round
            slots[offset] = place
            shares[place] -= 1
            steps[place] = (offset, skip)
    return tuple(slots)


def _shares(weights: tuple[int, ...]) -> list[int]:
    """Return how many slots each weight gets: its part, rounded down, and one more for the largest rests."""
    total = sum(weights)
    shares = [SLOTS * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: -(SLOTS * weights[place] % total))
    for place in by_rest[: SLOTS - sum(shares)]:
        shares[place] += 1
    return shares


def _permutation(name: str) -> tuple[int, int]:
    """Where a name's walk over the slots begins, and its step."""
    digest = blake2b(name.encode(), digest_size=16, person=b"lasthop-mh").digest()
    offset, skip = (int.from_bytes(half, "little") for half in (digest[:8], digest[8:]))
    return offset % SLOTS, skip % (SLOTS - 1) + 1


MH = Scheduler(name="mh", choice=Choice.BY_PAIR, turns=turns, flags=("mh-port", "mh-fallback"))
