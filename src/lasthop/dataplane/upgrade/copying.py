"""Making new maps of those that another version pinned, while its programs go on, and then beside its programs.

Owns what is copied when. What is laid out alike is the same map. Connections are copied slot by slot, for their tags
are one map for both: a slot's tag is claimed by one of the two.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import Map
from lasthop.dataplane.loader import load, map_info
from lasthop.dataplane.upgrade.fields import add_fields, copy_entries, copy_fields, copy_reasons, translated
from lasthop.dataplane.upgrade.layout import Layout, own_layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lasthop.dataplane.pins import Pins

#: What begins anew: made of what goes on now, or read and done with.
_ANEW = frozenset(
    {"record", "captures", "answers", "scratch", "next_tags", "next_entries", "server_census", "service_census"}
)
#: What packets write, or read a number from: copied when the new programs begin. The rest is the director's.
_BY_PACKETS = frozenset(
    {"live", "table", "service_loads", "server_loads", "accounts", "hops", "hop_index", "free_hops", "templates"}
    | {"localities", "fragments", "pairs", "samples", "reasons", "xdp_sent"}
)
#: Of these: numbers that either program adds to, and entries that either makes.
_COUNTERS = frozenset({"table", "service_loads", "server_loads", "accounts"})
_ENTRIES = frozenset({"hop_index", "templates", "localities", "fragments", "pairs"})
#: Maps of two halves, one after the other.
_HALVED = frozenset({"rules", "services", "servers", "listed", "fallbacks", "rulesets"})
#: Entries copied at once.
_PORTION = 1 << 16
#: So many hops the former programs may learn beside the new ones: those take numbers above.
_HOP_GAP = 4096
#: enum bpf_map_type, include/uapi/linux/bpf.h.
_ARRAY = 2


class Copying:
    """Making ``maps-next`` of what is pinned in the layout `layout`."""

    def __init__(self, pins: Pins, following: Pins, layout: Layout, connections: int, *, begun: bool) -> None:
        """`begun`: the new maps are those of a process that was killed when its programs had begun."""
        self._pins, self._layout, self._own = pins, layout, own_layout()
        there = {path.name for path in pins.maps.iterdir()} & self._own.maps.keys() - _ANEW
        alike = {name for name in there - {"live"} if is_alike(layout.maps.get(name), self._own.maps[name])}
        if layout.reasons != self._own.reasons:
            alike.discard("reasons")
        self._others = there - alike - {"entries"}
        following.make()
        for name in alike if not begun else ():
            fd = pins.get(pins.maps / name)
            if fd is not None:
                following.put(fd, following.maps / name)
                os.close(fd)
        self.loaded = load(following, connections, late=True)
        self._state = self.loaded.maps["live"].view(abi.types().struct("live"))
        self._source = None if "entries" in alike else opened(pins, "entries")
        self._before: dict[str, NDArray[Any]] = {}
        """Counters as they were when the new programs began."""
        self._first_hop = 0
        """The first hop that the new programs may learn."""
        if not begun:
            self._copy_maps(self._others - _BY_PACKETS)

    def copy_rest(self) -> None:
        """Copy what packets write, but for connections; the new programs may begin then."""
        self._before = {name: self._former_view(name).copy() for name in _COUNTERS & self._others}
        self._copy_maps(_BY_PACKETS & self._others)
        self._state["abi_version"] = self._own.version

    def reserve_hops(self) -> None:
        """Have the new programs give out numbers that the former ones will not."""
        following = int(self._state["next_hop"][0]) + _HOP_GAP
        self._first_hop = min(following, abi.limit("FIRST_DIRECTOR_HOP"))
        self._state["next_hop"] = self._first_hop

    @property
    def phase(self) -> int:
        """How far the new programs take part: enum takeover_phase of bpf/limits.h."""
        return int(self._state["takeover"][0])

    @phase.setter
    def phase(self, phase: int) -> None:
        self._state["takeover"] = phase

    def copy_connections(self, *, beside: bool = False) -> None:
        """Copy the connections that changed since they were copied last.

        `beside`: the new programs have them too, and what they have is the truth; unless the former ones saw a packet
        later, or ended it, or gave the slot to another one.
        """
        if beside:
            self._copy_hops()
        if self._source is None:
            return
        before = self._source.view(self._layout.maps["entries"]["value"])
        after = self.loaded.maps["entries"].view(abi.types().struct("connection"))
        for start in range(0, len(before), _PORTION):
            part = np.s_[start : start + _PORTION]
            was, now = before["word"][part].copy(), after["word"][part].copy()
            seen, known = before["last_seen_ns"][part].copy(), after["last_seen_ns"][part].copy()
            differs = _theirs(was, now, seen, known) if beside else (was != now) | (seen != known)
            # What is being inserted is copied next time; so is what came into a slot while it was read.
            changed = np.flatnonzero(differs & (was & _flag("PENDING") == 0))
            made = translated(before[part][changed], after.dtype)
            read, later = made["word"] ^ was[changed], before["word"][part][changed] ^ was[changed]
            whole = (read | later) >> 32 == 0
            _write(after, start + changed[whole], made[whole])

    def finish(self) -> None:
        """The former programs have nothing any more that the new ones lack: take over what they counted, leave them."""
        self._copy_maps(_ENTRIES & self._others, only_new=True)
        for name, before in self._before.items():
            add_fields(before, self._former_view(name), self.loaded.maps[name].view(self._own.maps[name]["value"]))
        self.phase = abi.enum("takeover_phase")["TAKEOVER_NONE"]

    def free_hops(self) -> None:
        """Once the former programs run no more: the numbers they left may be given out."""
        former = self._former_view("live")
        for hop in range(int(former["next_hop"][0]), self._first_hop):
            self.loaded.maps["free_hops"].push(hop.to_bytes(4, "little"))

    def close(self) -> None:
        """Let go of all maps."""
        self.loaded.close()
        if self._source is not None:
            os.close(self._source.fd)

    def _copy_hops(self) -> None:
        """Those that the former programs learned; before any connection that refers to them."""
        if "hops" not in self._others:
            return
        former = self._former_view("hops")
        hops = self.loaded.maps["hops"].view(self._own.maps["hops"]["value"])
        learned = np.flatnonzero((former["target"] != 0) & (hops["target"] == 0))
        hops[learned] = translated(former[learned], hops.dtype)
        if len(learned):
            self._copy_maps({"hop_index"} & self._others, only_new=True)

    def _former_view(self, name: str) -> NDArray[Any]:
        source = opened(self._pins, name)
        if source is None:
            return np.zeros(0, self._layout.maps[name]["value"])
        try:
            return source.view(self._layout.maps[name]["value"])
        finally:
            os.close(source.fd)

    def _copy_maps(self, names: Iterable[str], *, only_new: bool = False) -> None:
        for name in sorted(names):
            self._copy_map(name, only_new=only_new)

    def _copy_map(self, name: str, *, only_new: bool) -> None:
        """One map that is laid out otherwise."""
        was, becomes, to = self._layout.maps[name], self._own.maps[name], self.loaded.maps[name]
        source = opened(self._pins, name)
        if source is None or "value" not in was:
            return
        try:
            if name == "reasons":
                copy_reasons(source, to, self._layout, self._own)
            elif map_info(to.fd).type == _ARRAY:
                before, after = source.view(was["value"]), to.view(becomes["value"])
                if name in _HALVED:
                    before, after = before.reshape(2, -1), after.reshape(2, -1)
                copy_fields(before, after)
            elif "key" in was:
                copy_entries(source, to, was, becomes, only_new=only_new)
        finally:
            os.close(source.fd)


def _theirs(
    was: NDArray[np.uint64], now: NDArray[np.uint64], seen: NDArray[np.uint64], known: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Of which slots the former programs know better: by the words of both, and by when each saw a packet last."""
    live = _flag("LIVE")
    later = ((was >> 32).astype(np.uint32) - (now >> 32).astype(np.uint32)).astype(np.int32)
    known_live = (later == 0) & (now & live != 0)
    ended = known_live & (was & live == 0) & (known <= seen)
    theirs: NDArray[np.bool_] = (later > 0) | ended | (known_live & (was & live != 0) & (seen > known))
    return theirs


def _flag(name: str) -> np.uint64:
    """A flag as it is in a word."""
    return np.uint64(abi.enum("connection_flag")[f"CONNECTION_{name}"] << 8)


def _write(after: NDArray[Any], places: NDArray[np.intp], made: NDArray[Any]) -> None:
    """A packet takes an entry for true by its word: that comes last."""
    for name in after.dtype.names or ():
        if name != "word":
            after[name][places] = made[name]
    after["word"][places] = made["word"]


def is_alike(was: dict[str, np.dtype[Any]] | None, becomes: dict[str, np.dtype[Any]]) -> bool:
    """Whether a map is laid out as it was."""
    return was is not None and was == becomes


def opened(pins: Pins, name: str) -> Map | None:
    """A pinned map, whose descriptor is the caller's."""
    fd = pins.get(pins.maps / name)
    if fd is None:
        return None
    info = map_info(fd)
    return Map(name, fd, info.key_size, info.value_size, info.max_entries)
