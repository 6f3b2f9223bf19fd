"""Maglev hashing over names: Eisenbud et al., NSDI 2016, figure 3, with exact shares for weights."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from hashlib import blake2b

from tests.oracles import pair_hash

SLOTS = 1021
WORD = 1 << 32
End = tuple[str, int]


@cache
def table(servers: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Return the name in each slot for (name, weight), whose weights must be above 0; names in order."""
    parts = {name: Fraction(SLOTS * weight, sum(weight for _, weight in servers)) for name, weight in servers}
    share = {name: int(part) for name, part in parts.items()}
    for name in sorted(parts, key=lambda name: share[name] - parts[name])[: SLOTS - sum(share.values())]:
        share[name] += 1
    entry: dict[int, str] = {}
    preference = {}
    for name in share:
        digest = blake2b(name.encode(), digest_size=16, person=b"lasthop-mh").digest()
        offset, skip = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") % (SLOTS - 1) + 1
        preference[name] = iter([(offset + j * skip) % SLOTS for j in range(SLOTS)])
    while len(entry) < SLOTS:
        for name, most in share.items():
            if list(entry.values()).count(name) < most:
                entry[next(slot for slot in preference[name] if slot not in entry)] = name
    return tuple(entry[slot] for slot in range(SLOTS))


def mix(number: int) -> int:
    """Return MurmurHash3's finaliser of 32 bits."""
    number = (number ^ number >> 16) * 0x85EBCA6B % WORD
    number = (number ^ number >> 13) * 0xC2B2AE35 % WORD
    return number ^ number >> 16


def chosen(servers: list[tuple[str, int]], full: set[str], one: End, other: End, flags: set[str]) -> str | None:
    """Return the name for a connection between two (address, port); who is `full` takes none."""
    low, high = sorted([one, other], key=lambda end: tuple(map(int, end[0].split("."))))
    value = pair_hash.hashed(low[0], high[0])
    if "mh-port" in flags:
        value = mix(value ^ (low[1] << 16 | high[1]))
    slots = table(tuple(servers))
    tries = [value % SLOTS]
    if "mh-fallback" in flags:
        tries += [mix((value + (tries[0] + i) % SLOTS) % WORD) % SLOTS for i in range(SLOTS)]
    return next((slots[slot] for slot in tries if slots[slot] not in full), None)
