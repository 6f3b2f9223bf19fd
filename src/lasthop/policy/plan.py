"""The plan: what the data plane shall hold, in names and numbers a person can read.

Owns the plan's types. How they are laid out in maps is `lasthop.dataplane`'s business; how they
follow from configuration and observation is `lasthop.policy.compile`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from lasthop.model.director import Settings
from lasthop.model.leg import ReplyTo
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath, Related

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from lasthop.model.director import Timeouts
    from lasthop.model.leg import Mode
    from lasthop.model.real_server import Address
    from lasthop.model.rule import Network, PortRange
    from lasthop.model.service import VirtualAddress, WhenEmpty
    from lasthop.model.vlan import Vlan


class Choice(IntEnum):
    """The ways the data plane knows to choose a real server (enum choice in bpf/abi.h)."""

    BY_TURN = 0
    """Next slot of `PlannedService.turns`."""
    BY_LOAD_WLC = 1
    """Least (active * 256 + inactive) / weight over `PlannedService.servers`."""
    BY_LOAD_LC = 2
    """Least active * 256 + inactive."""
    BY_LOAD_SED = 3
    """Least (active + 1) / weight."""
    BY_LOAD_NQ = 4
    """The first without active connections, else as BY_LOAD_SED."""
    BY_LOAD_OVF = 5
    """The highest weight of those whose active connections are not more than their weight."""
    BY_LOAD_TWOS = 6
    """Of two drawn by weight the one with less (active * 256 + inactive) / weight."""
    BY_RENDEZVOUS = 7
    """`PlannedService.fallback`, as for packets that open nothing."""
    BY_SOURCE = 8
    """`PlannedService.turns` by hash of the source address."""
    BY_DESTINATION = 9
    """The same of the destination address."""
    BY_PAIR = 10
    """The same of the unordered address pair, or with ``mh-port`` of both endpoints."""
    BY_LOCALITY = 11
    """The destination's real server, as long as that is not overloaded, else as BY_LOAD_WLC."""
    BY_LOCALITY_SET = 12
    """The least loaded of the destination's set of real servers, which grows in the same way."""
    BY_ORDER = 13
    """The first of `PlannedService.turns` that is not overloaded."""


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """A leg with what the kernel says about its interface."""

    name: str
    zone: str
    mode: Mode
    interface: str
    ifindex: int
    mac: str
    mtu: int
    up: bool
    own_macs: frozenset[str]
    """Destination MAC addresses that mean "for the director to forward", the leg's own included."""
    virtual: bool = False
    """Made by software: mode auto means tc there."""
    strips_tags: bool = False
    """The interface takes VLAN tags out of frames where XDP does not see them: no XDP there."""
    vlan: Vlan | None = None
    device: int = 0
    """ifindex of the interface whose addresses and neighbours are the leg's: its own, or the VLAN device upon it; 0 for
    a tagged leg without one: then they are the interface's, and nothing can be resolved."""
    subnets: tuple[IPv4Network | IPv6Network, ...] = ()
    """Of the addresses there."""
    reply_to: ReplyTo = ReplyTo.SOURCE_MAC
    gateways: tuple[Address, ...] = ()
    strict: bool = False

    @property
    def neighbours_on(self) -> int:
        """ifindex of the interface whose neighbours are the leg's."""
        return self.device or self.ifindex

    @property
    def knows_neighbours(self) -> bool:
        """Whether packets on it ask who the kernel's neighbours are."""
        return self.strict or self.reply_to is ReplyTo.NEIGHBOUR


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """One rule of the classifier; None and 0-65535 mean "any"."""

    service: str | None
    """Label of the service; None for a pass rule."""
    leg: str | None
    source_real_server: str | None
    """A name, or ``*`` for any real server."""
    protocol: int | None
    source: Network | None
    destination: Network | None
    source_ports: PortRange
    destination_ports: PortRange
    dscp: int | None
    family: int | None = None
    """4 or 6; of a rule with prefixes theirs."""
    place: str = field(default="", compare=False)
    """Key of its match in the configuration, such as ``service[0].match[1]``; for show."""


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A real server of one service."""

    name: str
    address: Address
    leg: str
    mac: str | None
    """None while the kernel knows no MAC address."""
    weight: int
    """What it is scheduled by while it is usable: as configured, or 0 while it is drained."""
    usable: bool
    """May be sent packets now."""
    upper_threshold: int = 0
    lower_threshold: int = 0
    admin: Admin = Admin.ENABLED
    configured_weight: int = 1
    other_addresses: tuple[Address, ...] = ()
    down: bool = False
    """A health check says so."""
    died: bool = False
    """It is down, and its service's grace is over."""
    stand_in: str = ""
    """Name of the backup that is in its place, whose address, leg and MAC address these are."""
    standby: bool = False
    """It is a backup, or the box whose place its backup has: nothing is sent to it."""

    @property
    def dead(self) -> bool:
        """Its connections go the way of the service's `on_death`."""
        return self.died or self.admin is Admin.DISABLED

    @property
    def effective_weight(self) -> int:
        """The weight new connections are scheduled by."""
        return self.weight if self.usable else 0


@dataclass(frozen=True, slots=True)
class PlannedService:
    """A virtual service with everything the data plane looks up for it."""

    label: str
    mark: int
    choice: Choice
    scheduler: str
    servers: tuple[PlannedServer, ...]
    turns: tuple[int, ...]
    """Indices into `servers`, visited in order by `Choice.BY_TURN`."""
    fallback: tuple[int, ...]
    """Rendezvous table: index into `servers` by hash of the unordered address pair; empty if none is usable."""
    persistence_s: float | None
    persistence_prefix: int
    when_empty: WhenEmpty
    scheduler_flags: tuple[str, ...] = ()
    zone: str | None = None
    """Of its real servers; None if it has none."""
    virtual_address: VirtualAddress | None = None
    one_packet: bool = False
    expire_quiescent_template: bool = False
    on_death: OnDeath = OnDeath.KEEP
    persistence_prefix6: int = 128
    related: Related = Related.NONE
    below_quorum: bool = False
    """None of its real servers is used."""
    weight_scale: int = 1
    """All weights are so many times larger than configured, while one of its real servers is in its slow start."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the data plane shall hold."""

    legs: tuple[PlannedLeg, ...]
    rules: tuple[PlannedRule, ...]
    """In the order they are tried: pass rules first, then mark rules in file order."""
    services: tuple[PlannedService, ...]
    local: frozenset[IPv4Network | IPv6Network]
    server_addresses: tuple[tuple[str, Address, str, str], ...]
    """(zone, address, service label, real server): packets to the address go to that real server."""
    timeouts: Timeouts
    settings: Settings = field(default_factory=Settings)
    closes: bool = False
    """What is detached lets nothing be forwarded."""
    neighbours: tuple[tuple[str, str, Address], ...] = field(default=(), compare=False)
    """(leg, MAC, address): whom the kernel knows there. Hops follow it; a change of it makes no other plan."""
