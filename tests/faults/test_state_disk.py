"""The disk of the state file is full, under live load: what commands change holds, is told as unsafe, and is mended.

The directors' own mount namespace has a small file system there; no other process sees it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.load import Load
from lasthop.lab.namespace import environment
from lasthop.lab.waiting import patience
from tests.faults.settings import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.director_process import DirectorProcess
    from lasthop.lab.topology import Topology

# The last line ends with the pipe, and so with the tests, however those end.
_HOLD = 'mkdir -p "$0" && mount -t tmpfs -o size=16k lasthop "$0" && echo held && exec cat'
_FULL = "No space left on device"
#: More edits in one command than the rest of a page takes.
_MANY = 150


class Disk:
    """A file system of four pages that a director keeps its state on."""

    def __init__(self, lab: Topology) -> None:
        self._folder = lab.folder / "state"
        hold = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, str(self._folder)]
        self._holder = subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.entering = (
            "nsenter",
            f"--mount=/proc/{self._holder.pid}/ns/mnt",
            "env",
            f"STATE_DIRECTORY={self._folder}",
        )

    def wait_held(self) -> None:
        """Wait until it is there."""
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "held\n"

    def fill(self) -> None:
        ended = self._run("cat /dev/zero > filler")
        assert _FULL in ended.stderr

    def make_room(self) -> None:
        assert self._run("rm filler").returncode == 0

    def files(self) -> set[str]:
        return set(self._run("ls").stdout.split())

    def close(self) -> None:
        self._holder.communicate("", timeout=patience(PATIENCE_S))

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        command = [*self.entering, "sh", "-c", f"cd {self._folder} && {script}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def on_a_small_disk(lab: Topology) -> Iterator[tuple[DirectorProcess, Disk]]:
    """The outer director keeps its state there for the time of the block."""
    director, disk = lab.directors["lb1"], Disk(lab)
    try:
        disk.wait_held()
        director.before = disk.entering
        restart(director)
        yield director, disk
    finally:
        director.before = ()
        restart(director)
        disk.close()


def restart(director: DirectorProcess) -> None:
    """As after a crash."""
    director.end(signal.SIGKILL)
    director.start()
    director.wait_ready()


def change(director: DirectorProcess, *words: str) -> str:
    """Run a command of the director's that is well; what it warned of."""
    command = [sys.executable, "-m", "lasthop", "--director", director.name, *words]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), timeout=patience(PATIENCE_S)
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def weight(director: DirectorProcess, name: str) -> int:
    (row,) = (row for row in director.client.servers() if (row["service"], row["name"]) == ("FWM 1", name))
    return int(row["weight"])


def fill_the_last_page(director: DirectorProcess) -> None:
    """Commands, until one of them finds no room."""
    edits = [{"kind": "weigh", "server": "fw2", "weight": 2}] * _MANY
    warnings = director.client.edit(edits)["warnings"]
    assert any(_FULL in each for each in warnings), warnings


@pytest.fixture(name="small")
def small_disk(lab: Topology) -> Iterator[tuple[Load, DirectorProcess, Disk]]:
    """A load, and a director on a small disk."""
    with Load(lab) as load, on_a_small_disk(lab) as (director, disk):
        yield load, director, disk
    assert load.broken == []


def test_on_a_full_disk_a_command_holds_and_is_told_as_unsafe_and_the_next_one_with_room_keeps_it(
    small: tuple[Load, DirectorProcess, Disk],
) -> None:
    load, director, disk = small
    assert change(director, "weight", "fw1", "5") == ""
    disk.fill()
    fill_the_last_page(director)
    told = change(director, "weight", "fw1", "0", "--service", "1")
    assert f"{_FULL}; it is made, and would be lost by a restart; make room there" in told
    assert weight(director, "fw1") == 0
    (problem,) = director.client.status()["problems"]
    assert "can't keep the change in" in problem
    load.progress()
    disk.make_room()
    assert change(director, "weight", "fw3", "4") == ""
    assert director.client.status()["problems"] == []
    restart(director)
    assert [weight(director, name) for name in ("fw1", "fw2", "fw3")] == [0, 2, 4]
    load.progress()


def test_a_crash_on_a_full_disk_loses_what_was_told_to_be_unsafe_and_nothing_that_was_kept(
    small: tuple[Load, DirectorProcess, Disk],
) -> None:
    load, director, disk = small
    assert change(director, "weight", "fw1", "5") == ""
    disk.fill()
    fill_the_last_page(director)
    assert _FULL in change(director, "weight", "fw1", "0", "--service", "1")
    restart(director)
    assert [weight(director, name) for name in ("fw1", "fw2")] == [5, 1]
    assert disk.files() == {"filler", f"{director.name}.json"}
    load.progress()
    disk.make_room()
    assert change(director, "weight", "fw1", "6") == ""
    restart(director)
    assert weight(director, "fw1") == 6
