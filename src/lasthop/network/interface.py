"""What the director may ask of the kernel's network configuration.

Owns the protocol `Network` and the observations it returns. No netlink here: that is
`lasthop.network.kernel`; `lasthop.network.fake` is the same thing in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

    from lasthop.model.real_server import Address
    from lasthop.model.vlan import VlanProtocol


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface as it is now."""

    ifindex: int
    name: str
    mac: str
    """Lower case, colons; empty for interfaces without a link-layer address."""
    mtu: int
    up: bool
    """Administratively up and with carrier."""
    kind: str = ""
    """IFLA_INFO_KIND: ``veth``, ``bridge``, ``macvlan``, ``bond``, ``vlan`` ...; empty for a NIC."""
    parent: int | None = None
    """IFLA_LINK: the interface it sits on, for macvlan and VLAN interfaces of this namespace."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    driver: str = ""
    """As ``ethtool -i`` says it; empty where the kernel names none, such as the loopback interface."""
    tag: tuple[VlanProtocol, int] | None = None
    """Of a VLAN interface: what its frames have on the interface below."""
    rxvlan: bool = False
    """Takes VLAN tags out of the frames it receives, where XDP does not see them."""

    @property
    def virtual(self) -> bool:
        """No hardware of its own: made by software (`kind`), or without a driver."""
        return bool(self.kind) or not self.driver


@dataclass(frozen=True, slots=True)
class Observation:
    """The network configuration at one moment."""

    links: dict[str, Link] = field(default_factory=dict)
    """By interface name."""
    local: frozenset[IPv4Network | IPv6Network] = frozenset()
    """Destinations the kernel delivers to itself or broadcasts: routes of the table ``local``."""
    neighbours: dict[tuple[int, Address], str] = field(default_factory=dict)
    """(ifindex, address) -> MAC address, valid entries only (REACHABLE, STALE, DELAY, PROBE, PERMANENT)."""


class Network(Protocol):
    """Links, addresses and neighbours of this process's network namespace."""

    def observe(self) -> Observation:
        """Read everything now. Raises NetworkError if netlink refuses."""

    def keep_resolved(self, wanted: frozenset[tuple[int, Address]]) -> None:
        """Have the kernel resolve these (ifindex, address) pairs and keep the entries fresh.

        Idempotent. Pairs wanted by an earlier call and no longer named are left to age out. An
        entry the operator made permanent is left alone. A pair whose interface is gone is skipped.
        """

    def changes(self) -> int:
        """A file descriptor that becomes readable when links, addresses, routes or neighbours may have changed."""

    def drain(self) -> None:
        """Read away what `changes` announced; then `observe` tells what is."""

    def close(self) -> None:
        """Release sockets. Neighbour entries stay."""
