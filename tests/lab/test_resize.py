"""The connection table is resized under traffic, through the command line: nothing is lost, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import Map
from lasthop.dataplane.loader import map_info
from lasthop.dataplane.pins import Pins
from lasthop.dataplane.resize import Phase
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.namespace import environment
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import Continuous, Drip
from lasthop.lab.waiting import wait_until
from tests.lab.unharmed import progress, require_unharmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lasthop.lab.director_process import DirectorProcess

SIZE, LARGER, SMALLER = 100_000, 300_000, 60_000
PATIENCE_S = 30


@contextmanager
def traffic(modes: LegModes) -> Iterator[tuple[Topology, Callable[[], None]]]:
    """A sandwich with a long transfer and short connections over it, which all must come to a good end.

    With it, a function that waits until both have gone on by some steps.
    """
    blueprint = Blueprint(firewalls=3, balancing=Balancing(modes, connections=SIZE), offloads=False)
    with Topology(blueprint) as lab:
        lab.serve()
        client, pairs = lab.namespace("client"), lab.layout.outwards
        with Drip(client, pairs[0]) as drip, Continuous(client, pairs) as short:

            def go_on() -> None:
                progress(drip, short, PATIENCE_S)

            go_on()
            yield lab, go_on
            go_on()
        require_unharmed(lab, drip, short)


def lasthop(director: DirectorProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lasthop", "--director", director.name, *arguments],
        capture_output=True, text=True, check=False, env=environment(), timeout=PATIENCE_S,
    )  # fmt: skip


def write_size(director: DirectorProcess, connections: int) -> None:
    """Change ``connections`` in a director's file."""
    lines = director.file.read_text().splitlines()
    changed = [f"connections = {connections}" if line.startswith("connections = ") else line for line in lines]
    director.file.write_text("\n".join(changed) + "\n")


def resized(director: DirectorProcess, connections: int) -> bool:
    """Whether a director's table has a size, and nothing is being done to it."""
    status = director.client.status()
    return status["connections_max"] == connections and not status["notes"] and not status["problems"]


def wait_resized(director: DirectorProcess, connections: int) -> None:
    assert wait_until(lambda: resized(director, connections), timeout=PATIENCE_S), repr(director.client.status())


def phase_of(director: DirectorProcess) -> Callable[[], Phase]:
    """What tells how far the resize of a director is, as its pinned maps have it."""
    pins = Pins(director.name)
    fd = pins.get(pins.maps / "live")
    assert fd is not None
    info = map_info(fd)
    live = Map("live", fd, info.key_size, info.value_size, info.max_entries).view(abi.types().struct("live"))
    os.close(fd)
    return lambda: Phase(int(live["resize_phase"][0]))


@pytest.mark.parametrize("modes", [LegModes.TC, LegModes.XDP])
def test_a_table_is_resized_up_and_down_under_traffic(modes: LegModes) -> None:
    with traffic(modes) as (lab, go_on):
        for director in lab.directors.values():
            for size in (LARGER, SMALLER):
                before = director.client.count_connections()
                write_size(director, size)
                done = lasthop(director, "apply", str(director.file))
                assert done.returncode == 0, done.stderr
                assert "  table changed: connections" in done.stdout
                assert f"-> {size}" in done.stdout
                wait_resized(director, size)
                go_on()
                assert director.client.count_connections() >= before > 0
                assert {path.name for path in Pins(director.name).maps.iterdir()}.isdisjoint(
                    {"next_tags", "next_entries"}
                )


@pytest.mark.parametrize("modes", [LegModes.TC, LegModes.XDP])
@pytest.mark.parametrize("phase", [Phase.LOOK, Phase.MOVE, Phase.SWITCH], ids=lambda phase: phase.name)
def test_a_director_killed_within_a_resize_is_followed_by_one_that_finishes_it(phase: Phase, modes: LegModes) -> None:
    with traffic(modes) as (lab, go_on):
        for director, size in zip(lab.directors.values(), (LARGER, SMALLER), strict=False):
            now = phase_of(director)
            before = director.client.count_connections()
            write_size(director, size)
            assert lasthop(director, "apply", str(director.file)).returncode == 0
            assert wait_until(lambda now=now: now() is phase, timeout=PATIENCE_S, interval=0.0005)  # type: ignore[misc]
            director.end(signal.SIGKILL)
            assert now() is phase, "it was killed within the phase"
            go_on()
            director.start()
            director.wait_ready()
            wait_resized(director, size)
            assert now() is Phase.NONE
            go_on()
            assert director.client.count_connections() >= before > 0


def test_a_file_changes_a_running_director_and_its_connections_stay(tmp_path: Path) -> None:
    """Real servers are taken away and given back while a transfer goes over one of them."""
    with traffic(LegModes.TC) as (lab, go_on):
        director = lab.directors["lb1"]
        whole = director.file.read_text()
        less = tmp_path / "less.toml"
        less.write_text(without(whole, "fw1"))
        names = {server["name"] for server in director.client.servers()}
        dry = lasthop(director, "apply", "--dry-run", str(less))
        assert (dry.returncode, dry.stderr) == (0, "")
        assert "  real server fw1 of FWM 1 removed" in dry.stdout.splitlines()
        assert {server["name"] for server in director.client.servers()} == names
        done = lasthop(director, "apply", str(less))
        assert done.returncode == 0, done.stderr
        assert {server["name"] for server in director.client.servers()} == names - {"fw1"}
        assert director.client.status()["configuration"] == str(less)
        go_on()
        assert lasthop(director, "apply", str(less)).stdout == "nothing to change\n"
        os.kill(director.pid, signal.SIGHUP)
        director.wait_for(lambda client: {each["name"] for each in client.servers()} == names, "the return of fw1")
        assert director.client.status()["configuration"] == str(director.file)
        director.wait_for(lambda client: not client.status()["unresolved"], "the resolution of fw1")
        bad = tmp_path / "bad.toml"
        bad.write_text(whole.replace("mark = 1", "mark = 0"))
        refused = lasthop(director, "apply", str(bad))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"lasthop: {bad}: service[0].mark = 0: ")
        assert director.client.status()["configuration"] == str(director.file)


def without(text: str, name: str) -> str:
    """A configuration without a real server: its match names and its tables."""
    blocks = text.split("\n\n")
    kept = [block for block in blocks if not block.startswith(f'[[service.real_server]]\nname = "{name}"')]
    assert len(kept) < len(blocks)
    return "\n\n".join(kept)
