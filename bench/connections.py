"""Group `table`: the connection table, by the programs alone (BPF_PROG_TEST_RUN), beside its baselines.

Every packet belongs to a connection drawn at random, baselines included, and all go through the same drawing
program: its cost is in every figure. Baselines of a packet: `mac-swap` does nothing else; `floor` computes the same
keyed hash and touches the lines of memory that a look-up must; `kernel-hash` and `kernel-lru` are the product with its
connections in the kernel's own maps.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.drawer import Drawer
from bench.installed import ROOM, Installed
from bench.measurement import interleaved, rows_beside
from bench.variants import build_variant
from lasthop.dataplane import abi
from lasthop.dataplane.connection_table import Conditions, ConnectionTable
from lasthop.lab.namespace import inside
from lasthop.lab.topology import Blueprint, Topology
from lasthop.model.connection_query import Top

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.drawer import Packets
    from bench.measurement import Row

    Measures = dict[str, Callable[[], float]]

SIZES = {"1": 1, "64k": 65_536, "1m": 1_000_000, "8m": 8_000_000}
#: Where the table's upkeep and two processors are measured as well.
UPKEEP = "1m"
#: Where packets are measured in a table that a flood has been at.
FLOODED = "64k"
UNIT = "ns/packet"
TABLES = ("kernel-hash", "kernel-lru")
_MONOTONIC_COARSE = 6
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Effort:
    """How often, and on how many packets, each program runs."""

    sizes: tuple[str, ...]
    rounds: int
    packets: int
    openings: int
    """New connections per round; at most bench.installed.ROOM."""


def connections(effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """All rows of the group. Raises LasthopError."""
    with Topology(Blueprint(clients=1), start_directors=False) as lab, inside(lab.namespace("lb1")):
        rows = []
        for name in effort.sizes:
            with ExitStack() as stack:
                installed = {}
                for variant in ("lasthop", *TABLES):
                    said(f"table: {SIZES[name]:,} connections in {variant}")
                    product = build_variant(variant, SIZES[name] + ROOM) if variant in TABLES else None
                    installed[variant] = stack.enter_context(Installed(lab, SIZES[name], product))
                    with on_one_cpu():
                        installed[variant].fill()
                rows += _packets(installed, name, effort, said)
                if name == UPKEEP:
                    rows += _upkeep(installed, effort, said) + _scaling(installed["lasthop"], effort, said)
        return rows


def _packets(installed: Mapping[str, Installed], size: str, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    ours = installed["lasthop"]

    def known(which: Installed, program: str) -> Callable[[], float]:
        return lambda: which.run("xdp", program, which.acknowledging, effort.packets)

    def opened(which: Installed) -> float:
        first = which.connections
        spent = which.run("xdp", "lh_xdp", which.opening, effort.openings, first=first, in_order=True)
        which.forget_opened(first, effort.openings)
        return spent

    measures: Measures = {
        "mac-swap": known(ours, "mac_swap_xdp"),
        "floor": known(ours, "floor_xdp"),
        **{f"established {name}": known(which, "lh_xdp") for name, which in installed.items()},
        **{f"new-connection {name}": functools.partial(opened, which) for name, which in installed.items()},
    }
    if size == FLOODED:
        measures["flooded"] = functools.partial(_flooded, ours, effort)
    with on_one_cpu():
        taken = interleaved(measures, effort.rounds, lambda what: said(f"table: {what}, {size}"))
    rows = []
    if size == FLOODED:
        taken["established"] = taken["established lasthop"]
        rows += rows_beside("established", taken, {"flooded": f"flooded/{size}"}, UNIT)
    for series in ("established", "new-connection"):
        for baseline in ("mac-swap", "floor", *TABLES):
            beside = {baseline: taken.get(f"{series} {baseline}", taken.get(baseline, []))}
            beside |= {series: taken[f"{series} lasthop"]}
            rows += rows_beside(baseline, beside, {series: f"{series}/{size}"}, UNIT)
    return rows


def _flooded(ours: Installed, effort: Effort) -> float:
    """Packets of established connections after SYNs of ten times as many others as the table is for."""
    ours.drawer.run(
        "xdp",
        ours.programs["lh_xdp"],
        ours.opening,
        10 * ours.connections,
        first=ours.connections,
        count=ours.connections,
        in_order=True,
    )
    spent = ours.run("xdp", "lh_xdp", ours.acknowledging, effort.packets)
    ours.forget_opened(ours.connections, 0)
    return spent


def _upkeep(installed: Mapping[str, Installed], effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """The sweep beside reading one word of every entry, the listing beside reading the kernel's map in batches."""
    ours, other = installed["lasthop"], installed["kernel-hash"]
    entries = ours.entries
    types = abi.types()

    def listing() -> None:
        table = ConnectionTable(entries)
        now = time.clock_gettime_ns(_MONOTONIC_COARSE)
        found = table.select(Conditions(top=Top.BYTES), now, ours.timeouts_ns)
        next(table.rows(found.first(_SHOWN)))

    measures = {
        "sweep": timed(ours.sweep),
        "read": timed(lambda: np.add.reduce(entries["word"])),
        "list": timed(listing),
        "kernel-hash": timed(
            lambda: other.kernel_map.batch(types.struct("connection_key"), types.struct("connection"))
        ),
    }
    with on_one_cpu():
        taken = interleaved(measures, effort.rounds, lambda what: said(f"table: {what}, {UPKEEP}"))
    return [
        *rows_beside("read", taken, {"sweep": f"sweep/{UPKEEP}"}, "s"),
        *rows_beside("kernel-hash", taken, {"list": f"list/{UPKEEP}"}, "s"),
    ]


