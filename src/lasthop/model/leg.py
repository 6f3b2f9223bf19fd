"""A leg: an interface that the data plane is attached to, or one VLAN of it, in one zone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.model.real_server import Address
    from lasthop.model.vlan import Vlan


class Mode(StrEnum):
    """How the data plane is attached to a leg: configuration value of ``mode``."""

    AUTO = "auto"
    """tc on virtual devices, tc with native XDP in front on NICs."""
    TC = "tc"
    """tc only; XDP neither receives from nor transmits to this leg."""
    XDP = "xdp"
    """native XDP in front of tc; an error where the driver has none."""


class ReplyTo(StrEnum):
    """What becomes the last hop of connections from a leg: configuration value of ``reply_to``."""

    SOURCE_MAC = "source-mac"
    """The MAC address that each request came from."""
    NEIGHBOUR = "neighbour"
    """What the kernel's neighbour table says: the host on the link, or the leg's gateway for everybody beyond."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What the data plane is attached to. MAC addresses are lower-case ``aa:bb:cc:dd:ee:ff``."""

    name: str
    interface: str
    zone: str
    mode: Mode = Mode.AUTO
    virtual_macs: tuple[str, ...] = ()
    vlan: Vlan | None = None
    """None: its frames have no tag."""
    reply_to: ReplyTo = ReplyTo.SOURCE_MAC
    gateways: tuple[Address, ...] = ()
    """Routers on the leg, the first that is known first."""
    strict: bool = False
    """Only MAC addresses that the director knows become last hops."""


@dataclass(frozen=True, slots=True)
class LegReport:
    """A leg as `lasthop legs` shows it."""

    name: str
    interface: str
    vlan: str | None
    """``100``, or ``200.100`` for QinQ; None for a leg whose frames have no tag."""
    zone: str
    mode: str
    """What is attached: ``tc`` or ``xdp+tc``."""
    mac: str
    mtu: int
    state: str
    """``up``, ``down`` or ``missing``."""
    xdp_transmit: bool
    """Whether XDP frames may leave through this leg (proved by a test frame)."""
    hops: int
    """Hops learned or resolved on this leg."""
    reply_to: str = ReplyTo.SOURCE_MAC.value
    """``source-mac`` or ``neighbour``."""
    strict: bool = False
