"""The hops as the director keeps them: resolved for real servers and gateways, re-pointed, named, cleared away.

Owns the director's part of the maps hops, hop_index and free_hops. Packets learn hops
into the same maps (bpf/hop.h); ids from FIRST_DIRECTOR_HOP on are given out here only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lasthop.dataplane.libbpf import Map
    from lasthop.model.real_server import Address


#: Of the director's hops: so many are not given to neighbours that are no real servers.
_KEPT_FOR_SERVERS = 4096
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
        self._no_box = abi.enum("rule_value")["NO_BOX"]
        self._gateway = abi.enum("hop_flag")["HOP_GATEWAY"]
        self._condemned: set[int] = set()

    def find(self, target: int) -> int:
        """Id of the hop with a target word, 0 if there is none."""
        value = self._index.lookup(target.to_bytes(8, "little"))
        return int.from_bytes(value, "little") if value else 0

    def resolve(self, current: int, target: int, box: int, address: Address) -> int:
        """Make a real server's hop point at `target`; returns its id.

        `current` is the hop it has, or 0. If that points elsewhere it is re-pointed by one write,
        and every connection that uses it follows; so are hops that packets taught as the same box.
        """
        hop_id = current or self._adoptable(target, box, address) or self._take()
        before = int(self.hops["target"][hop_id])
        self.hops["box"][hop_id] = box
        self.hops["address"][hop_id] = _packed(address)
        if before not in (0, target):
            self._move(np.flatnonzero((self.hops["target"] == before) & (self.hops["box"] == box)), before, target)
        self.hops["target"][hop_id] = target
        learned = self.find(target)
        if learned != hop_id:
            self._index.update(target.to_bytes(8, "little"), hop_id.to_bytes(4, "little"))
            if learned and not self.hops["flags"][learned] & self._gateway:
                self.hops["box"][learned] = box
        return hop_id

    def resolve_gateway(self, current: int, target: int, address: Address) -> int:
        """The same for a gateway. If it is a real server by this address, that one's hop is the gateway's."""
        found = self.find(target)
        owner = self._owned(found)
        if not self._has_address(current, address):
            current = 0
        if owner and self._has_address(found, address):
            current = found
        elif not current:
            current = self._take() if owner or not found else found
        before = int(self.hops["target"][current])
        self.hops["address"][current] = _packed(address)
        self.hops["flags"][current] |= self._gateway
        if before not in (0, target):
            self._move(np.array([current]), before, target)
        self.hops["target"][current] = target
        if not owner and found != current:
            self._index.update(target.to_bytes(8, "little"), current.to_bytes(4, "little"))
        return current

    def gateway_of(self, leg_id: int, address: Address) -> int:
        """The hop of a gateway, noted by this process or one before it; 0 if there is none."""
        for hop_id in np.flatnonzero(self.hops["flags"] & self._gateway).tolist():
            if self.hops["target"][hop_id] >> np.uint64(48) == leg_id + 1 and self._has_address(hop_id, address):
                return int(hop_id)
        return 0

    def neighbour(self, target: int) -> int:
        """The hop of a neighbour, made if it must be; 0 if there is no room beside what real servers may need."""
        hop_id = self.find(target)
        if not hop_id:
            free = self._free_ids()
            if len(free) <= _KEPT_FOR_SERVERS:
                return 0
            hop_id = int(free[0])
            self.hops["moved"][hop_id], self.hops["address"][hop_id] = 0, 0
            self.hops["target"][hop_id] = target
            if not self._index.update(target.to_bytes(8, "little"), hop_id.to_bytes(4, "little"), only_new=True):
                self.hops["target"][hop_id] = 0
                hop_id = self.find(target)
        return hop_id

    def follow(self, before: int, target: int) -> bool:
        """Re-point the hops of nobody in particular that point at `before`: who was there is at `target` now.

        False: there are none.
        """
        unowned = (self.hops["box"] == self._no_box) & ((self.hops["flags"] & self._gateway) == 0)
        moved = np.flatnonzero((self.hops["target"] == before) & unowned)
        if len(moved):
            self._move(moved, before, target)
            first = int(moved[0]).to_bytes(4, "little")
            self._index.update(target.to_bytes(8, "little"), first, only_new=True)
        return len(moved) > 0

    def mark(self, flag: str, marked: Iterable[int]) -> None:
        """Give a flag (enum hop_flag) to these hops, and take it from all others."""
        bit = self.hops["flags"].dtype.type(abi.enum("hop_flag")[flag])
        wanted = np.fromiter(marked, np.int64)
        have = np.flatnonzero(self.hops["flags"] & bit)
        for hop_id in np.setdiff1d(have, wanted):
            self.hops["flags"][hop_id] &= ~bit
        for hop_id in np.setdiff1d(wanted, have):
            self.hops["flags"][hop_id] |= bit

    def unlink(self, box: int, keep: Iterable[int]) -> None:
        """Hops of `box` other than `keep` are no real server's any more."""
        stale = np.flatnonzero(self.hops["box"] == box)
        self.hops["box"][np.setdiff1d(stale, np.fromiter(keep, np.int64))] = self._no_box

    def name_addresses(self, target: int, addresses: Sequence[Address]) -> None:
        """Note an IP address of the neighbour behind a target word, unless its hop has one of them or is somebody's."""
        hop_id = self.find(target)
        if hop_id and not self._owned(hop_id) and not any(self._has_address(hop_id, each) for each in addresses):
            self.hops["address"][hop_id] = _packed(addresses[0])

    def known(self) -> list[tuple[int, str, Address]]:
        """(leg id, MAC, address) of all hops whose neighbour's address was noted."""
        found = []
        for hop_id in self.used().tolist():
            packed = self.hops["address"][hop_id].tobytes()
            if any(packed):
                leg_id, mac = abi.split_target(int(self.hops["target"][hop_id]))
                found.append((leg_id, mac, abi.unpack_address(packed)))
        return found

    def role(self, hop_id: int) -> str:
        """What a hop is on its leg, beside a real server; empty for one that was learned."""
        flags, known = int(self.hops["flags"][hop_id]), abi.enum("hop_flag")
        if flags & self._gateway:
            return "gateway"
        return "neighbour" if flags & known["HOP_NEIGHBOUR"] else ""

    def drop_leg(self, leg_id: int) -> None:
        """Let the hops of a leg point to no leg: the leg is gone, connections that use them are not yet."""
        for hop_id in np.flatnonzero(self.hops["target"] >> np.uint64(48) == leg_id + 1):
            self._index.delete(int(self.hops["target"][hop_id]).to_bytes(8, "little"))
            self.hops["target"][hop_id] |= _NO_LEG
            self.hops["flags"][hop_id] = 0

    def used(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Ids of all hops that point somewhere."""
        return np.flatnonzero(self.hops["target"])

    def swept(self, refs: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        """Take over what a whole sweep counted for each hop."""
        self.refs[:] = refs

    def clear_unused(self, kept: Iterable[int]) -> None:
        """Free hops that no connection used in two sweeps running, and that are nobody's; call after each sweep.

        First such a hop leaves the index, so that no packet finds it; a packet that had found it
        before has by the next sweep made it used again, and then it returns to the index.
        """
        learned = self.used()
        idle = learned[(self.refs[learned] == 0) & (self.hops["flags"][learned] == 0)]
        unused = set(np.setdiff1d(idle, np.fromiter(kept, np.int64)).tolist())
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

    def _move(self, moved: np.ndarray[Any, np.dtype[np.int64]], before: int, target: int) -> None:
        """Re-point hops, each by one write, and let no packet find them by where they were."""
        for hop_id in moved.tolist():
            self.hops["target"][hop_id] = target
            self.hops["moved"][hop_id] += 1
        if self.find(before) in moved:
            self._index.delete(before.to_bytes(8, "little"))

    def _owned(self, hop_id: int) -> bool:
        """Whether a hop is a real server's or a gateway's, which are moved by their own addresses."""
        return bool(self.hops["box"][hop_id] != self._no_box or self.hops["flags"][hop_id] & self._gateway)

    def _has_address(self, hop_id: int, address: Address) -> bool:
        return bool(self.hops["address"][hop_id].tobytes() == abi.pack_address(address))

    def _adoptable(self, target: int, box: int, address: Address) -> int:
        """The hop with a target word, 0 if there is none or it is somebody else's, who may move away."""
        found = self.find(target)
        if self.hops["flags"][found] & self._gateway and not self._has_address(found, address):
            return 0
        return found if self.hops["box"][found] in (self._no_box, box) else 0

    def _free_ids(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        hops = self.hops[self._first :]
        return self._first + np.flatnonzero((hops["target"] == 0) & (hops["box"] == self._no_box))

    def _take(self) -> int:
        free = self._free_ids()
        if not len(free):
            raise DataPlaneError(
                f"can't resolve another real server or gateway: all {len(self.hops) - self._first} hops are taken",
                "remove some, or use another director for them",
            )
        self.hops["moved"][free[0]] = 0
        return int(free[0])


def _packed(address: Address) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(abi.pack_address(address), "u1")
