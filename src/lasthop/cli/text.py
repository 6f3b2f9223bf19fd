"""How numbers, ages and missing values are spelt for people. JSON never passes through here."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.api.client import Report

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S

ABSENT = "-"

_UNITS_S = {"": 1, "s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}


def duration(seconds: float) -> str:
    """The two largest units of an age, rounded down: ``12s``, ``1m12s``, ``3h05m``, ``5d00h``."""
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole}s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S}m{whole % MINUTE_S:02}s"
    if whole < DAY_S:
        return f"{whole // HOUR_S}h{whole % HOUR_S // MINUTE_S:02}m"
    return f"{whole // DAY_S}d{whole % DAY_S // HOUR_S:02}h"


def seconds(text: str) -> int:
    """The reverse, for one number with one unit: ``90``, ``90s``, ``10m``, ``2h``, ``1d``. Raises ValueError."""
    number = text.rstrip("smhd")
    unit = text[len(number) :]
    if not (number.isascii() and number.isdecimal() and unit in _UNITS_S):
        raise ValueError(text)
    return int(number) * _UNITS_S[unit]


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 leg``, ``2 legs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def present(value: object) -> str:
    """The value, or ``-`` where there is none, so that every row has every column."""
    return ABSENT if value is None or value == "" else str(value)


def endpoint(address: str, port: int) -> str:
    """An address with its port, if it has one; an IPv6 address then in brackets."""
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def conversation(report: Report) -> str:
    """Protocol and both ends; of ICMP the identifier, and of GRE the key, where others have ports."""
    ports, ends = (report["source_port"], report["destination_port"]), (report["source"], report["destination"])
    protocol = report["protocol"]
    if protocol in {"tcp", "udp", "sctp"}:
        return f"{protocol} {' > '.join(endpoint(end, port) for end, port in zip(ends, ports, strict=True))}"
    told = ""
    if protocol in {"icmp", "icmpv6"} and ports[0]:
        told = f" id {ports[0]}"
    elif protocol == "gre" and any(ports):
        low, high = ports if ip_address(ends[0]) < ip_address(ends[1]) else ports[::-1]  # type: ignore[operator]  # one family
        told = f" key {low << 16 | high}"
    return f"{protocol} {' > '.join(ends)}{told}"
