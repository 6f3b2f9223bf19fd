"""Transparency: nothing above layer 2 may change on the way through a director.

Owns the comparison of what entered a director with what left it: every IP packet, byte by byte, time
to live and checksums included.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.lab.capture import Capture
from lasthop.lab.wiring import director_peers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.lab.capture import Frame
    from lasthop.lab.layout import DirectorPlace, Layout
    from lasthop.lab.topology import Topology

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
#: fe80::/10 and ff00::/8 stay on their link.
_LINK = (b"\xfe", b"\xff")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Transparency:
    """What the comparison found at one director."""

    director: str
    entered: int
    left: int
    identical: int
    """Packets that entered and left without a difference in any byte above layer 2."""
    examples: tuple[str, ...]
    """Some of the packets that did not, as hexadecimal text."""

    @property
    def holds(self) -> bool:
        """Whether packets crossed the director, and all of them unchanged and exactly once."""
        return self.entered == self.left == self.identical > 0


def capture(lab: Topology) -> Capture:
    """A capture at the far ends of all directors' legs."""
    return Capture((box, lab.namespace(box), interface) for box, interface in director_peers(lab.layout))


def compare(drawn: Layout, frames: Iterable[Frame]) -> list[Transparency]:
    """Compare, for every director, what entered with what left."""
    kept = list(frames)
    return [_compare(drawn, place, kept) for place in drawn.directors]


def _compare(drawn: Layout, place: DirectorPlace, frames: list[Frame]) -> Transparency:
    ports = [drawn.port(place.name, interface) for interface, _ in place.legs]
    leg_at = {drawn.peer(port): bytes.fromhex(port.mac.replace(":", "")) for port in ports}
    own = {address.ip.packed for port in ports for address in port.addresses}
    own |= {address.ip.packed for port in ports for address in port.addresses6}
    entered: Counter[bytes] = Counter()
    left: Counter[bytes] = Counter()
    for frame in frames:
        mac = leg_at.get((frame.box, frame.interface))
        if mac is None or (found := _packet(frame)) is None:
            continue
        packet, source, destination = found
        if frame.towards_director and frame.data[0:6] == mac and destination not in own:
            entered[packet] += 1
        elif not frame.towards_director and frame.data[6:12] == mac and source not in own:
            left[packet] += 1
    changed = [f"entered only: {packet.hex()}" for packet in entered - left]
    changed += [f"left only: {packet.hex()}" for packet in left - entered]
    return Transparency(place.name, entered.total(), left.total(), (entered & left).total(), tuple(changed[:_SHOWN]))


def _packet(frame: Frame) -> tuple[bytes, bytes, bytes] | None:
    """A frame's IP packet without padding, and its addresses; None for anything else, and what stays on the link."""
    data = frame.data
    if data[12:14] == _IPV4:
        packet = data[14 : 14 + int.from_bytes(data[16:18])]
        return packet, packet[12:16], packet[16:20]
    if data[12:14] == _IPV6:
        packet = data[14 : 54 + int.from_bytes(data[18:20])]
        if not packet[8:24].startswith(_LINK) and not packet[24:40].startswith(_LINK):
            return packet, packet[8:24], packet[24:40]
    return None
