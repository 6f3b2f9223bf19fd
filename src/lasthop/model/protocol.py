"""IP protocols: the names that a match and a connection have for their numbers.

Owns the names. A protocol without one is called by its number, ``89``.
"""

from __future__ import annotations

#: Assigned Internet Protocol Numbers (IANA).
PROTOCOL_NUMBERS = {
    "icmp": 1,
    "ipip": 4,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "sctp": 132,
}
MAX_PROTOCOL = 255

#: Protocols with ports.
WITH_PORTS = frozenset({"tcp", "udp", "sctp"})

#: Protocols that only one family has.
FAMILY_OF_PROTOCOL = {"icmp": 4, "icmpv6": 6}

#: IP version by what a configuration calls it.
FAMILIES = {"ipv4": 4, "ipv6": 6}

_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}


def protocol_name(number: int) -> str:
    """``tcp``, ``gre`` ...; the number for those without a name."""
    return _NAMES.get(number, str(number))


def protocol_number(name: str) -> int:
    """The number of a name that `protocol_name` gives."""
    return PROTOCOL_NUMBERS.get(name) or int(name)
