"""Resizing the connection table under traffic: a next table beside it, programs that know both, a move, a switch.

Owns the order of the steps. How far a resize is stands in the pinned map `live` before anything of the step is done,
and every step can be done again: a director that starts after a crash goes on from there. At every moment packets
look in every table that may hold their connection, and the programs of two legs differ by one step at most:

* LOOK: programs look in both tables and insert in the main one.
* MOVE: once all do, programs insert in the next one, and connections are moved there.
* SWITCH: once none is left, the next table's pins become the main one's, and programs know it alone.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.interface import Resizing
from lasthop.dataplane.leftover import lives_elsewhere
from lasthop.dataplane.libbpf import Map, run_syscall
from lasthop.dataplane.loader import MAIN_TABLE, NEXT_TABLE, Role, load, map_info
from lasthop.dataplane.table_size import memory_bytes, noted_or_computed
from lasthop.errors import DataPlaneError
from lasthop.model.event import Kind, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.pins import Pins

_log = logging.getLogger(__name__)

_STEP_NS = 2_000_000
_FEWEST_SLOTS, _MOST_SLOTS = 256, 1 << 18
#: What finds no room in the next table is tried again, this often and so many times, before it is given up.
_RETRY_S, _RETRIES = 1.0, 30
_MIB = 1 << 20


class Phase(IntEnum):
    """How far a resize is (enum resize_phase in bpf/abi.h)."""

    NONE = 0
    LOOK = 1
    MOVE = 2
    SWITCH = 3


def resume(pins: Pins) -> tuple[Role, int]:
    """What the programs of a starting director must be, and for how many connections the next table is.

    Finishes a switch that was begun: the renaming of pins is what is left of it that matters. Programs under links
    still know both tables then, and lose nothing until they are replaced.
    """
    live, table = _Record(pins, "live"), _Record(pins, "table")
    try:
        if not (live.readable and table.readable) or live.get("abi_version") != abi.limit("ABI_VERSION"):
            return Role.ALONE, 0
        if lives_elsewhere(pins):
            return Role.ALONE, 0
        phase, following = Phase(live.get("resize_phase")), table.get("next_connections")
        if phase is Phase.SWITCH:
            _rename(pins)
            if following:
                table.set(connections=following, next_connections=0)
        if phase is Phase.LOOK and not any((pins.maps / name).exists() for name in NEXT_TABLE):
            table.set(next_connections=0)
        elif phase in (Phase.LOOK, Phase.MOVE):
            return Role.MAIN if phase is Phase.LOOK else Role.NEXT, following
        live.set(resize_phase=Phase.NONE)
        return Role.ALONE, 0
    finally:
        live.close()
        table.close()


class Resize:
    """The resizing of one director's table, under way or not."""

    def __init__(self, pins: Pins, loaded: Loaded, role: Role, swap: Callable[[], None]) -> None:
        """`role` is that of the programs in `loaded`; `swap` puts them on all legs and waits until no other runs."""
        self._pins = pins
        self._loaded = loaded
        self._role = role
        self._swap = swap
        self._in_use: Role | None = None
        """The role of the programs on all legs, as far as is known."""
        self._live = loaded.maps["live"].view(abi.types().struct("live"))
        self._table = loaded.maps["table"].view(abi.types().struct("table"))
        self._slots_at_once = _FEWEST_SLOTS
        self._moved = self._refused = 0
        self._pass = _Pass()
        self._fruitless = 0
        self._retry_at = 0.0
        self._given_up = 0

    @property
    def connections(self) -> int:
        """For how many connections the main table was made."""
        noted = (int(self._table[name][0]) for name in ("connections", "next_connections"))
        return noted_or_computed(self._loaded.maps["tags"].max_entries, *noted)

    @property
    def progress(self) -> Resizing | None:
        """The resize under way, None if there is none."""
        if self._phase is Phase.NONE:
            return None
        return Resizing(self.connections, int(self._table["next_connections"][0]), self._moved, self._refused)

    def begin(self, connections: int) -> None:
        """Resize to `connections`, in steps. Nothing happens if the table has that size.

        Raises DataPlaneError if a resize is under way.
        """
        if self._phase is not Phase.NONE:
            raise DataPlaneError(
                f"can't resize the table to {connections} connections: "
                f"it is being resized to {int(self._table['next_connections'][0])}",
                "try again when that is done; see `lasthop status`",
            )
        if connections == self.connections:
            return
        self._moved = self._refused = self._given_up = self._fruitless = 0
        self._pass = _Pass()
        self._table["next_connections"] = connections
        self._live["resize_phase"] = Phase.LOOK
        beside = told(Kind.RESIZE_BEGUN, connections=connections)
        _log.info("resizing the table from %d to %d connections", self.connections, connections, extra=beside)

    def step(self, now_ns: int) -> bool:
        """Do the next piece, mostly a few milliseconds of moving. False: there is no resize under way (any more).

        `now_ns` is of CLOCK_MONOTONIC_COARSE. The legs must be attached.
        Raises DataPlaneError if it failed. A resize whose table could not be made is called off; another one stays
        where it is, and the step may be tried again.
        """
        if self._phase is Phase.LOOK:
            self._look()
        elif self._phase is Phase.MOVE and self._in_use is not Role.NEXT:
            self._become(Role.NEXT, ())
        elif self._phase is Phase.MOVE:
            self._move(now_ns)
        elif self._phase is Phase.SWITCH:
            self._switch()
        return self._phase is not Phase.NONE

    @property
    def _phase(self) -> Phase:
        return Phase(int(self._live["resize_phase"][0]))

    def _look(self) -> None:
        try:
            self._become(Role.MAIN, NEXT_TABLE)
        except DataPlaneError as error:
            if self._role is not Role.ALONE:
                raise
            following = int(self._table["next_connections"][0])
            self._call_off()
            raise DataPlaneError(
                f"can't resize the table to {following} connections, "
                f"which take {memory_bytes(following) // _MIB} MiB more while it lasts: {error.problem}",
                error.remedy,
            ) from error
        self._live["resize_phase"] = Phase.MOVE

    def _call_off(self) -> None:
        """Before any program knew of the next table."""
        for name in NEXT_TABLE:
            (self._pins.maps / name).unlink(missing_ok=True)
        self._table["next_connections"] = 0
        self._live["resize_phase"] = Phase.NONE

    def _move(self, now_ns: int) -> None:
        if time.monotonic() < self._retry_at:
            return
        slots = self._loaded.maps["entries"].max_entries
        request = np.zeros(1, abi.types().struct("slice"))
        request["now_ns"] = now_ns
        request["first"] = self._pass.first
        request["count"] = min(self._slots_at_once, slots - self._pass.first)
        began = time.monotonic_ns()
        if run_syscall(self._loaded.programs["lh_move"], request):
            raise DataPlaneError("can't move connections: the program found no next table", "restart the director")
        self._adapt(time.monotonic_ns() - began)
        self._pass.add(request)
        self._moved += int(request["connections"][0])
        if self._pass.first >= slots:
            self._pass_ended()

    def _adapt(self, spent_ns: int) -> None:
        """Take as many slots at once as a step has time for."""
        if spent_ns > _STEP_NS:
            self._slots_at_once = max(self._slots_at_once // 2, _FEWEST_SLOTS)
        elif spent_ns < _STEP_NS // 2:
            self._slots_at_once = min(self._slots_at_once * 2, _MOST_SLOTS)

    def _pass_ended(self) -> None:
        done, self._pass = self._pass, _Pass()
        self._refused = done.refused
        if done.progressed:
            self._fruitless = 0
        elif done.remaining:
            self._fruitless += 1
            self._retry_at = time.monotonic() + _RETRY_S
        if not done.remaining and not done.progressed:
            self._live["resize_phase"] = Phase.SWITCH
        elif self._fruitless > _RETRIES:
            self._given_up = done.remaining
            self._live["resize_phase"] = Phase.SWITCH

    def _switch(self) -> None:
        _rename(self._pins)
        before, following = int(self._table["connections"][0]), int(self._table["next_connections"][0])
        if following:
            self._table["connections"] = following
            self._table["next_connections"] = 0
        self._become(Role.ALONE, (*MAIN_TABLE, *NEXT_TABLE))
        self._live["resize_phase"] = Phase.NONE
        _log.info(
            "the table is resized from %d to %d connections; %d were moved",
            before,
            self.connections,
            self._moved,
            extra=told(Kind.RESIZE_ENDED, connections=self.connections, count=self._moved),
        )
        if self._given_up:
            beside = told(Kind.CONNECTIONS_FORGOTTEN, count=self._given_up)
            _log.warning(
                "%d connections found no room in the resized table and were forgotten", self._given_up, extra=beside
            )

    def _become(self, role: Role, tables: tuple[str, ...]) -> None:
        if self._role is not role:
            self._loaded.replace(self._load(role), tables)
            self._role = role
        self._swap()
        self._in_use = role

    def _load(self, role: Role) -> Loaded:
        following = int(self._table["next_connections"][0])
        return load(self._pins, self.connections, role=role, next_connections=following, late=True)


@dataclass(slots=True)
class _Pass:
    """What one walk over all slots of the main table found so far."""

    first: int = 0
    """The slot it is at."""
    progressed: bool = False
    refused: int = 0
    remaining: int = 0

    def add(self, request: NDArray[Any]) -> None:
        """Add a slice that was moved."""
        moved, expired, left, refused = (
            int(request[name][0]) for name in ("connections", "expired", "left", "refused")
        )
        self.first += int(request["count"][0])
        self.progressed |= bool(moved or expired)
        self.refused += refused
        self.remaining += refused + left


class _Record:
    """The one entry of a pinned map, before the object is loaded; unreadable if it is of another layout."""

    def __init__(self, pins: Pins, name: str) -> None:
        dtype = abi.types().struct(name)
        self._fd = pins.get(pins.maps / name)
        self._table = Map(name, self._fd or 0, 4, dtype.itemsize, 1)
        self.readable = self._fd is not None and int(map_info(self._fd).value_size) == dtype.itemsize
        self._record = np.zeros(1, dtype)
        if self.readable:
            self._record[:] = np.frombuffer(self._table.lookup(bytes(4)) or bytes(dtype.itemsize), dtype)

    def get(self, field: str) -> int:
        """Value of a field."""
        return int(self._record[field][0])

    def set(self, **fields: int) -> None:
        """Write fields."""
        for field, value in fields.items():
            self._record[field] = value
        self._table.update(bytes(4), self._record.tobytes())

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd is not None:
            os.close(self._fd)


def _rename(pins: Pins) -> None:
    """Let the next table's pins be the main one's; rename(2) replaces a pin at once."""
    for name, following in zip(MAIN_TABLE, NEXT_TABLE, strict=True):
        if (pins.maps / following).exists():
            (pins.maps / following).rename(pins.maps / name)
