"""Source hashing, as LVS's source fills its 256 buckets and looks an address up."""

from __future__ import annotations

SLOTS = 256


def buckets(weights: list[int]) -> list[int]:
    """Return the index in each bucket: each as often in a row as its weight, weight 0 once, round the list."""
    filled: list[int] = []
    index = count = 0
    while weights and len(filled) < SLOTS:
        filled.append(index)
        count += 1
        if count >= weights[index]:
            index, count = (index + 1) % len(weights), 0
    return filled


def hash_32(number: int) -> int:
    """Knuth's multiplicative hash with the golden ratio, as include/linux/hash.h has it; the upper eight bits."""
    return (number * 0x61C88647 & 0xFFFFFFFF) >> 24


def choose(weights: list[int], address: int, port: int = 0, *, fallback: bool = False) -> int | None:
    """Return the index for an IPv4 address as a number; `port` is that of sh-port, `fallback` is sh-fallback."""
    filled = buckets(weights)
    if not filled:
        return None
    first = hash_32(address + port)
    if weights[filled[first]] > 0:
        return filled[first]
    for offset in range(SLOTS if fallback else 0):
        found = filled[((offset + first) % SLOTS + first) % SLOTS]
        if weights[found] > 0:
            return found
    return None
