"""Group `program`: the programs alone, by BPF_PROG_TEST_RUN, beside one that only swaps the MAC addresses.

Every packet belongs to a connection drawn at random, baselines included, and all go through the same
drawing program: its cost is in every figure. ``mac-swap`` beside ``draw`` says how much that is.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.installed import Installed
from bench.measurement import interleaved, rows_beside
from lasthop.lab.namespace import inside
from lasthop.lab.topology import Blueprint, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.measurement import Row

SIZES = {"1": 1, "64k": 65_536, "1m": 1_000_000}
UNIT = "ns/packet"
BASELINE = "mac-swap"
#: Name of rows by kind of program: XDP's programs cost the least around them.
KINDS = {"xdp": "", "tc": "-tc"}


@dataclass(frozen=True, slots=True)
class Effort:
    """How often, and on how many packets, each program runs."""

    rounds: int
    packets: int
    openings: int
    """New connections per round; at most bench.installed.ROOM."""


def program(effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """All rows of the group. Raises LasthopError."""
    with Topology(Blueprint(clients=1), start_directors=False) as lab, inside(lab.namespace("lb1")), on_one_cpu():
        rows = []
        for name, connections in SIZES.items():
            said(f"program: {connections:,} connections")
            with Installed(lab, connections) as installed:
                installed.fill()
                rows += _rows(installed, name, effort, said)
        # What drawing costs does not depend on the table: one row of each kind tells it.
        drawing = [row for row in rows if row.baseline == "draw"][: len(KINDS)]
        return drawing + [row for row in rows if row.baseline != "draw"]


def _rows(installed: Installed, size: str, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    def established(kind: str, name: str) -> Callable[[], float]:
        return lambda: installed.run(kind, name, installed.acknowledging, effort.packets)

    def opened(kind: str, name: str) -> Callable[[], float]:
        def measure() -> float:
            first = installed.connections
            spent = installed.run(kind, name, installed.opening, effort.openings, first=first, in_order=True)
            installed.forget_opened()
            return spent

        return measure

    rows = []
    for kind, suffix in KINDS.items():
        taken = interleaved(
            {
                "draw": established(kind, f"nothing_{kind}"),
                BASELINE: established(kind, f"mac_swap_{kind}"),
                "established": established(kind, f"lh_{kind}"),
                "new-connection": opened(kind, f"lh_{kind}"),
            },
            effort.rounds,
            lambda what, kind=kind: said(f"program: {what}, {kind}, {size}"),  # type: ignore[misc] # bound now
        )
        names = {series: f"{series}{suffix}/{size}" for series in ("established", "new-connection")}
        rows += rows_beside("draw", taken, {BASELINE: f"{BASELINE}{suffix}"}, UNIT)
        rows += rows_beside(BASELINE, taken, names, UNIT)
    return rows


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread on one processor: caches stay warm, and only one CPU's counters move."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