def _scaling(ours: Installed, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """Two processors at once beside one: packets of distinct connections, and both directions of the same ones."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        said("table: scaling needs two processors")
        return []
    with closing(Drawer()) as second:
        half, everything = ours.connections // 2, ours.connections
        program = ours.programs["lh_xdp"]

        def sent(drawer: Drawer, packets: Packets, first: int, count: int) -> Callable[[], object]:
            return lambda: drawer.run("xdp", program, packets, effort.packets, first=first, count=count)

        first_half = sent(ours.drawer, ours.acknowledging, 0, half)
        second_half = sent(second, ours.acknowledging, half, half)
        requests = sent(ours.drawer, ours.acknowledging, 0, everything)
        responses = sent(second, ours.responding, 0, everything)
        both = 2 * effort.packets
        measures: Measures = {
            "1cpu": lambda: both / (at_once({cpus[0]: first_half}) + at_once({cpus[1]: second_half})),
            "2cpu": lambda: both / at_once({cpus[0]: first_half, cpus[1]: second_half}),
            "1cpu-both-directions": lambda: both / (at_once({cpus[0]: requests}) + at_once({cpus[1]: responses})),
            "2cpu-both-directions": lambda: both / at_once({cpus[0]: requests, cpus[1]: responses}),
        }
        taken = interleaved(measures, effort.rounds, lambda what: said(f"table: {what}, {UPKEEP}"))
    rows = []
    for series in ("2cpu", "2cpu-both-directions"):
        rows += rows_beside(series.replace("2", "1", 1), taken, {series: f"scaling/{series}"}, "packets/s")
    return rows


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """A measure: seconds of this thread's processor time."""

    def measure() -> float:
        start = time.thread_time()
        action()
        return time.thread_time() - start

    return measure


def at_once(actions: Mapping[int, Callable[[], object]]) -> float:
    """Do each action on its processor, all beginning together: seconds until the last is done."""
    barrier = threading.Barrier(len(actions) + 1)
    ends: list[float] = []

    def work(cpu: int, action: Callable[[], object]) -> None:
        os.sched_setaffinity(0, {cpu})
        barrier.wait()
        action()
        ends.append(time.monotonic())

    threads = [threading.Thread(target=work, args=each) for each in actions.items()]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    return max(ends) - began


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread on one processor: caches stay warm, and only one CPU's counters move."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
