"""Which slot of a table a packet's addresses lead to, as the data plane finds it.

For explanations: packets find theirs in bpf/by_hash.h, and a test holds the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    Endpoint = tuple[IPv4Address | IPv6Address, int]

_WORD, _LONG = (1 << 32) - 1, (1 << 64) - 1
#: include/linux/hash.h: GOLDEN_RATIO_32; of the product the upper eight bits are the slot.
_GOLDEN_RATIO, _SHIFT = 0x61C88647, 24


def pair_hash(one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address) -> int:
    """Hash of an unordered pair of addresses, the same on every director."""
    hashed = 0
    for low, high in zip(*sorted((_words(one), _words(other))), strict=True):
        hashed = (hashed ^ low) * 0x9E3779B97F4A7C15 & _LONG
        hashed = (hashed ^ (hashed >> 32) ^ high) * 0xBF58476D1CE4E5B9 & _LONG
    return hashed >> 32


def mixed_with_ports(hashed: int, one: Endpoint, other: Endpoint) -> int:
    """The same of two endpoints, for the flag mh-port."""
    (_, low), (_, high) = sorted((one, other), key=lambda end: (_words(end[0]), end[1]))
    return _mix(hashed ^ (low << 16 | high))


def address_slot(address: IPv4Address | IPv6Address, port: int = 0) -> int:
    """Slot of sh and dh: of one address, and with the flag sh-port its port."""
    words = _words(address)
    folded = words[3] if address.version == 4 else words[0] ^ words[1] ^ words[2] ^ words[3]  # noqa: PLR2004 -- IP
    return ((folded + port) * _GOLDEN_RATIO & _WORD) >> _SHIFT


def _words(address: IPv4Address | IPv6Address) -> list[int]:
    """Four words in network order; IPv4 as ::ffff:a.b.c.d."""
    if address.version == 4:  # noqa: PLR2004 -- IP version
        return [0, 0, 0xFFFF, int(address)]
    return [int(address) >> shift & _WORD for shift in (96, 64, 32, 0)]


def _mix(number: int) -> int:
    number = (number ^ (number >> 16)) * 0x85EBCA6B & _WORD
    number = (number ^ (number >> 13)) * 0xC2B2AE35 & _WORD
    return number ^ (number >> 16)
