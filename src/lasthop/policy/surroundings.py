"""What a plan needs to know about the machine it is made for.

Owns the types only. The director fills them from what it observed of the network; nothing here asks the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

    from lasthop.model.real_server import Address
    from lasthop.model.vlan import VlanProtocol


@dataclass(frozen=True, slots=True)
class SeenLink:
    """A network interface as it is now. MAC addresses are lower-case ``aa:bb:cc:dd:ee:ff``."""

    ifindex: int
    mac: str
    """Empty for an interface without a link-layer address."""
    mtu: int
    up: bool
    """Administratively up and with carrier."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    child_macs: frozenset[str] = frozenset()
    """MAC addresses of the macvlan interfaces on top of it (VRRP makes such)."""
    virtual: bool = False
    """Made by software, such as veth or a bridge."""
    parent: int | None = None
    """The interface it sits on."""
    tag: tuple[VlanProtocol, int] | None = None
    """Of a VLAN interface: what its frames have on the interface below."""
    strips_tags: bool = False
    """Takes VLAN tags out of the frames it receives, where XDP does not see them."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Links, local destinations and neighbours at one moment."""

    links: Mapping[str, SeenLink] = field(default_factory=dict)
    """By interface name."""
    local: frozenset[IPv4Network | IPv6Network] = frozenset()
    """Destinations the kernel delivers to itself or broadcasts."""
    neighbours: Mapping[tuple[int, Address], str] = field(default_factory=dict)
    """(ifindex, address) -> MAC address, for entries the kernel holds valid."""
