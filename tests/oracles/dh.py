"""Destination hashing, as LVS's source fills its 256 buckets: one after the other, whatever the weight."""

from __future__ import annotations

from tests.oracles.sh import SLOTS, hash_32


def choose(weights: list[int], address: int) -> int | None:
    """Return the index for an IPv4 address as a number; None if it has no weight."""
    filled = [slot % len(weights) for slot in range(SLOTS)] if weights else []
    found = filled[hash_32(address)] if filled else None
    return None if found is None or weights[found] == 0 else found
