"""Events of a real director, followed by the real command: nothing is lost by a kill, a restart or an end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.lab.namespace import environment
from lasthop.lab.waiting import patience, wait_until
from tests.lab.machines import CONFIGURATION, PATIENCE_S, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_MAC = "02:00:00:00:01:99"


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        yield made


class Follower:
    """`lasthop events --follow` in a machine, and the lines it printed so far."""

    def __init__(self, machine: Machine) -> None:
        self._file = machine.folder / "events.jsonl"
        self._errors = machine.folder / "events.err"
        command = [sys.executable, "-m", "lasthop", "events", "--follow", "--since", "1h"]
        with self._file.open("w") as out, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [*machine._entering, *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment(),
            )  # fmt: skip

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    @property
    def told(self) -> str:
        return self._errors.read_text()

    def until(self, kind: str, number: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for the event of that kind, the `number`-th with these fields."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if each["kind"] == kind and fields.items() <= each.items()]

        assert wait_until(lambda: len(found()) >= number, timeout=PATIENCE_S), (kind, self.events, self.told)
        return found()[number - 1]


@contextmanager
def following(machine: Machine) -> Iterator[Follower]:
    follower = Follower(machine)
    try:
        yield follower
    finally:
        follower.process.kill()
        follower.process.wait()


def test_a_follower_hears_all_that_happens_also_over_a_kill_and_a_restart(machine: Machine) -> None:
    file = machine.write()
    process = machine.start(file)
    with following(machine) as follower:
        follower.until("started", configuration=file)
        machine.lasthop("weight", "fw1", "7")
        assert follower.until("edited")["by"].startswith("uid 0 (pid ")
        machine.ip(f"neighbour replace 10.0.1.11 lladdr {OTHER_MAC} dev eth1 nud permanent")
        follower.until("mac_changed", real_server="fw1", service="FWM 1", mac=OTHER_MAC)
        machine.lasthop("drain", "fw1", "--deadline", "1s", "--no-wait")
        follower.until("drain_begun", real_server="fw1")
        follower.until("drain_ended", real_server="fw1", reason="deadline", by="the drain's deadline")
        machine.ip("link delete eth0")
        follower.until("leg_vanished", leg="outside", interface="eth0")
        machine.end(process, signal.SIGKILL)
        assert wait_until(lambda: "waiting until it is there again" in follower.told, timeout=PATIENCE_S)
        machine.ip(
            "link add eth0 address 02:00:00:00:00:02 type veth peer name far-eth0",
            "address add 192.0.2.2/24 dev eth0",
            "link set eth0 up",
            "link set far-eth0 up",
        )
        process = machine.start(file)
        follower.until("started", 2)
        assert follower.until("edits_restored", configuration=file)["changes"] == 3
        assert "it is there again" in follower.told
        machine.write(CONFIGURATION.replace("mark = 2", "mark = 0"))
        process.send_signal(signal.SIGHUP)
        assert "mark" in follower.until("apply_refused", by="SIGHUP")["problem"]
        machine.end(process)
        assert follower.until("stopping")["reason"] == "stopped"
        numbers = [event["seq"] for event in follower.events]
        assert numbers == sorted(set(numbers))
        assert "missed" not in [event["kind"] for event in follower.events]
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(patience(PATIENCE_S)) == 0


def test_the_log_has_the_fields_of_the_events(machine: Machine) -> None:
    process = machine.start(machine.write(), options=("--log-format", "json"))
    machine.lasthop("weight", "fw1", "7")
    told = [json.loads(line) for line in machine.lasthop("events", "--json").stdout.splitlines()]
    machine.end(process)
    logged = [json.loads(line) for line in (machine.folder / "lb.log").read_text().splitlines()]
    lines = [each for each in logged if "kind" in each][: len(told)]
    assert [each["message"] for each in lines] == [each["message"] for each in told]
    for line, event in zip(lines, told, strict=True):
        assert event.items() - {("seq", event["seq"]), ("time", event["time"])} <= line.items()
