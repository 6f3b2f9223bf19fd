"""Virtual services: what a mark leads to (an LVS fwmark service)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from lasthop.model.statistics import Rates, Statistics

if TYPE_CHECKING:
    from lasthop.model.health import HealthCheck
    from lasthop.model.real_server import Address, RealServer
    from lasthop.model.rule import Match

IPV6 = 6


class WhenEmpty(StrEnum):
    """What happens to packets of a service that has no usable real server."""

    DROP = "drop"
    KERNEL = "kernel"
    """Each is left to the kernel's routes."""
    BYPASS = "bypass"
    """Likewise, and so are their connections for as long as they live."""


class OnDeath(StrEnum):
    """What happens to the connections of a real server that is disabled, or that its checks find dead."""

    KEEP = "keep"
    """They are sent to it as before."""
    REBALANCE = "rebalance"
    """The next request of each goes to another real server, by rendezvous, and the connection stays there."""
    RESET = "reset"
    """TCP: each side gets a RST in answer to its next packet. Everything else is dropped."""
    DROP = "drop"
    BYPASS = "bypass"
    """They are left to the kernel's routes, which may lead past the firewalls."""


class Related(StrEnum):
    """Whether a new connection goes where another one of its addresses goes."""

    NONE = "none"
    ADDRESS_PAIR = "address-pair"
    """It goes to the real server of the oldest live connection between its two addresses."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """Same client, same real server: LVS persistence templates."""

    timeout: float = 360
    """Seconds; restarted by each new connection of the client."""
    prefix: int = 32
    """Leading bits of the client's IPv4 address that tell clients apart (LVS: netmask)."""
    prefix6: int = 128
    """The same of an IPv6 address."""


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """What a service by address takes: LVS's ``-t``, ``-u`` and ``--sctp-service``."""

    protocol: str
    """``tcp``, ``udp`` or ``sctp``."""
    address: Address
    port: int
    """0: every port."""

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == IPV6 else str(self.address)
        return f"{self.protocol.upper()} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Service:
    """A virtual service: real servers, how one is chosen, and which packets it gets."""

    mark: int
    """0: by address."""
    matches: tuple[Match, ...]
    """Of a service by mark: which packets get the mark, beside `Configuration.mark_rules`."""
    real_servers: tuple[RealServer, ...]
    scheduler: str = "wlc"
    persistence: Persistence | None = None
    when_empty: WhenEmpty = WhenEmpty.DROP
    on_death: OnDeath = OnDeath.REBALANCE
    scheduler_flags: tuple[str, ...] = ()
    """LVS's: ``sh-port``, ``sh-fallback``."""
    virtual_address: VirtualAddress | None = None
    """None: by mark."""
    one_packet: bool = False
    """Every UDP packet is scheduled by itself (LVS: ops)."""
    related: Related = Related.NONE
    health: HealthCheck | None = None
    """None: its real servers are not checked."""
    grace: float = 0.0
    """Seconds that a real server must be down before `on_death` is for its connections."""
    quorum: int = 0
    """Weight of real servers that are up and usable below which the service is empty (keepalived: quorum)."""
    hysteresis: int = 0
    """What must be there beyond the quorum before it is not empty any more (keepalived: hysteresis)."""
    slow_start: float = 0.0
    """Seconds in which a real server that comes, or comes back, is brought to its weight."""
    family: str = ""
    """``ipv6``: of a mark, beside the service for its other packets (LVS: ``-f 1 -6``); empty: both families."""
    label: str = field(init=False, repr=False, compare=False)
    """The service's name in output, as ipvsadm prints it: ``FWM 1``, ``FWM 1 IPv6``, ``TCP 203.0.113.80:80``."""

    def __post_init__(self) -> None:
        """Write the label once: it is asked for again and again, by whoever looks a service up."""
        mark = f"FWM {self.mark} IPv6" if self.family else f"FWM {self.mark}"
        label = mark if self.virtual_address is None else str(self.virtual_address)
        object.__setattr__(self, "label", label)


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """A virtual service as `lasthop services` shows it."""

    service: str
    scheduler: str
    persistence_s: float | None
    when_empty: str
    real_servers: int
    usable: int
    """Real servers that can be given new connections now."""
    active: int
    inactive: int
    persistent: int
    """Live persistence templates."""
    scheduler_flags: tuple[str, ...] = ()
    on_death: str = "rebalance"
    persistence_prefix: int = 32
    """Leading bits of an IPv4 client's address that persistence tells clients apart by."""
    persistence_prefix6: int = 128
    """The same of an IPv6 client."""
    one_packet: bool = False
    related: str = "none"
    below_quorum: bool = False
    """Too few of its real servers are up: none of them is used."""
    statistics: Statistics = field(default_factory=Statistics)
    rates: Rates = field(default_factory=Rates)
