"""Taking over what another version of lasthop pinned, while its programs go on forwarding.

Owns the order of it, and the copying of what is laid out otherwise. Everything the new programs need is made beside the
old pins, in ``maps-next``: what is laid out alike is the same map, the rest is copied field by field, by name. Then new
programs are put under the links, each at once, and the pins are renamed. A process that is killed meanwhile leaves
either all of the old, and the next one begins anew, or all of the new, which the next one only renames.

While the table is copied for the last time no program may change it: a connection that came meanwhile would be
forgotten, and its response sent to another firewall. So for that moment, some tens of milliseconds, packets
are dropped (`lasthop.dataplane.closing`), and sent again by whoever misses them. If the process dies just then, the old
programs go on (before Linux 6.6: nothing does, until the next start).
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.attach import attach_filter, swap_link, uses_map
from lasthop.dataplane.closing import closing
from lasthop.dataplane.layout import Layout, known_layout, own_layout
from lasthop.dataplane.leftover import own_namespace
from lasthop.dataplane.libbpf import Map
from lasthop.dataplane.loader import load, map_info
from lasthop.dataplane.publisher import grace_period
from lasthop.errors import ForeignPinsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.pins import Pins

_log = logging.getLogger(__name__)

#: Bytes of the map live that hold its version, in every layout; the network namespace's number follows.
_VERSION_AT, _NETNS_AT, _WORD = 8, 12, 4
#: What begins anew: made of what goes on now, or read and done with.
_ANEW = frozenset(
    {"record", "captures", "answers", "scratch", "next_tags", "next_entries", "server_census", "service_census"}
)
#: What packets write, or read a number from: copied while there are none. The rest is the director's.
_BY_PACKETS = frozenset(
    {"live", "table", "service_loads", "server_loads", "accounts", "hops", "hop_index", "free_hops", "templates"}
    | {"localities", "fragments", "pairs", "samples", "reasons", "xdp_sent"}
)
#: Maps of two halves, one after the other.
_HALVED = frozenset({"rules", "services", "servers", "listed", "fallbacks", "rulesets"})
#: Entries copied at once.
_PORTION = 1 << 16


def take_over(pins: Pins, connections: int) -> None:
    """Have what is pinned laid out as this version has it. Nothing happens if it is so, or if nothing is pinned.

    Raises ForeignPinsError, and changes nothing, if it is a later version's or one that is not known any more, another
    network namespace's, or in the middle of a resize.
    """
    following = pins.beside()
    if following.done:
        _finish(pins, following)
        return
    live = _opened(pins, "live")
    if live is None:
        return
    before, version = _number(live, _VERSION_AT), abi.limit("ABI_VERSION")
    following.remove_maps()
    if before in (0, version):
        return
    layout = _require_known(pins, live, before)
    copying = _Copying(pins, following, layout, connections)
    try:
        copying.copy_connections()
        with closing(copying.loaded.maps, own_namespace()) as program:
            began = time.monotonic()
            with program.held(pins):
                grace_period()
                copying.finish()
                # From here on the new maps are what counts: a process that comes after this one only renames them.
                following.mark_done()
                _swap(pins, copying.loaded, int(map_info(program.maps["closed"].fd).id))
            paused, dropped = time.monotonic() - began, program.dropped
    finally:
        copying.close()
        os.close(live.fd)
    _finish(pins, following)
    _log.info(
        "took over %s: from layout %d to %d; nothing was forwarded for %.1f ms, %d packets were dropped",
        pins.root,
        before,
        version,
        1e3 * paused,
        dropped,
    )


def _require_known(pins: Pins, live: Map, before: int) -> Layout:
    version, layout = abi.limit("ABI_VERSION"), known_layout(before)
    told = f"can't take over {pins.root}: its maps are of layout {before}, this lasthop's of {version}"
    remedy = "run the lasthop that made them, or `lasthop detach`, which ends its connections"
    if before > version or layout is None:
        raise ForeignPinsError(told, remedy)
    if _number(live, _NETNS_AT) != own_namespace():
        raise ForeignPinsError(f"{told}, and its legs are in another network namespace", remedy)
    if (pins.maps / "next_tags").exists():
        raise ForeignPinsError(
            f"{told}, and its table is being resized", "run the lasthop that made them until it is resized"
        )
    own = own_layout()
    if not _alike(layout.maps.get("tags"), own.maps["tags"]):
        raise ForeignPinsError(f"{told}, and its table is ordered otherwise", remedy)
    return layout


class _Copying:
    """Making ``maps-next`` of what is pinned."""

    def __init__(self, pins: Pins, following: Pins, layout: Layout, connections: int) -> None:
        self._pins, self._following, self._layout, self._own = pins, following, layout, own_layout()
        there = {path.name for path in pins.maps.iterdir()} & self._own.maps.keys() - _ANEW
        self._alike = {name for name in there - {"live"} if _alike(layout.maps.get(name), self._own.maps[name])}
        if layout.reasons != self._own.reasons:
            self._alike.discard("reasons")
        self._others = sorted(there - self._alike - {"entries"})
        following.make()
        for name in self._alike:
            fd = pins.get(pins.maps / name)
            if fd is not None:
                following.put(fd, following.maps / name)
                os.close(fd)
        self.loaded = load(following, connections)
        self._copy_maps(set(self._others) - _BY_PACKETS)
        self._source = _opened(pins, "entries")
        self._copied = np.zeros(0, np.uint64)

    def finish(self) -> None:
        """Copy the rest, while nothing changes it."""
        self._copy_maps(_BY_PACKETS.intersection(self._others))
        self.copy_connections()
        self.loaded.maps["live"].view(abi.types().struct("live"))["abi_version"] = self._own.version

    def _copy_maps(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            _copy(self._pins, name, self.loaded.maps[name], self._layout, self._own)

    def copy_connections(self) -> None:
        """Copy the entries whose word is another than when they were copied last, or that were seen since."""
        if self._source is None or "entries" in self._alike:
            return
        before = self._source.view(self._layout.maps["entries"]["value"])
        after = self.loaded.maps["entries"].view(abi.types().struct("connection"))
        if not len(self._copied):
            self._copied = np.zeros(len(before), np.uint64)
        for start in range(0, len(before), _PORTION):
            part = np.s_[start : start + _PORTION]
            word, seen = before["word"][part].copy(), before["last_seen_ns"][part]
            changed = np.flatnonzero((word != self._copied[part]) | (seen != after["last_seen_ns"][part]))
            after[start + changed] = _copied(before[part][changed], after.dtype)
            self._copied[start + changed] = word[changed]

    def close(self) -> None:
        """Let go of all maps."""
        self.loaded.close()
        if self._source is not None:
            os.close(self._source.fd)


def _copy(pins: Pins, name: str, to: Map, layout: Layout, own: Layout) -> None:
    """One map that is laid out otherwise."""
    source, was, becomes = _opened(pins, name), layout.maps[name], own.maps[name]
    if source is None or "value" not in was:
        return
    try:
        if name == "reasons":
            _copy_reasons(source, to, layout, own)
        elif _is_mapped(to, becomes):
            before, after = source.view(was["value"]), to.view(becomes["value"])
            if name in _HALVED:
                before, after = before.reshape(2, -1), after.reshape(2, -1)
            copy_fields(before, after)
        else:
            for key, value in source.entries().items():
                to.update(
                    _translated(key, was["key"], becomes["key"]), _translated(value, was["value"], becomes["value"])
                )
    finally:
        os.close(source.fd)


def _swap(pins: Pins, loaded: Loaded, closing_map_id: int) -> None:
    """Put the new programs in place of the old, leg by leg, each at once."""
    legs = loaded.maps["legs"].view(abi.types().struct("leg"))
    interfaces = {int(number) for number in legs["ifindex"] if number}
    for pin in list(pins.links.iterdir()):
        kind, _, number = pin.name.partition("-")
        if kind in ("tcx", "xdp") and number.isdigit():
            program = loaded.programs["lh_tc" if kind == "tcx" else "lh_xdp"]
            swap_link(pins, pin, int(number), program)
    for ifindex in interfaces:
        if uses_map(ifindex, closing_map_id):
            attach_filter(loaded.programs["lh_tc"], ifindex, f"swap the tc filter of interface {ifindex}")
    grace_period()


def _finish(pins: Pins, following: Pins) -> None:
    """Let the new pins be the director's; rename(2) replaces each at once."""
    renamed = {path.name for path in following.maps.iterdir()}
    for name in sorted(renamed):
        (following.maps / name).rename(pins.maps / name)
    known = own_layout().maps.keys()
    for path in list(pins.maps.iterdir()):
        if path.name not in known:
            path.unlink()
    following.remove_maps()


