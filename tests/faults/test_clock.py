"""Clocks that jump, and a process whose clocks are not the kernel's, under live load: no connection, no deadline moves.

Nothing here sets a clock of the machine: libfaketime tells one director another time of day, a time namespace gives it
other monotonic clocks.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.load import Load
from lasthop.lab.waiting import wait_until
from tests.faults.settings import PATIENCE_S, apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.director_process import DirectorProcess
    from lasthop.lab.topology import Topology

_DAY_S = 86_400
DRAIN_S = 3600
FAR = 10 * _DAY_S


@contextmanager
def restarted(lab: Topology, *before: str) -> Iterator[DirectorProcess]:
    """The outer director as a process that is started by `before`; in the end it is as it was."""
    director = lab.directors["lb1"]
    try:
        director.end()
        director.before = before
        director.start()
        director.wait_ready()
        yield director
    finally:
        director.before = ()
        director.end()
        director.start()
        director.wait_ready()


def drain(director: DirectorProcess, until_s: float | None) -> None:
    director.client.edit([{"kind": "drain", "server": "fw3", "service": "FWM 1", "until_s": until_s}])


def admin(director: DirectorProcess) -> str:
    (row,) = (row for row in director.client.servers() if (row["service"], row["name"]) == ("FWM 1", "fw3"))
    return str(row["admin"])


def deadline(director: DirectorProcess) -> float:
    (report,) = director.client.drains()
    return float(report["deadline_s"])


def test_a_time_of_day_that_jumps_ends_no_connection_no_binding_and_no_drain(lab: Topology) -> None:
    (library, *_) = (*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not there: apt-get install libfaketime")
    clock = lab.folder / "clock"
    clock.write_text("+0")
    preloaded = (f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1")
    with restarted(lab, "env", *preloaded, "FAKETIME_DONT_FAKE_MONOTONIC=1") as director, Load(lab) as load:
        apply(lab, 'persistence = { timeout = 600 }\non_death = "keep"\n')
        load.progress()
        drain(director, time.time() + DRAIN_S)
        bound, known = len(director.client.templates()), director.client.count_connections()
        for days in (10, -10, 4000, -4000):
            clock.write_text(f"{days:+}d")
            load.progress()
            assert admin(director) == "drained"
            assert DRAIN_S - PATIENCE_S * 4 < deadline(director) <= DRAIN_S
            assert len(director.client.templates()) >= bound
            assert director.client.count_connections() >= known
            assert {row["health"] for row in director.client.health()} == {"up"}
        clock.write_text("+10d")
        drain(director, time.time() + DRAIN_S + 1)
        assert wait_until(lambda: admin(director) == "disabled", timeout=PATIENCE_S), "it does have that time of day"
        director.client.edit([{"kind": "enable", "server": "fw3"}])
    assert load.broken == []


@pytest.mark.parametrize("offset_s", [FAR, -600])
def test_in_a_time_namespace_connections_live_as_long_as_anywhere(lab: Topology, offset_s: int) -> None:
    if not Path("/proc/self/ns/time").exists():
        pytest.skip("this kernel has no time namespaces (CONFIG_TIME_NS)")
    apply(lab)
    with Load(lab) as load, restarted(lab, "unshare", "--time", "--monotonic", str(offset_s)) as director:
        here, there = (Path(f"/proc/{pid}/ns/time").readlink() for pid in ("self", director.pid))
        assert here != there
        for _ in range(3):
            load.progress()
        rows = director.client.connections(protocol="tcp")
        assert len(rows) >= len(load.living)
        assert min(row["idle_s"] for row in rows) < PATIENCE_S
        assert max(row["age_s"] for row in rows) > 1
    assert load.broken == []
