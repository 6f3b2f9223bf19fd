"""Which slot of the rendezvous table an unordered address pair has; equal on all directors."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address

from tests.oracles import rendezvous

WORD = 1 << 64


def hashed(one: str, other: str) -> int:
    """Return the 32-bit hash: each address is four big-endian words, IPv4 ::ffff:a.b.c.d, the lower address first."""
    low, high = sorted(_words(address) for address in (one, other))
    state = 0
    for low_word, high_word in zip(low, high, strict=True):
        state = (state ^ low_word) * 0x9E3779B97F4A7C15 % WORD
        state = (state ^ (state >> 32) ^ high_word) * 0xBF58476D1CE4E5B9 % WORD
    return state >> 32


def _words(address: str) -> list[int]:
    number = int(ip_address(address))
    if "." in address:
        number |= 0xFFFF << 32
    return [number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)]


@cache
def _table(servers: tuple[tuple[str, int, bool], ...]) -> list[str]:
    return rendezvous.table(list(servers))


def chosen(servers: list[tuple[str, int, bool]], one: str, other: str) -> str:
    """Return the name that (name, weight, usable) and an address pair lead to; there must be a usable one."""
    return _table(tuple(servers))[hashed(one, other) % rendezvous.SLOTS]