def copy_fields(before: NDArray[Any], after: NDArray[Any]) -> None:
    """Copy what both have of each element: fields by their names, arrays as far as both go."""
    if before.dtype.fields is not None and after.dtype.fields is not None:
        for name in before.dtype.fields.keys() & after.dtype.fields.keys():
            copy_fields(before[name], after[name])
        return
    common = tuple(slice(min(pair)) for pair in zip(before.shape, after.shape, strict=True))
    after[common] = before[common]


def _copied(elements: NDArray[Any], becomes: np.dtype[Any]) -> NDArray[Any]:
    made = np.zeros(len(elements), becomes)
    copy_fields(elements, made)
    return made


def _translated(value: bytes, was: np.dtype[Any], becomes: np.dtype[Any]) -> bytes:
    return _copied(np.frombuffer(value, was, 1), becomes).tobytes()


def _copy_reasons(source: Map, to: Map, layout: Layout, own: Layout) -> None:
    """Counters by their names; a value for each processor."""
    places = [(layout.reasons.index(name), place) for place, name in enumerate(own.reasons) if name in layout.reasons]
    was, becomes = layout.maps["reasons"]["value"], own.maps["reasons"]["value"]
    cpus = _possible_cpus()
    source.value_size, to.value_size = was.itemsize * cpus, becomes.itemsize * cpus
    before = np.frombuffer(source.lookup(bytes(4)) or bytes(source.value_size), was)
    after = np.zeros(cpus, becomes)
    for here, there in _within(places, before["value"].shape[1], after["value"].shape[1]):
        after["value"][:, there] = before["value"][:, here]
    to.update(bytes(4), after.tobytes())


def _within(places: Iterable[tuple[int, int]], here: int, there: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in places if a < here and b < there]


def _possible_cpus() -> int:
    return os.sysconf("SC_NPROCESSORS_CONF")


def _alike(was: dict[str, np.dtype[Any]] | None, becomes: dict[str, np.dtype[Any]]) -> bool:
    return was is not None and was == becomes


def _is_mapped(table: Map, parts: dict[str, np.dtype[Any]]) -> bool:
    """Whether a map is an array that can be mapped into memory: all of ours are, whose keys are plain numbers."""
    return map_info(table.fd).type == _ARRAY and "value" in parts


#: enum bpf_map_type, include/uapi/linux/bpf.h.
_ARRAY = 2


def _opened(pins: Pins, name: str) -> Map | None:
    fd = pins.get(pins.maps / name)
    if fd is None:
        return None
    info = map_info(fd)
    return Map(name, fd, info.key_size, info.value_size, info.max_entries)


def _number(live: Map, at: int) -> int:
    return int.from_bytes((live.lookup(bytes(4)) or b"")[at : at + _WORD], "little")
