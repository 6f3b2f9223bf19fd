"""Whether a frame can go the way that was found for it: never back, never through what is down, never what is too big.

Must not be here: how the way is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet.model.nouns import Exit

if TYPE_CHECKING:
    from tests.packet.model.memory import Memory
    from tests.packet.model.nouns import Hop, Leg, Link, Packet, Place


def require(memory: Memory, hop: Hop | None, came: Place, packet: Packet, link: Link) -> Leg:
    """The leg to leave through."""
    if hop is None or hop.leg not in memory.legs:
        raise Exit("DROP_NO_HOP")
    if hop.place == came:
        raise Exit("DROP_LOOP")
    leg = memory.legs[hop.leg]
    if not leg.up:
        raise Exit("DROP_LEG_DOWN")
    if packet.size > leg.mtu:
        raise Exit("FORWARDED_TOO_BIG" if may_be_told(packet, link) else "KERNEL_TOO_BIG")
    return leg


def may_be_told(packet: Packet, link: Link) -> bool:
    """Whether the sender of a packet that is too big is told so, and the kernel left out of it."""
    return not packet.may_be_fragmented and not packet.error and not link.tags
