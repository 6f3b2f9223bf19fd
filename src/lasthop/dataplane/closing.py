"""A director that is detached and closed: a program on its legs lets nothing be forwarded (bpf/closed.bpf.c).

Owns how legs are closed, what is told of closed ones, and how they are opened again. Where the programs of a director
that forwards are, is `lasthop.dataplane.attach`'s.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.attach import attach_filter, detach_filter, exists, swap_link, uses_map
from lasthop.dataplane.libbpf import Map, check, ffi, library
from lasthop.dataplane.loader import map_info
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lasthop.dataplane.pins import Pins

#: The maps of the closing program; the first is there as long as legs are closed.
_STATE, _LEGS = "closed", "closed_legs"
#: Of the director's maps, those that the closing program reads.
READ = ("legs", "own_macs", "local")
#: ``struct closed_leg`` and ``struct closed_state`` of bpf/closed.bpf.c.
_LEG = np.dtype([("ifindex", "u4"), ("outer", "u2"), ("inner", "u2")])
_CLOSED = np.dtype([("dropped", "u8"), ("netns", "u8")])


@dataclass(frozen=True, slots=True)
class ClosedLegs:
    """Legs that let nothing be forwarded, after their director detached."""

    interfaces: tuple[int, ...]
    """Their interfaces' numbers."""
    dropped: int
    """Packets so far."""
    netns: int
    """Inode number of the network namespace they are in."""


def close_legs(pins: Pins, maps: Mapping[str, Map], netns: int) -> None:
    """Put the closing program in place of the others on all legs of a director, and forget its other maps.

    `maps` are the director's. At no moment is a leg without a program. Raises DataPlaneError, and then the director
    forwards as before.
    """
    with closing(maps, netns) as program:
        for name, table in program.maps.items():
            (pins.maps / name).unlink(missing_ok=True)
            pins.put(table.fd, pins.maps / name)
        program.put_on_legs(pins)
    for pin in pins.links.iterdir():
        if not pin.name.startswith("tcx-"):
            pin.unlink()
    for pin in pins.maps.iterdir():
        if pin.name not in {_STATE, _LEGS}:
            pin.unlink()


@dataclass(frozen=True, slots=True)
class Closing:
    """The closing programs, loaded for some legs."""

    programs: dict[str, int]
    maps: dict[str, Map]
    interfaces: tuple[int, ...]

    @property
    def dropped(self) -> int:
        """Packets so far."""
        return int(_said(self.maps[_STATE])["dropped"])

    def put_on_legs(self, pins: Pins) -> None:
        """Let nothing be forwarded any more: tc drops, and XDP leaves it to tc."""
        for ifindex in self.interfaces:
            swap_link(pins, pins.links / f"xdp-{ifindex}", ifindex, self.programs["lh_closed_xdp"])
            if not swap_link(pins, pins.links / f"tcx-{ifindex}", ifindex, self.programs["lh_closed"]):
                attach_filter(self.programs["lh_closed"], ifindex, f"close interface {ifindex}")


def closed_legs(pins: Pins) -> ClosedLegs | None:
    """What a director that detached left closed; None if it left nothing."""
    with _opened(pins, _STATE) as state, _opened(pins, _LEGS) as legs:
        if state is None or legs is None:
            return None
        said = _said(state)
        numbers = {int(np.frombuffer(key, _LEG)["ifindex"][0]) for key in legs.keys()}  # noqa: SIM118 -- a map of the kernel
        return ClosedLegs(tuple(sorted(numbers)), int(said["dropped"]), int(said["netns"]))


def _said(state: Map) -> Any:  # noqa: ANN401 -- a record
    return np.frombuffer(state.lookup(bytes(4)) or bytes(_CLOSED.itemsize), _CLOSED)[0]


def forget_closed(pins: Pins) -> None:
    """Unpin what closing left: the legs have other programs again, or none."""
    for name in (_STATE, _LEGS):
        (pins.maps / name).unlink(missing_ok=True)


def open_filters(pins: Pins) -> None:
    """Take the closing program off interfaces that have it without a link: kernels before 6.6."""
    with _opened(pins, _STATE) as state:
        if state is None:
            return
        map_id = int(map_info(state.fd).id)
        for ifindex in _interfaces():
            if uses_map(ifindex, map_id):
                detach_filter(ifindex)


@contextmanager
def closing(given: Mapping[str, Map], netns: int) -> Iterator[Closing]:
    """The closing programs for the legs of the director whose maps are `given`. Raises DataPlaneError."""
    legs = given["legs"].view(abi.types().struct("leg"))
    ids = np.flatnonzero(legs["ifindex"])
    used = legs[ids]
    closed = np.zeros(len(used), _LEG)
    closed["ifindex"] = used["ifindex"]
    closed["outer"], closed["inner"] = used["tags"]["vid"][:, 0], used["tags"]["vid"][:, 1]
    lib, path = library(), abi.object_path().with_name("closed.bpf.o")
    handle = lib.bpf_object__open_file(os.fsencode(path), ffi.NULL)
    if handle == ffi.NULL:
        raise DataPlaneError(f"can't open the BPF object {path}", "reinstall lasthop")
    try:
        for table in _each(lib.bpf_object__next_map, handle):
            shared = given.get(ffi.string(lib.bpf_map__name(table)).decode())
            if shared is not None:
                check(lib.bpf_map__reuse_fd(table, shared.fd), f"use map {shared.name}")
        check(lib.bpf_object__load(handle), "load the closing program")
        maps = {}
        for table in _each(lib.bpf_object__next_map, handle):
            name, fd = ffi.string(lib.bpf_map__name(table)).decode(), lib.bpf_map__fd(table)
            if name in {_STATE, _LEGS}:
                info = map_info(fd)
                maps[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
        programs = {
            ffi.string(lib.bpf_program__name(each)).decode(): lib.bpf_program__fd(each)
            for each in _each(lib.bpf_object__next_program, handle)
        }
        for leg_id, leg in zip(ids.tolist(), closed, strict=True):
            maps[_LEGS].update(leg.tobytes(), leg_id.to_bytes(4, "little"))
        maps[_STATE].update(bytes(4), np.array([(0, netns)], _CLOSED).tobytes())
        yield Closing(programs, maps, tuple(filter(exists, np.unique(closed["ifindex"]).tolist())))
    finally:
        lib.bpf_object__close(handle)


def _each(following: Callable[[Any, Any], Any], handle: Any) -> Iterator[Any]:  # noqa: ANN401 -- cffi pointers
    current = following(handle, ffi.NULL)
    while current != ffi.NULL:
        yield current
        current = following(handle, current)


@contextmanager
def _opened(pins: Pins, name: str) -> Iterator[Map | None]:
    fd = pins.get(pins.maps / name)
    if fd is None:
        yield None
        return
    try:
        info = map_info(fd)
        yield Map(name, fd, info.key_size, info.value_size, info.max_entries)
    finally:
        os.close(fd)


def _interfaces() -> list[int]:
    return [int(path.read_text()) for path in Path("/sys/class/net").glob("*/ifindex")]
