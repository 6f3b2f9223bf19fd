"""Rooms 1 and 2: tags, the leg they lead to, MAC addresses; and the frame on its way out.

Must not be here: IP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet.model.nouns import Exit, Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.packet.model.nouns import Hop, Leg

TAG_PROTOCOLS = {0x8100, 0x88A8}
MOST_TAGS = 2
_VLAN, _PRIORITY = 0x0FFF, 0xF000


def read(frame: bytes) -> Link:
    """Ethernet's header and the tags behind it."""
    tags: list[tuple[int, int]] = []
    at = 12
    ethertype = int.from_bytes(frame[at : at + 2], "big")
    while ethertype in TAG_PROTOCOLS:
        if len(tags) == MOST_TAGS:
            raise Exit("KERNEL_VLAN")
        if len(frame) < at + 6:
            raise Exit("KERNEL_TRUNCATED")
        tags.append((ethertype, int.from_bytes(frame[at + 2 : at + 4], "big")))
        at += 4
        ethertype = int.from_bytes(frame[at : at + 2], "big")
    return Link(frame[:6], frame[6:12], tags, ethertype, at + 2)


def leg_of(legs: Iterable[Leg], interface: str, link: Link) -> Leg:
    """The leg whose VLANs the frame has; priority tags (IEEE 802.1Q: VLAN 0) are none."""
    vlans = tuple(tag & _VLAN for _, tag in link.tags if tag & _VLAN)
    for leg in legs:
        if leg.interface == interface and leg.vlans == vlans:
            return leg
    raise Exit("KERNEL_VLAN" if vlans else "KERNEL_NO_LEG")


def require_ours(leg: Leg, link: Link) -> None:
    """Whether it is for the director to forward."""
    if link.destination[0] & 1:
        raise Exit("KERNEL_MULTICAST")
    if link.destination not in leg.own:
        raise Exit("KERNEL_FOREIGN_MAC")
    if link.source in leg.own or link.source[0] & 1:
        raise Exit("KERNEL_OWN_SOURCE")


def sent(frame: bytes, link: Link, leg: Leg, hop: Hop) -> bytes:
    """The frame as it leaves: other MAC addresses, the leg's tags, the outer one with its priority if it had one."""
    tags = b""
    for number, (protocol, vlan) in enumerate(leg.tags):
        priority = link.tags[0][1] & _PRIORITY if link.tags and number == 0 else 0
        tags += protocol.to_bytes(2, "big") + (priority | vlan).to_bytes(2, "big")
    return hop.mac + leg.mac + tags + frame[link.ip - 2 :]
