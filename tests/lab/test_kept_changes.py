"""What commands changed is there again after the director was killed; where it cannot be kept, that is told."""

from __future__ import annotations

import json
import re
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lasthop.api.client import Client
from lasthop.errors import LasthopError
from lasthop.lab.waiting import wait_until
from tests.lab.machines import CONFIGURATION, PATIENCE_S, Machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

MAX_WEIGHT = 65_535
#: Command lines of every verb that changes something.
CHANGES = (
    "ipvsadm -A -f 7 -s wrr -p 60 -M 255.255.255.0",
    "ipvsadm -a -f 7 -r 10.0.1.11 -w 3 -x 1000 -y 800",
    "ipvsadm -a -f 7 -r 10.0.1.12",
    "ipvsadm -e -f 7 -r 10.0.1.12 -w 9",
    "ipvsadm -A -t 203.0.113.80:80 -s sh -b sh-port",
    "ipvsadm -a -t 203.0.113.80:80 -r 10.0.1.13 -g",
    "ipvsadm -A -u 203.0.113.80:53 -s rr -o",
    "ipvsadm -A -f 8",
    "ipvsadm -D -f 8",
    "ipvsadm -E -f 1 -s mh -b mh-port",
    "ipvsadm --set 900 60 30",
    "mark add --mark 7 --protocol udp --destination-port 53 --leg outside",
    "mark add --mark 7 --protocol tcp --destination-port 8000-8080 --source 198.51.100.0/24",
    "mark delete --mark 7 --protocol udp --destination-port 53 --leg outside",
    "weight fw1 5 --service 1",
    "weight router 2",
    "drain 10.0.1.12 --no-wait --deadline 1h",
    "disable fw1 --service 7",
)
NO_MARK_RULE = re.compile(r"lasthop: service FWM \d+ gets no packets: no mark rule .*\n")
LINES = "".join(f"-A -f {mark}\n-a -f {mark} -r 10.0.1.11\n" for mark in range(100, 140))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as made:
        yield made


def done(machine: Machine, line: str, given: str = "") -> str:
    """What a command line printed that was well."""
    ended = machine.lasthop(*line.split(), given=given)
    assert (ended.returncode, NO_MARK_RULE.sub("", ended.stderr)) == (0, ""), (line, ended)
    return ended.stdout


def logged(machine: Machine) -> str:
    return (machine.folder / "lb.log").read_text()


def problems(machine: Machine) -> list[str]:
    """What the status finds wrong, but for real servers that are not there."""
    told = json.loads(done(machine, "status --json"))["problems"]
    return [each for each in told if "state file" in each or "can't keep" in each]


def test_every_change_is_there_again_after_a_kill_and_a_restart(machine: Machine) -> None:
    file = machine.write()
    process = machine.start(file)
    plain = done(machine, "dump")
    for line in CHANGES:
        done(machine, line)
    before = done(machine, "dump")
    assert before != plain
    machine.end(process, signal.SIGKILL)
    process = machine.start(file)
    assert done(machine, "dump") == before
    assert f"made the changes of {len(CHANGES)} commands again" in logged(machine)
    assert done(machine, "ipvsadm -Ln").count("Route") == 5
    dumped = machine.write(before, "dumped.toml")
    assert done(machine, f"apply {dumped}") == "nothing to change\n"
    machine.end(process, signal.SIGKILL)
    machine.start(dumped)
    assert done(machine, "dump") == before, "the file says it all"


def test_a_file_that_was_changed_meanwhile_wins_and_the_log_tells_where_the_changes_are(machine: Machine) -> None:
    file = machine.write()
    process = machine.start(file)
    plain = done(machine, "dump")
    done(machine, "weight fw1 5")
    machine.end(process, signal.SIGKILL)
    machine.write(CONFIGURATION + "\n# another line\n")
    machine.start(file)
    assert done(machine, "dump") == plain
    aside = machine.folder / "lb.discarded"
    assert (
        f"the changes that commands made to {file} are not made again: {file} is another since; they are in {aside}"
        in " ".join(logged(machine).split())
    )
    assert '"weigh"' in aside.read_text()


