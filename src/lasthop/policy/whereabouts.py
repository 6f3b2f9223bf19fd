"""Where neighbours are, and which MAC addresses they moved from and to.

Pure: observations in, moves out. A hop that was learned from packets has a MAC address and no more; that the box behind
it moved shows only by the addresses that the kernel's neighbour table has for that MAC address. So a MAC address moves
when the last of the addresses that were seen at it is seen elsewhere: as long as one is left, the box is still there,
and moving one address (one of two VRRP groups, a host that answers for others) drags nobody along. Addresses that leave
together for different places tell nothing. One that is not known for a while, for its entry failed or was collected, is
remembered where it was seen last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lasthop.model.real_server import Address

#: (leg, MAC, address)
Neighbour = tuple[str, str, "Address"]

#: So many absent addresses are remembered before those that matter to nobody are looked for.
_ABSENT = 1024


class Whereabouts:
    """The neighbours of one director's legs as they were seen last."""

    def __init__(self, known: Iterable[Neighbour] = ()) -> None:
        """`known` is what an earlier process noted of its hops."""
        self._seen: dict[tuple[str, Address], str] = {(leg, address): mac for leg, mac, address in known}
        self._absent = 0

    def moves(self, neighbours: Iterable[Neighbour]) -> list[tuple[str, str, str]]:
        """Return (leg, MAC address that was left, MAC address it is now) since the last call.

        No MAC address is left and moved to at once, so the order does not matter.
        """
        now = {(leg, address): mac for leg, mac, address in neighbours}
        taken = {(leg, mac) for (leg, _), mac in now.items()}
        left: dict[tuple[str, str], set[str]] = {}
        for key, mac in now.items():
            was = self._seen.get(key, mac)
            if was != mac and (key[0], was) not in taken:
                left.setdefault((key[0], was), set()).add(mac)
        self._seen |= now
        self._absent = len(self._seen) - len(now)
        return [(leg, was, macs.pop()) for (leg, was), macs in left.items() if len(macs) == 1]

    def tidy(self, hops: Callable[[], set[tuple[str, str]]], neighbours: Iterable[Neighbour]) -> None:
        """Forget absent addresses that were seen at no hop, once they are many; `hops` tells (leg, MAC) of all."""
        if self._absent <= _ABSENT:
            return
        there, present = hops(), {(leg, address) for leg, _, address in neighbours}
        self._seen = {key: mac for key, mac in self._seen.items() if key in present or (key[0], mac) in there}
