"""Persistence templates as they are shown; the live ones are in the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """One template as `lasthop templates` shows it: a client and the real server it is bound to."""

    service: str
    client: str
    """The client's address, masked with the service's netmask or prefix6."""
    prefix: int
    """Bits of the mask."""
    real_server: str
    connections: int
    """Live connections that were scheduled by it. While there are any it does not expire."""
    assured: bool
    """One of its connections became assured (LVS: state ASSURED instead of NONE)."""
    expires_s: float
