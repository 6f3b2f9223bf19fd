"""The rendezvous table in whole numbers, from its description: a slot is the name's that scores highest for it."""

from __future__ import annotations

from hashlib import blake2b

SLOTS = 1021
WORD = 1 << 64


def score(name: str, slot: int) -> int:
    """Return output number `slot` of splitmix64 seeded with the name's 8-byte BLAKE2b digest (little-endian)."""
    state = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
    state = (state + (slot + 1) * 0x9E3779B97F4A7C15) % WORD
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % WORD
    return state ^ (state >> 31)


def table(servers: list[tuple[str, int, bool]]) -> list[str]:
    """Return the name for each slot from (name, weight, usable): of those with weight, else of all that are usable."""
    usable = [(name, weight) for name, weight, is_usable in servers if is_usable]
    names = [name for name, weight in usable if weight > 0] or [name for name, _ in usable]
    return [max(names, key=lambda name: score(name, slot)) for slot in range(SLOTS)] if names else []
