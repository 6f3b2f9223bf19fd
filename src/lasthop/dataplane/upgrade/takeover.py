"""Taking over what another version of lasthop pinned, while packets go on: none is lost, and no connection.

Owns the order of it. Everything the new programs need is made beside the old pins, in ``maps-next``. Then

1. they are put in front of the former ones on every leg. They forward the connections they know already, and leave the
   rest to the former program behind them (bpf/takeover.h);
2. when they are on every leg, what changed meanwhile is copied, and they open new connections too. From here on the new
   maps are what counts;
3. when the last connections of the former ones are copied, they are put in their place, and the pins are renamed.

A process that is killed before the second step leaves the former programs alone, and the next one begins anew. After
it, both go on together, and the next one goes on from there.

Before Linux 6.6 there is no program in front of another. There nothing is forwarded while the table is copied for the
last time, some tens of milliseconds (`lasthop.dataplane.closing`); who misses his packets sends them again.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing as let_go
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lasthop.dataplane import abi
from lasthop.dataplane.attach import swap_link
from lasthop.dataplane.closing import closing
from lasthop.dataplane.leftover import own_namespace
from lasthop.dataplane.loader import load, load_program, map_info
from lasthop.dataplane.publisher import grace_period
from lasthop.dataplane.upgrade.copying import Copying, is_alike, opened
from lasthop.dataplane.upgrade.fronts import Fronts, put_in_place, remove_fronts
from lasthop.dataplane.upgrade.layout import Layout, known_layout, own_layout
from lasthop.errors import ForeignPinsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.dataplane.closing import Closing
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.pins import Pins

_log = logging.getLogger(__name__)

#: Bytes of the map live that hold its version, in every layout; the network namespace's number follows.
_VERSION_AT, _NETNS_AT, _WORD = 8, 12, 4


def take_over(pins: Pins, connections: int) -> None:
    """Have what is pinned laid out as this version has it. Nothing happens if it is so, or if nothing is pinned.

    Raises ForeignPinsError, and changes nothing, if it is a later version's or one that is not known any more, another
    network namespace's, or in the middle of a resize.
    """
    following = pins.beside()
    if following.done:
        _go_on(pins, following, connections)
        return
    with _opened(pins, "live") as live:
        if live is None:
            return
        before, version = _number(live, _VERSION_AT), abi.limit("ABI_VERSION")
        following.remove_maps()
        remove_fronts(pins)
        if before in (0, version):
            return
        layout = _require_known(pins, live, before)
    with let_go(Copying(pins, following, layout, connections, begun=False)) as copying:
        copying.copy_connections()
        with closing(copying.loaded.maps, own_namespace()) as program:
            how = _beside(pins, following, copying, program) or _alone(pins, following, copying, program)
    _finish(pins, following)
    _log.info("took over %s: from layout %d to %d, %s", pins.root, before, version, how)


def _go_on(pins: Pins, following: Pins, connections: int) -> None:
    """Another process was killed when the new maps counted already."""
    with _opened(following, "live") as state:
        if state is not None:
            _require_own(following, state)
            begun = int(state.view(abi.types().struct("live"))["takeover"][0]) != _phase("NONE")
            if begun:
                _end_takeover(pins, following, connections)
            else:
                with let_go(load(following, connections, late=True)) as loaded:
                    put_in_place(pins, loaded, 0)
    remove_fronts(pins)
    _finish(pins, following)
    _log.info("went on taking over %s, where a process was killed", pins.root)


def _end_takeover(pins: Pins, following: Pins, connections: int) -> None:
    with _opened(pins, "live") as live:
        if live is None:
            return
        layout = _require_known(pins, live, _number(live, _VERSION_AT))
    with (
        let_go(Copying(pins, following, layout, connections, begun=True)) as copying,
        closing(copying.loaded.maps, own_namespace()) as program,
        let_go(_fronts(pins, copying)) as fronts,
    ):
        copying.copy_connections(beside=True)
        if fronts.attach(program.interfaces):
            _open_connections(pins, following, copying, fronts)


def _beside(pins: Pins, following: Pins, copying: Copying, program: Closing) -> str:
    """Take over with both programs on the legs: how that went; empty, and nothing done, before Linux 6.6."""
    with let_go(_fronts(pins, copying)) as fronts:
        began = time.monotonic()
        copying.copy_rest()
        copying.reserve_hops()
        copying.phase = _phase("KNOWN")
        for ifindex in program.interfaces:
            swap_link(pins, pins.links / f"xdp-{ifindex}", ifindex, program.programs["lh_closed_xdp"])
        if not fronts.attach(program.interfaces):
            copying.phase = _phase("NONE")
            return ""
        grace_period()
        copying.copy_connections(beside=True)
        _open_connections(pins, following, copying, fronts)
        copying.free_hops()
    return f"within {1e3 * (time.monotonic() - began):.0f} ms in which both forwarded"


def _open_connections(pins: Pins, following: Pins, copying: Copying, fronts: Fronts) -> None:
    """From here on the new maps are what counts: a process that comes after this one goes on here."""
    following.mark_done()
    fronts.pin()
    copying.phase = _phase("NEW")
    grace_period()
    copying.copy_connections(beside=True)
    copying.finish()
    put_in_place(pins, copying.loaded, 0)
    fronts.remove()


def _alone(pins: Pins, following: Pins, copying: Copying, program: Closing) -> str:
    """Take over while nothing is forwarded: how that went."""
    began = time.monotonic()
    program.put_on_legs(pins)
    grace_period()
    copying.copy_rest()
    copying.copy_connections()
    following.mark_done()
    put_in_place(pins, copying.loaded, int(map_info(program.maps["closed"].fd).id))
    paused = 1e3 * (time.monotonic() - began)
    return f"within {paused:.0f} ms in which nothing was forwarded and {program.dropped} packets were dropped"


def _fronts(pins: Pins, copying: Copying) -> Fronts:
    return Fronts(pins, load_program(copying.loaded, "lh_tc", {"taking_over": 1}))


def _finish(pins: Pins, following: Pins) -> None:
    """Let the new pins be the director's; rename(2) replaces each at once. Without ``live`` only this is left to do."""
    names = sorted((path.name for path in following.maps.iterdir()), key=lambda name: (name != "live", name))
    for name in names:
        (following.maps / name).rename(pins.maps / name)
    known = own_layout().maps.keys()
    for path in list(pins.maps.iterdir()):
        if path.name not in known:
            path.unlink()
    following.remove_maps()


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
    if not is_alike(layout.maps.get("tags"), own.maps["tags"]):
        raise ForeignPinsError(f"{told}, and its table is ordered otherwise", remedy)
    return layout


def _require_own(following: Pins, live: Map) -> None:
    found, version = _number(live, _VERSION_AT), abi.limit("ABI_VERSION")
    if found != version:
        raise ForeignPinsError(
            f"can't take over {following.root}: a lasthop of layout {found} was killed while it took over, "
            f"and this one is of {version}",
            "run that lasthop, or `lasthop detach`, which ends its connections",
        )


def _phase(name: str) -> int:
    return abi.enum("takeover_phase")[f"TAKEOVER_{name}"]


@contextmanager
def _opened(pins: Pins, name: str) -> Iterator[Map | None]:
    found = opened(pins, name)
    try:
        yield found
    finally:
        if found is not None:
            os.close(found.fd)


def _number(live: Map, at: int) -> int:
    return int.from_bytes((live.lookup(bytes(4)) or b"")[at : at + _WORD], "little")
