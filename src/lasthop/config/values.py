"""Single values: names, addresses, prefixes, ports, netmasks, MAC addresses.

Owns what a value of each kind may be and what to say when it is not. Every function takes what TOML gave and returns
what the model holds, or raises the PydanticCustomError that `wrong` makes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pydantic_core import PydanticCustomError

from lasthop.config.document import known_words
from lasthop.model.protocol import MAX_PROTOCOL, PROTOCOL_NUMBERS, protocol_name
from lasthop.model.rule import PortRange
from lasthop.model.vlan import FIRST_VLAN, LAST_VLAN
from lasthop.policy.schedulers import SCHEDULERS

#: Type of the errors made here, which carry problem and remedy in an operator's words.
WRONG = "lasthop"

MAX_PORT = 65535
MAX_INTERFACE = 15
ALL_ONES = 0xFFFFFFFF
IPV4_BITS = 32
IPV6_BITS = 128
V4_MAPPED_BITS = 96

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}", re.ASCII)
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", re.ASCII)
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_VLANS = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)
_BITS = re.compile(r"/?([0-9]|[12][0-9]|3[0-2])", re.ASCII)


def wrong(problem: str, remedy: str) -> PydanticCustomError:
    """Return the error that says a value cannot be used."""
    return PydanticCustomError(WRONG, "{problem}", {"problem": problem, "remedy": remedy})


def name(value: object) -> str:
    """Return the name of a director, leg, zone or real server."""
    given = text(value)
    if not _NAME.fullmatch(given):
        raise wrong("is no name lasthop can use", "use 1 to 32 letters, digits, '_' and '-', a letter or digit first")
    return given


def server_name(value: object) -> str:
    """Return the name of a real server: a host's name or an address may be one."""
    given = text(value)
    if not _SERVER_NAME.fullmatch(given):
        raise wrong(
            "is no name lasthop can use", "use 1 to 63 letters, digits, '_', '-', '.' and ':', a letter or digit first"
        )
    return given


def interface(value: object) -> str:
    """Return an interface's name, by the kernel's rules (dev_valid_name in net/core/dev.c)."""
    given = text(value)
    if len(given.encode()) > MAX_INTERFACE:
        raise wrong(
            f"is longer than an interface's name can be ({MAX_INTERFACE} characters)",
            "use the name that 'ip link' shows",
        )
    if given in {"", ".", ".."} or any(c in "/:" or c.isspace() or not c.isprintable() for c in given):
        raise wrong("is no interface's name", "use the name that 'ip link' shows")
    return given


def mac(value: object) -> str:
    """Return a unicast MAC address in lower case."""
    given = text(value).lower()
    if not _MAC.fullmatch(given):
        raise wrong("is no MAC address", 'write six pairs of hexadecimal digits: "00:00:5e:00:01:0a"')
    if int(given[:2], 16) & 1 or given == "00:00:00:00:00:00":
        raise wrong("is not the MAC address of one machine", "use a unicast MAC address (first byte even, not all 0)")
    return given


def vlan(value: object) -> tuple[int, ...]:
    """Return the VLANs of a leg's frames, the outer first: from 100, "100" or "200.100"."""
    parts = _VLANS.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if parts is None:
        raise wrong("is no VLAN", 'write 100, or "200.100" for QinQ: the outer VLAN, a dot, the inner one')
    found = tuple(int(part) for part in parts.groups() if part is not None)
    if not all(FIRST_VLAN <= each <= LAST_VLAN for each in found):
        raise wrong(
            "is no VLAN",
            f"use numbers from {FIRST_VLAN} to {LAST_VLAN}; leave the key out for frames without a tag",
        )
    return found


def address(value: object) -> IPv4Address | IPv6Address:
    """Return the address of a machine, of either family."""
    given = text(value)
    if "/" in given:
        raise wrong("is a prefix, not an address", f'leave the prefix length away: "{given.partition("/")[0]}"')
    try:
        found = ip_address(given)
    except ValueError:
        raise wrong("is no IP address", 'write it like "10.0.1.11" or "2001:db8:1::11"') from None
    if isinstance(found, IPv6Address):
        _require_routable(found)
    if found.is_multicast or found.is_loopback or found.is_unspecified or found == IPv4Address(ALL_ONES):
        raise wrong("is not the address of one machine on a network", "give the address of the box on the leg's subnet")
    return found


def _require_routable(found: IPv6Address) -> None:
    """Refuse what is an IPv6 address by its form only, or on its link only."""
    if found.ipv4_mapped is not None:
        raise wrong("is an IPv4 address written as an IPv6 one", f'write "{found.ipv4_mapped}"')
    if found.is_link_local:
        raise wrong(
            "is a link-local address, which means another machine on each leg",
            "give the box an address of the leg's subnet that a router would forward, from fd00::/8 for instance",
        )
    if found.scope_id is not None:
        raise wrong("names an interface, which is the leg's affair", f'write "{str(found).partition("%")[0]}"')


