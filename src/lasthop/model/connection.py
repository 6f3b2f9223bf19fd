"""Connections as they are shown; the live ones are in the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HopName:
    """A hop as a connection shows it."""

    leg: str
    mac: str
    vlan: str | None
    """Of its leg: ``100``, or ``200.100`` for QinQ."""
    name: str
    """The real server's name, or empty."""


@dataclass(frozen=True, slots=True)
class EachWay:
    """A count per direction."""

    request: int
    response: int


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One connection as `lasthop connections` shows it; addresses as the originator sent them."""

    zone: str
    protocol: str
    source: str
    source_port: int
    """For ICMP and ICMPv6 queries: the identifier, in both port fields. 0: a protocol without ports."""
    destination: str
    destination_port: int
    state: str
    assured: bool
    service: str
    """Empty for a connection to a real server's own address."""
    real_server: str
    forward_hop: HopName
    last_hop: HopName
    packets: EachWay
    bytes: EachWay
    """From the IP header on, as LVS counts."""
    age_s: float
    idle_s: float
    expires_s: float
    key: int | None = None
    """GRE: its key. None: it has none (or 0, which cannot be told from none), and of other protocols."""
    bypassed: bool = False
    """Its requests are left to the kernel's routes."""
