"""Real servers: the boxes that take the traffic."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from lasthop.model.statistics import Rates, Statistics

if TYPE_CHECKING:
    from datetime import datetime

Address = IPv4Address | IPv6Address


class Admin(StrEnum):
    """What its operator wants of a real server."""

    ENABLED = "enabled"
    DRAINED = "drained"
    """It gets no new connections and keeps those it has."""
    DISABLED = "disabled"
    """As if it were dead: it gets nothing, and its connections go the way of the service's `on_death`."""


@dataclass(frozen=True, slots=True)
class RealServer:
    """A firewall, or the next-hop router. Its name is the box's identity everywhere."""

    name: str
    address: Address
    weight: int = 1
    leg: str | None = None
    """None: the leg whose subnet holds the address."""
    upper_threshold: int = 0
    """Connections from which on it gets no new ones (LVS: u-threshold); 0: no limit."""
    lower_threshold: int = 0
    """Connections below which it gets new ones again; 0: three quarters of `upper_threshold`."""
    admin: Admin = Admin.ENABLED
    drain_until: datetime | None = None
    """When one that is drained becomes disabled, in UTC; None: never by itself."""
    other_addresses: tuple[Address, ...] = ()
    """Further addresses of the box, of either family: packets to them go to it."""
    health_target: Address | None = None
    """Whom the service's health check asks in its name; None: as the check says."""
    backup_of: str = ""
    """Name of the real server whose place it takes, connections and all, while that one is down or disabled."""


@dataclass(frozen=True, slots=True)
class ServerReport:
    """A real server of one service as `lasthop servers` shows it."""

    name: str
    service: str
    address: str
    weight: int
    effective_weight: float
    """By which new connections are given to it now: a whole number but in its slow start."""
    health: str
    """``up``; ``down`` by its leg or a health check; ``unresolved`` while the kernel knows no MAC address for it;
    ``standby``: a backup whose time has not come."""
    active: int
    inactive: int
    persistent: int
    leg: str
    mac: str
    """Empty while unresolved."""
    upper_threshold: int = 0
    lower_threshold: int = 0
    admin: str = "enabled"
    """``enabled``, ``drained`` or ``disabled``."""
    other_addresses: tuple[str, ...] = ()
    stand_in: str = ""
    """Name of the backup that is in its place: leg, address and MAC address are that one's."""
    overloaded: bool = False
    """It reached its upper threshold and gets no new connections until they are fewer (LVS: IP_VS_DEST_F_OVERLOAD)."""
    statistics: Statistics = field(default_factory=Statistics)
    rates: Rates = field(default_factory=Rates)