def prefix(value: object) -> IPv4Network | IPv6Network:
    """Return a prefix of either family; an address alone is a prefix of all its bits."""
    given = text(value)
    if "%" in given:
        raise wrong("names an interface, which is for the key leg", "leave '%' and what follows away")
    try:
        found = ip_network(given, strict=False)
    except ValueError:
        raise wrong(
            "is no IP prefix", 'write "203.0.113.0/24", "2001:db8::/32" or, for one address, "203.0.113.80"'
        ) from None
    host = given.partition("/")[0]
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped is not None:
        mapped = found.network_address.ipv4_mapped
        raise wrong(
            "is an IPv4 prefix written as an IPv6 one", f'write "{mapped}/{max(0, found.prefixlen - V4_MAPPED_BITS)}"'
        )
    if found.network_address != ip_address(host):
        raise wrong(
            "has host bits set, so it is neither a network nor one address",
            f'write "{found}" for the network or "{host}" for the one address',
        )
    return found


def protocol(value: object) -> str:
    """Return a protocol's name, or its number as text where it has none: from "tcp", 89 or "89"."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.isascii() and value.isdecimal():
        number = int(value[:4])
    elif isinstance(value, str) and value in PROTOCOL_NUMBERS:
        return value
    else:
        names = list(PROTOCOL_NUMBERS)
        meant = known_words(value, names) if isinstance(value, str) else f"use one of {', '.join(names)}"
        raise wrong("is no protocol", f"{meant}, or its number: protocol = 89")
    if not 1 <= number <= MAX_PROTOCOL:
        raise wrong("is no protocol's number", f"use 1 to {MAX_PROTOCOL}")
    return protocol_name(number)


def ports(value: object) -> PortRange:
    """Return a port range: from 80, "80" or "8000-8080"."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise wrong("is no port", 'write 80 for one port or "8000-8080" for a range')
    parts = _PORTS.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and not parts:
        raise wrong("is no port or range of ports", 'write 80 for one port or "8000-8080" for a range')
    first = int(parts[1]) if parts else int(value)
    last = int(parts[2] or first) if parts else first
    if not (0 <= first <= MAX_PORT and 0 <= last <= MAX_PORT):
        raise wrong("is no port", f"use numbers from 0 to {MAX_PORT}")
    if first > last:
        raise wrong("is a range that ends before it begins", f'write "{last}-{first}"')
    return PortRange(first, last)


def netmask(value: object) -> int:
    """Return the number of leading ones of a dotted netmask, 1 to 32."""
    bits = _BITS.fullmatch(value) if isinstance(value, str) else None
    number = int(bits[1]) if bits else value
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= IPV4_BITS:
        raise wrong("is a number of bits, not a netmask", f'write "{_dotted(number)}"')
    try:
        mask = int(IPv4Address(text(value)))
    except AddressValueError:
        raise wrong("is no netmask", 'write four numbers, "255.255.255.0"') from None
    inverse = mask ^ ALL_ONES
    if inverse & (inverse + 1):
        leading = IPV4_BITS - inverse.bit_length()
        raise wrong("is not contiguous: a 1 follows a 0", f'write "{_dotted(leading)}" or another netmask')
    if mask == 0:
        raise wrong(
            "makes all clients one, so one real server would get all", 'write "255.255.255.255", or less bits to group'
        )
    return mask.bit_count()


def moment(value: object) -> datetime:
    """Return a moment in UTC."""
    if not isinstance(value, datetime):
        raise wrong("is no date with a time", "write it like 2030-01-31T12:00:00Z, without quotes")
    if value.tzinfo is None:
        raise wrong("does not say in which time zone", "end it with Z, which is UTC, or +02:00")
    return value.astimezone(UTC)


def scheduler(value: object) -> str:
    """Return the name of a scheduler in the registry."""
    given = text(value)
    if given not in SCHEDULERS:
        raise wrong("is no scheduler", known_words(given, list(SCHEDULERS)))
    return given


def scheduler_flag(value: object) -> str:
    """Return a flag that one of the schedulers has; whether it is this one's is for `lasthop.config.crosscheck`."""
    given = text(value)
    known = [flag for each in SCHEDULERS.values() for flag in each.flags]
    if given not in known:
        raise wrong("is no scheduler flag", known_words(given, known))
    return given


def text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise wrong("is not text", "put it in quotes")
    return value


def _dotted(bits: int) -> str:
    """Return the netmask of so many bits, of one bit at least."""
    return str(IPv4Network((0, max(1, bits))).netmask)
