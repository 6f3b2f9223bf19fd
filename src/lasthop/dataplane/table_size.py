"""How big the connection table is made for a number of connections.

Owns that arithmetic and nothing else: buckets, slots, quotas, bytes.
"""

from __future__ import annotations

#: Ways of a bucket: WAYS in bpf/abi.h.
WAYS = 16
#: A table this full, in hundredths, still finds room for nearly every connection in one of its two buckets.
_FULL_PERCENT = 78
#: struct bucket and its connections.
_BUCKET_BYTES = 64 + WAYS * 128
#: The kernel refuses a hash map with more (its buckets are counted in 32 bits of bytes).
_MOST_TEMPLATES = 1 << 27


def buckets_for(connections: int) -> int:
    """Buckets of a table that is to hold `connections`."""
    return -(-connections * 100 // (WAYS * _FULL_PERCENT))


def connections_of(buckets: int) -> int:
    """The most connections whose table has no more than `buckets`."""
    return buckets * WAYS * _FULL_PERCENT // 100


def noted_or_computed(buckets: int, *noted: int) -> int:
    """For how many connections a table was made: the first of `noted` that fits its size, or the most that do."""
    return next((each for each in noted if each and buckets_for(each) == buckets), connections_of(buckets))


def unassured_quotas(connections: int) -> tuple[int, int]:
    """How many connections may be unassured in all, and of one service."""
    return connections // 2, connections * 3 // 8


def templates_for(connections: int) -> int:
    """Persistence templates that go with a table."""
    return min(connections, _MOST_TEMPLATES)


def memory_bytes(connections: int) -> int:
    """Memory of the table, all of which is taken when it is made."""
    return buckets_for(connections) * _BUCKET_BYTES
