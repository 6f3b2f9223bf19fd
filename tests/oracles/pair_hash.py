"""Which slot of the rendezvous table an unordered IPv4 address pair has; equal on all directors."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address

from tests.oracles import rendezvous

WORD = 1 << 64


def hashed(one: str, other: str) -> int:
    """Return the 32-bit hash: each address is four big-endian words of ::ffff:a.b.c.d, the lower address first."""
    low, high = sorted([0, 0, 0xFFFF, int(IPv4Address(address))] for address in (one, other))
    state = 0
    for low_word, high_word in zip(low, high, strict=True):
        state = (state ^ low_word) * 0x9E3779B97F4A7C15 % WORD
        state = (state ^ (state >> 32) ^ high_word) * 0xBF58476D1CE4E5B9 % WORD
    return state >> 32


@cache
def _table(servers: tuple[tuple[str, int, bool], ...]) -> list[str]:
    return rendezvous.table(list(servers))


def chosen(servers: list[tuple[str, int, bool]], one: str, other: str) -> str:
    """Return the name that (name, weight, usable) and an address pair lead to; there must be a usable one."""
    return _table(tuple(servers))[hashed(one, other) % rendezvous.SLOTS]
