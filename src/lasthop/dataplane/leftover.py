"""A data plane without its director: whose it is, whether it lives elsewhere, and taking it out.

Owns what is done from pins alone. On kernels before 6.6 the tc filters of the legs have no pins;
the leg map tells where they are. Leg entries are read by their first field only, the ifindex, which
every layout begins with.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.attach import detach_filter, uses_map
from lasthop.dataplane.closing import READ, close_legs, closed_legs, open_filters
from lasthop.dataplane.libbpf import Map
from lasthop.dataplane.loader import map_info
from lasthop.dataplane.pins import Pins
from lasthop.errors import DataPlaneError


def own_namespace() -> int:
    """Inode number of this process's network namespace."""
    return Path("/proc/self/ns/net").stat().st_ino


def detach_pins(name: str, *, closed: bool | None = None) -> bool | None:
    """Take a data plane out that has no director process. None if there is none, else whether its legs are closed.

    `closed`: a program stays on its legs that lets nothing be forwarded; None: as its configuration said. Legs that are
    closed already stay so, unless they are to be opened.

    Raises DataPlaneError if its tc filters are in another network namespace, where they cannot be reached from here.
    """
    pins = Pins(name)
    if not pins.exist():
        return None
    left = closed_legs(pins)
    if left is not None:
        if closed is not False:
            return True
        _require_here(pins, left.netns)
        open_filters(pins)
    elif _closes(pins) if closed is None else closed:
        _close(pins)
        return True
    else:
        _detach_filters(pins)
    pins.remove()
    return False


def _closes(pins: Pins) -> bool:
    """Whether the configuration that was published last says so."""
    value = _live(pins)
    return value is not None and bool(value["on_detach"])


def _close(pins: Pins) -> None:
    fds = {name: pins.get(pins.maps / name) for name in READ}
    maps = {}
    for name, fd in fds.items():
        if fd is not None:
            info = map_info(fd)
            maps[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
    try:
        if len(maps) < len(READ):
            pins.remove()
        else:
            close_legs(pins, maps, _namespace_of(pins) or own_namespace())
    finally:
        for each in maps.values():
            os.close(each.fd)


def _require_here(pins: Pins, namespace: int) -> None:
    if namespace != own_namespace() and _exists(namespace) and not any(pins.links.iterdir()):
        raise DataPlaneError(
            f"can't open the legs of director '{pins.root.name}': they are in another network namespace",
            "run this command in that namespace",
        )


def lives_elsewhere(pins: Pins) -> bool:
    """Whether the pinned data plane is attached to interfaces of another network namespace that exists."""
    namespace = _namespace_of(pins)
    if namespace in (0, own_namespace()):
        return False
    linked = any(info.ifindex for path, info in pins.link_infos(pins.links) if "-" in path.name)
    return linked or (_has_filters_only(pins) and _exists(namespace))


def _detach_filters(pins: Pins) -> None:
    if not _has_filters_only(pins):
        return
    namespace = _namespace_of(pins)
    if namespace != own_namespace() and _exists(namespace):
        raise DataPlaneError(
            f"can't detach director '{pins.root.name}': its tc filters are in another network namespace",
            "run this command in that namespace",
        )
    live = pins.get(pins.maps / "live")
    if live is None:
        return
    for ifindex in _leg_ifindexes(pins):
        if uses_map(ifindex, int(map_info(live).id)):
            detach_filter(ifindex)
    os.close(live)


def _has_filters_only(pins: Pins) -> bool:
    """Legs that no pinned link stands for: filters of a kernel before 6.6."""
    return bool(_leg_ifindexes(pins)) and not any(path.name.startswith("tcx-") for path in pins.links.iterdir())


def _leg_ifindexes(pins: Pins) -> list[int]:
    fd = pins.get(pins.maps / "legs")
    if fd is None:
        return []
    info = map_info(fd)
    table = Map("legs", fd, info.key_size, info.value_size, info.max_entries)
    entries = [table.lookup(index.to_bytes(4, "little")) or bytes(4) for index in range(info.max_entries)]
    os.close(fd)
    return [ifindex for ifindex in (int.from_bytes(entry[:4], "little") for entry in entries) if ifindex]


def _namespace_of(pins: Pins) -> int:
    """Inode number of the network namespace the legs are in, 0 if the pins do not tell."""
    left = closed_legs(pins)
    if left is not None:
        return left.netns
    value = _live(pins)
    return 0 if value is None else int(value["netns"])


def _live(pins: Pins) -> Any:  # noqa: ANN401 -- a record
    """The pinned map live; None if there is none of this layout."""
    fd, live = pins.get(pins.maps / "live"), abi.types().struct("live")
    if fd is None:
        return None
    info = map_info(fd)
    value = Map("live", fd, info.key_size, info.value_size, 1).lookup(bytes(4)) or b""
    os.close(fd)
    return np.frombuffer(value, live)[0] if len(value) == live.itemsize else None


def _exists(namespace: int) -> bool:
    """Whether a process is in a network namespace, or a name is bound to it (ip-netns(8))."""
    for path in (*Path("/proc").glob("[0-9]*/ns/net"), *Path("/run").glob("netns/*")):
        try:
            if path.stat().st_ino == namespace:
                return True
        except OSError:
            continue
    return False
