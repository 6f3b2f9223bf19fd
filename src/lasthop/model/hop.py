"""Hops as they are shown: where frames are sent, shared by all connections that go there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HopReport:
    """One hop as `lasthop hops` shows it."""

    id: int
    leg: str
    mac: str
    vlan: str | None
    """Of its leg: ``100``, or ``200.100`` for QinQ."""
    address: str
    """The neighbour's IP address where it is known, else empty."""
    name: str
    """The real server's name where leg and MAC are one's, else empty."""
    connections: int
    """Connections that forward to it or have it as their last hop."""
    moved: int
    """How often its MAC address changed."""
    role: str = ""
    """``gateway`` of its leg, ``neighbour`` that the kernel knows, or empty: learned, or a real server's alone."""
