"""A leg: an interface that the data plane is attached to, in one zone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How the data plane is attached to a leg: configuration value of ``mode``."""

    AUTO = "auto"
    """tc on virtual devices, tc with native XDP in front on NICs."""
    TC = "tc"
    """tc only; XDP neither receives from nor transmits to this leg."""
    XDP = "xdp"
    """native XDP in front of tc; an error where the driver has none."""


@dataclass(frozen=True, slots=True)
class Leg:
    """An interface the data plane is attached to. MAC addresses are lower-case ``aa:bb:cc:dd:ee:ff``."""

    name: str
    interface: str
    zone: str
    mode: Mode = Mode.AUTO
    virtual_macs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LegReport:
    """A leg as `lasthop legs` shows it."""

    name: str
    interface: str
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
