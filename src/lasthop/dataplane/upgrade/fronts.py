"""The programs that take over, in front of those of before, leg by leg; and in their place at the end.

Owns those links. They are pinned once the new programs open connections: if the process dies then, both go on together
until the next one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lasthop.dataplane import abi
from lasthop.dataplane.attach import attach_filter, link_before, swap_link, uses_map
from lasthop.dataplane.publisher import grace_period

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.pins import Pins

_PIN = "front-"


class Fronts:
    """A program in front of all others on some interfaces."""

    def __init__(self, pins: Pins, program: int) -> None:
        self._pins, self._program = pins, program
        self._links: dict[int, int] = {}
        """Interface -> link."""

    def attach(self, interfaces: Iterable[int]) -> bool:
        """Put it there, or in place of one that a killed process left. False before Linux 6.6, where that can't be."""
        for ifindex in interfaces:
            if swap_link(self._pins, self._pin(ifindex), ifindex, self._program):
                continue
            link = link_before(self._program, ifindex, f"take over interface {ifindex}")
            if link is None:
                return False
            self._links[ifindex] = link
        return True

    def pin(self) -> None:
        """Have the links outlive this process."""
        for ifindex, link in self._links.items():
            self._pins.put(link, self._pin(ifindex))

    def remove(self) -> None:
        """Take it off again. Idempotent."""
        self.close()
        remove_fronts(self._pins)

    def close(self) -> None:
        """Let go of the links: those that are not pinned are gone."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()

    def _pin(self, ifindex: int) -> Path:
        return self._pins.links / f"{_PIN}{ifindex}"


def remove_fronts(pins: Pins) -> None:
    """Take off what is pinned in front."""
    for pin in list(pins.links.glob(f"{_PIN}*")):
        pin.unlink()


def put_in_place(pins: Pins, loaded: Loaded, closing_map_id: int) -> None:
    """Put the new programs in place of the former ones, each at once; none of those runs when this returns."""
    legs = loaded.maps["legs"].view(abi.types().struct("leg"))
    interfaces = {int(number) for number in legs["ifindex"] if number}
    for pin in list(pins.links.iterdir()):
        kind, _, number = pin.name.partition("-")
        if kind in ("tcx", "xdp") and number.isdigit():
            program = loaded.program("lh_tc" if kind == "tcx" else "lh_xdp")
            swap_link(pins, pin, int(number), program)
    for ifindex in interfaces:
        if uses_map(ifindex, closing_map_id):
            attach_filter(loaded.programs["lh_tc"], ifindex, f"swap the tc filter of interface {ifindex}")
    grace_period()
