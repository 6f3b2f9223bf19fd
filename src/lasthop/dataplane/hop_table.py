"""The hops as the director keeps them: resolved for real servers, re-pointed, named, cleared away.

Owns the director's part of the maps hops, hop_index and free_hops. Packets learn hops
into the same maps (bpf/hop.h); ids from FIRST_DIRECTOR_HOP on are given out here only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.dataplane.libbpf import Map
    from lasthop.model.real_server import Address


#: A target word's leg when that leg is gone.
_NO_LEG = np.uint64(0xFFFF << 48)


class HopTable:
    """Live view of all hops."""

    def __init__(self, maps: dict[str, Map]) -> None:
        types = abi.types()
        self.hops = maps["hops"].view(types.struct("hop"))
        self.refs = np.zeros(maps["hop_refs"].max_entries, np.uint32)
        """hop id -> connections that use it, as the last whole sweep counted."""
        self._index = maps["hop_index"]
        self._free = maps["free_hops"]
        self._legs = maps["legs"].view(types.struct("leg"))
        self._first = abi.limit("FIRST_DIRECTOR_HOP")
        self._condemned: set[int] = set()

    def find(self, target: int) -> int:
        """Id of the hop with a target word, 0 if there is none."""
        value = self._index.lookup(target.to_bytes(8, "little"))
        return int.from_bytes(value, "little") if value else 0

    def resolve(self, current: int, target: int, box: int, address: Address) -> int:
        """Make a real server's hop point at `target`; returns its id.

        `current` is the hop it has, or 0. If that points elsewhere it is re-pointed by one write,
        and every connection that uses it follows.
        """
        hop_id = current or self._adoptable(target, box) or self._take()
        hop = self.hops[hop_id : hop_id + 1]
        before = int(hop["target"][0])
        hop["box"] = box
        hop["address"] = np.frombuffer(abi.pack_address(address), "u1")
        if before != target:
            hop["target"] = target
            if before:
                hop["moved"] += 1
                if self.find(before) == hop_id:
                    self._index.delete(before.to_bytes(8, "little"))
        learned = self.find(target)
        if learned != hop_id:
            self._index.update(target.to_bytes(8, "little"), hop_id.to_bytes(4, "little"))
            if learned:
                self.hops[learned : learned + 1]["box"] = box
        return hop_id

    def unlink(self, box: int, keep: Iterable[int]) -> None:
        """Hops of `box` other than `keep` are no real server's any more."""
        stale = np.flatnonzero(self.hops["box"] == box)
        self.hops["box"][np.setdiff1d(stale, np.fromiter(keep, np.int64))] = abi.enum("rule_value")["NO_BOX"]

    def name_address(self, target: int, address: Address) -> None:
        """Note the IP address of the neighbour behind a target word, if there is such a hop."""
        hop_id = self.find(target)
        if hop_id:
            self.hops["address"][hop_id] = np.frombuffer(abi.pack_address(address), "u1")

    def drop_leg(self, leg_id: int) -> None:
        """Let the hops of a leg point to no leg: the leg is gone, connections that use them are not yet."""
        for hop_id in np.flatnonzero(self.hops["target"] >> np.uint64(48) == leg_id + 1):
            self._index.delete(int(self.hops["target"][hop_id]).to_bytes(8, "little"))
            self.hops["target"][hop_id] |= _NO_LEG

    def used(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Ids of all hops that point somewhere."""
        return np.flatnonzero(self.hops["target"])

    def on_leg(self, leg_id: int) -> int:
        """How many hops point through a leg."""
        return int(np.count_nonzero(self.hops["target"] >> np.uint64(48) == leg_id + 1))

    def swept(self, refs: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        """Take over what a whole sweep counted for each hop."""
        self.refs[:] = refs

    def clear_unused(self, kept: Iterable[int]) -> None:
        """Free learned hops that no connection used in two sweeps running; call after each sweep.

        First such a hop leaves the index, so that no packet finds it; a packet that had found it
        before has by the next sweep made it used again, and then it returns to the index.
        """
        learned = self.used()
        unused = set(np.setdiff1d(learned[self.refs[learned] == 0], np.fromiter(kept, np.int64)).tolist())
        for hop_id in self._condemned:
            key = int(self.hops["target"][hop_id]).to_bytes(8, "little")
            if hop_id in unused and self.find(int(self.hops["target"][hop_id])) != hop_id:
                self.hops["target"][hop_id] = 0
                if hop_id < self._first:
                    self._free.push(hop_id.to_bytes(4, "little"))
                unused.discard(hop_id)
            elif hop_id not in unused and self.hops["target"][hop_id]:
                self._index.update(key, hop_id.to_bytes(4, "little"), only_new=True)
        for hop_id in unused - self._condemned:
            target = int(self.hops["target"][hop_id])
            if self.find(target) == hop_id:
                self._index.delete(target.to_bytes(8, "little"))
        self._condemned = unused
        self._recount(learned)

    def _recount(self, used: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        used = used[used < self._first]
        legs = (self.hops["target"][used] >> np.uint64(48)).astype(np.int64)
        self._legs["hops_learned"] = np.bincount(legs, minlength=len(self._legs) + 1)[1 : len(self._legs) + 1]

    def _adoptable(self, target: int, box: int) -> int:
        """The hop with a target word, 0 if there is none or it is another real server's, which may move away."""
        found = self.find(target)
        return found if self.hops["box"][found] in (abi.enum("rule_value")["NO_BOX"], box) else 0

    def _take(self) -> int:
        free = np.flatnonzero(self.hops["target"][self._first :] == 0)
        unnamed = free[self.hops["box"][self._first + free] == 0]
        if not len(unnamed):
            raise DataPlaneError(
                f"can't resolve another real server: all {len(self.hops) - self._first} hops are taken",
                "remove some, or use another director for them",
            )
        return self._first + int(unnamed[0])
