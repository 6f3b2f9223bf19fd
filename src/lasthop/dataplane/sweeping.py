"""Sweeping the connection table: a slice of slots at a time, and what the live counters should be at the end.

Owns the passes of the program lh_sweep and the mending of live counters (lh_repair). Live counters move with every
packet that changes a connection; a sweep counts connections over a while. So a difference means something only if
nobody moved the counter meanwhile, which the count of its changes tells: what two passes, some time apart, find off by
the same, with no change in between, is mended. A counter that never rests is left alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.interface import TableSize
from lasthop.dataplane.libbpf import run_syscall
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasthop.dataplane.accounts import Accounts
    from lasthop.dataplane.hop_table import HopTable
    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.publisher import Publisher
    from lasthop.model.rule import Network

_log = logging.getLogger(__name__)

#: About a millisecond's work.
_SLICE_SLOTS = 65_536
#: Passes closer together than this may see the same packets in flight.
_APART_NS = 1_000_000_000
_COUNTED = ("connections", "assured", "expired", "overflowed", "templates")


class Sweep:
    """The sweeping of one director's table."""

    def __init__(self, loaded: Loaded, hops: HopTable, publisher: Publisher) -> None:
        types = abi.types()
        self._loaded = loaded
        self._hops = hops
        self._publisher = publisher
        self._accounts: Accounts = publisher.accounts
        self._refs = loaded.maps["hop_refs"].view(np.dtype("u4"))
        self._server_census = loaded.maps["server_census"].view(types.struct("server_census"))
        self._service_census = loaded.maps["service_census"].view(np.dtype("u4"))
        self._service_loads = loaded.maps["service_loads"].view(types.struct("service_load"))
        self._table = loaded.maps["table"].view(types.struct("table"))
        self._todo: list[tuple[int, int, int]] = []
        """(table, first slot, count) of the slices still to be swept in this pass, the next one last."""
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._templates_left = True
        """Whether the last pass left templates; who swept before is not known."""
        self._resized = False
        """Whether connections moved from table to table in this pass."""
        self._networks: list[Network] = []
        """What goes to these is forgotten in this pass: the first of `Publisher.new_locals`."""
        self._changes: dict[str, NDArray[Any]] = {}
        """Of each live counter, as this pass began."""
        self._drift: dict[tuple[str, int], tuple[int, int]] = {}
        """(counter, id) -> what the last pass but this found it off by, and the count of its changes then."""
        self._drift_at_ns = 0

    def whole(self, now_ns: int, maximum: int, *, both: bool) -> TableSize:
        """A pass from beginning to end; one that was under way is given up. See `step`."""
        self._todo = []
        while (size := self.step(now_ns, maximum, both=both)) is None:
            pass
        return size

    def give_up(self) -> None:
        """Begin anew with the next step: the tables are others now, and what was counted so far is not all."""
        self._todo = []

    def step(self, now_ns: int, maximum: int, *, both: bool) -> TableSize | None:
        """Sweep one slice at `now_ns` (CLOCK_MONOTONIC_COARSE); the size of the table if that ended a pass.

        `both`: a resize is under way, and the next table has connections too. `maximum` is for how many connections
        the table was made. Raises DataPlaneError if nothing was published yet.
        """
        first = not self._todo
        if first:
            self._begin(both=both)
        self._resized |= both
        table, slot, count = self._todo.pop()
        request = np.zeros(1, abi.types().struct("slice"))
        request["now_ns"], request["table"], request["first"], request["count"] = now_ns, table, slot, count
        request["network_count"] = len(self._networks)
        for place, network in enumerate(self._networks):
            asked = request["networks"][0][place : place + 1]
            asked["address"] = np.frombuffer(abi.pack_address(network.network_address), "u8")
            asked["mask"] = np.frombuffer(abi.mask(network), "u8")
        request["templates_too"] = first and self._templates_expected
        if run_syscall(self._loaded.programs["lh_sweep"], request):
            self._todo = []
            raise DataPlaneError("can't sweep the connection table: the program found no maps", "restart the director")
        for name in _COUNTED:
            self._counts[name] += int(request[name][0])
        if self._todo:
            return None
        del self._publisher.new_locals[: len(self._networks)]
        self._templates_left = self._counts["templates"] > 0
        self._hops.swept(self._refs)
        self._hops.clear_unused(self._publisher.servers["hop"])
        if not self._resized:
            self._accounts.finish(self._server_census, self._publisher.servers["service"], now_ns)
            self._mend(now_ns)
        return TableSize(self._counts["connections"], self._counts["assured"], maximum)

    @property
    def _templates_expected(self) -> bool:
        """Walking their map takes longer than sweeping a table of the same size, also when it is empty."""
        return self._templates_left or bool(self._publisher.server_loads["persistent"].any())

    def _begin(self, *, both: bool) -> None:
        self._resized = False
        self._networks = self._publisher.new_locals[: abi.limit("NETWORKS_A_SWEEP")]
        self._counts = dict.fromkeys(_COUNTED, 0)
        for census in (self._refs, self._server_census, self._service_census):
            census[:] = 0
        self._accounts.begin(int(np.flatnonzero(self._publisher.servers["box"]).max(initial=-1)) + 1)
        self._changes = {name: counters[f"{field}_changes"].copy() for name, (counters, field) in self._live().items()}
        ids = abi.enum("table_id")
        tables = [(ids["TABLE_MAIN"], "entries")] + ([(ids["TABLE_NEXT"], "next_entries")] if both else [])
        slices = [
            (table, slot, min(_SLICE_SLOTS, self._loaded.maps[name].max_entries - slot))
            for table, name in tables
            for slot in range(0, self._loaded.maps[name].max_entries, _SLICE_SLOTS)
        ]
        self._todo = slices[::-1]

    def _mend(self, now_ns: int) -> None:
        if self._drift_at_ns and now_ns - self._drift_at_ns < _APART_NS:
            return
        drift = self._differences()
        for (counter, number), (by, changes) in drift.items():
            if self._drift.get((counter, number)) == (by, changes):
                self._repair(counter, number, by)
        self._drift, self._drift_at_ns = drift, now_ns

    def _live(self) -> dict[str, tuple[NDArray[Any], str]]:
        """Counter -> where the live ones are, and the field."""
        loads = self._publisher.server_loads
        return {
            "active": (loads, "active"),
            "inactive": (loads, "inactive"),
            "service_unassured": (self._service_loads, "unassured"),
            "unassured": (self._table, "unassured"),
            "overflowed": (self._table, "overflowed"),
            "live": (self._table, "live"),
        }

    def _differences(self) -> dict[tuple[str, int], tuple[int, int]]:
        """(counter, id) -> by how much it is above what was counted, and its changes; of those at rest in this pass."""
        counted = {
            "active": self._server_census["active"],
            "inactive": self._server_census["inactive"],
            "service_unassured": self._service_census,
            "unassured": np.array([self._counts["connections"] - self._counts["assured"]]),
            "overflowed": np.array([self._counts["overflowed"]]),
            "live": np.array([self._counts["connections"]]),
        }
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for counter, (counters, field) in self._live().items():
            off = (counters[field].astype(np.int64) - counted[counter].astype(np.int64)).astype(np.int32)
            changes = counters[f"{field}_changes"]
            for i in np.flatnonzero((off != 0) & (changes == self._changes[counter])).tolist():
                found[counter, i] = int(off[i]), int(changes[i])
        return found

    def _repair(self, counter: str, number: int, by: int) -> None:
        request = np.zeros(1, abi.types().struct("repair"))
        request[counter] = -by
        if counter in ("active", "inactive"):
            request["server"] = number
        elif counter == "service_unassured":
            request["service"] = number
        run_syscall(self._loaded.programs["lh_repair"], request)
        _log.warning(
            "live counter %s of id %d was %+d off for two sweeps and at rest; it was mended", counter, number, by
        )
