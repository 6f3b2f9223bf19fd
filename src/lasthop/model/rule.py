"""Mark rules and pass rules: the XDP form of ``iptables ... -j MARK``."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

#: `Match.source_real_server` value that means "from whichever real server".
ANY_REAL_SERVER = "*"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports `first`..`last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions on a packet, all of which must hold; an empty tuple means "any"."""

    legs: tuple[str, ...] = ()
    source_real_servers: tuple[str, ...] = ()
    """Names of real servers, or ``("*",)`` for any: the frame's source MAC is one's."""
    protocols: tuple[str, ...] = ()
    """As `lasthop.model.protocol.protocol_name` has them."""
    families: tuple[str, ...] = ()
    """``ipv4``, ``ipv6``."""
    sources: tuple[Network, ...] = ()
    destinations: tuple[Network, ...] = ()
    source_ports: tuple[PortRange, ...] = ()
    destination_ports: tuple[PortRange, ...] = ()
    dscp: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PassRule:
    """Traffic that is never balanced: it goes to the kernel before all services."""

    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class MarkRule:
    """Packets that get a mark, whether or not there is a service of it: tried after the matches of the services."""

    mark: int
    match: Match