def test_a_director_killed_among_changes_has_lost_none_that_it_had_confirmed(machine: Machine) -> None:
    file = machine.write()
    process = machine.start(file)
    client = Client("lb", machine.root / "run/lasthop")
    confirmed = [0]

    def change() -> None:
        with suppress(LasthopError):
            for weight in range(1, MAX_WEIGHT):
                client.edit([{"kind": "weigh", "server": "fw1", "weight": weight}])
                confirmed.append(weight)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        assert wait_until(lambda: len(confirmed) > 50, timeout=PATIENCE_S)
    finally:
        machine.end(process, signal.SIGKILL)
        changing.join()
    machine.start(file)
    (server,) = (each for each in client.servers() if each["name"] == "fw1")
    assert server["weight"] in {confirmed[-1], confirmed[-1] + 1}, "the last one was made and not yet confirmed"


class Disk:
    """A small file system of the machine's own, for the state file."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.path = machine.folder / "state"
        self.path.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", "size=16k", "lasthop", str(self.path))

    def fill(self) -> None:
        """Leave no free page."""
        full = self._machine.run("sh", "-c", f"cat /dev/zero > {self.path}/filler")
        assert "No space left" in full.stderr

    def make_room(self) -> None:
        self._run("rm", f"{self.path}/filler")

    def protect(self, mode: str) -> None:
        """Make it read-only (ro) or writable again (rw)."""
        self._run("mount", "-o", f"remount,{mode}", str(self.path))

    def _run(self, *command: str) -> None:
        ended = self._machine.run(*command)
        assert ended.returncode == 0, ended.stderr


@pytest.fixture
def disk(machine: Machine) -> Disk:
    return Disk(machine)


def require_told(machine: Machine, ended: subprocess.CompletedProcess[str], why: str) -> None:
    """The command is done, and says that it would be lost; so do the status and the log."""
    assert ended.returncode == 0
    assert f": {why}; it is made, and would be lost by a restart; make room there" in ended.stderr
    (problem,) = problems(machine)
    assert why in problem
    assert why in logged(machine)


def test_on_a_read_only_disk_a_change_is_made_and_the_operator_told(machine: Machine, disk: Disk) -> None:
    process = machine.start(machine.write(), state=disk.path)
    plain = done(machine, "dump")
    disk.protect("ro")
    require_told(machine, machine.lasthop("weight", "fw1", "5"), "Read-only file system")
    assert done(machine, "dump") != plain
    disk.protect("rw")
    done(machine, "weight router 2")
    assert problems(machine) == []
    before = done(machine, "dump")
    machine.end(process, signal.SIGKILL)
    machine.start(machine.write(), state=disk.path)
    assert done(machine, "dump") == before, "with what could not be kept at first"


def test_on_a_full_disk_changes_are_made_and_all_of_them_kept_once_there_is_room(machine: Machine, disk: Disk) -> None:
    process = machine.start(machine.write(), state=disk.path)
    done(machine, "weight fw1 5")
    disk.fill()
    require_told(machine, machine.lasthop("ipvsadm", "-R", given=LINES), "No space left on device")
    assert "FWM 139" in done(machine, "services")
    disk.make_room()
    done(machine, "weight fw1 7 --service 139")
    assert problems(machine) == []
    before = done(machine, "dump")
    machine.end(process, signal.SIGKILL)
    process = machine.start(machine.write(), state=disk.path)
    assert done(machine, "dump") == before, logged(machine)
    machine.end(process, signal.SIGKILL)
    machine.start(machine.write(), state=disk.path)
    assert done(machine, "dump") == before, "and again"


def test_what_was_kept_before_the_disk_was_full_is_there_after_a_kill(machine: Machine, disk: Disk) -> None:
    process = machine.start(machine.write(), state=disk.path)
    done(machine, "weight fw1 5")
    kept = done(machine, "dump")
    disk.fill()
    require_told(machine, machine.lasthop("ipvsadm", "-R", given=LINES), "No space left on device")
    machine.end(process, signal.SIGKILL)
    machine.start(machine.write(), state=disk.path)
    assert done(machine, "dump") == kept


def test_a_director_starts_where_changes_to_another_file_cannot_be_put_aside(machine: Machine, disk: Disk) -> None:
    process = machine.start(machine.write(), state=disk.path)
    plain = done(machine, "dump")
    done(machine, "weight fw1 5")
    machine.end(process, signal.SIGKILL)
    other = machine.write(CONFIGURATION + "\n# another line\n")
    disk.protect("ro")
    process = machine.start(other, state=disk.path)
    assert done(machine, "dump") == plain
    assert "are not made again" in logged(machine)
    disk.protect("rw")
    done(machine, "weight router 2")
    before = done(machine, "dump")
    machine.end(process, signal.SIGKILL)
    machine.start(other, state=disk.path)
    assert done(machine, "dump") == before != plain
