"""A director as its operator works it: nouns and verbs through the real command line, their words and exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lasthop import __version__
from lasthop.lab.director_files import Balancing
from lasthop.lab.namespace import environment
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until
from lasthop.model.leg import LegReport
from lasthop.model.service import ServiceReport
from lasthop.model.status import StatusReport
from tests.lab.machines import CONFIGURATION, PATIENCE_S, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENED = 12

# The names of the design, which scripts rely on.
HOP = ["leg", "mac", "vlan", "name"]
CONNECTION = [
    "zone", "protocol", "source", "source_port", "destination", "destination_port", "state", "assured", "service",
    "real_server", "forward_hop", "last_hop", "packets", "bytes", "age_s", "idle_s", "expires_s", "key", "bypassed",
]  # fmt: skip
FIELDS = {
    "legs": [field.name for field in dataclasses.fields(LegReport)],
    "services": [field.name for field in dataclasses.fields(ServiceReport)],
    "servers": [
        "name", "service", "address", "weight", "effective_weight", "health", "active", "inactive", "persistent",
        "leg", "mac", "upper_threshold", "lower_threshold", "admin", "other_addresses", "stand_in", "overloaded",
        "statistics", "rates",
    ],
    "connections": CONNECTION,
    "hops": ["id", "leg", "mac", "vlan", "address", "name", "connections", "moved", "role"],
    "counters": ["name", "sentence", "expected", "value"],
}  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    """Two directors and two firewalls, over which some connections went."""
    blueprint = Blueprint(firewalls=2, clients=2, balancing=Balancing(connections=20_000), offloads=False)
    with Topology(blueprint) as built:
        built.serve()
        attempts = open_http(built.namespace("client"), built.layout.outwards, OPENED)
        assert all(attempt.completed for attempt in attempts)
        yield built


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which nothing runs, before and after each test."""
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        yield made


def lasthop(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lasthop", *arguments],
        capture_output=True, text=True, check=False, env=environment() | variables, timeout=PATIENCE_S,
    )  # fmt: skip


def asked(lab: Topology, noun: str, *options: str) -> str:
    done = lasthop("--director", lab.directors["lb1"].name, noun, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("noun", FIELDS)
def test_the_json_of_a_noun_has_the_names_of_the_design(lab: Topology, noun: str) -> None:
    rows = json.loads(asked(lab, noun, "--json"))
    assert rows
    assert all(list(row) == FIELDS[noun] for row in rows)


def test_the_status_is_that_of_a_healthy_director(lab: Topology) -> None:
    status = json.loads(asked(lab, "status", "--json"))
    assert list(status) == [field.name for field in dataclasses.fields(StatusReport)]
    director = lab.directors["lb1"]
    assert (status["director"], status["pid"], status["version"]) == (director.name, director.pid, __version__)
    assert status["configuration"] == str(director.file)
    assert (status["legs"], status["legs_up"], status["services"], status["real_servers"]) == (2, 2, 2, 3)
    assert (status["connections"], status["connections_max"]) == (OPENED, 20_000)
    assert (status["unresolved"], status["problems"], status["unexpected"]) == ([], [], {})


def test_connections_are_shown_as_their_originator_sent_them(lab: Topology) -> None:
    rows = json.loads(asked(lab, "connections", "--json"))
    assert len(rows) == OPENED
    router = lab.layout.port("ro", "outside").mac
    for row in rows:
        assert (row["zone"], row["protocol"], row["service"], row["destination_port"]) == ("edge", "tcp", "FWM 1", 80)
        assert row["source"] in {str(client) for client in lab.layout.clients}
        assert row["assured"]
        assert list(row["last_hop"]) == list(row["forward_hop"]) == HOP
        assert row["last_hop"] == {"leg": "outside", "mac": router, "vlan": None, "name": "ro"}
        assert (row["forward_hop"]["leg"], row["forward_hop"]["name"]) == ("firewalls", row["real_server"])
        assert row["packets"]["request"] > 2
        assert row["packets"]["response"] > 2
        assert row["expires_s"] > row["idle_s"] >= 0


def test_numbers_of_different_nouns_agree(lab: Topology) -> None:
    servers = json.loads(asked(lab, "servers", "--json"))
    services = {row["service"]: row for row in json.loads(asked(lab, "services", "--json"))}
    hops = {row["name"]: row for row in json.loads(asked(lab, "hops", "--json"))}
    total = sum(row["active"] + row["inactive"] for row in servers if row["service"] == "FWM 1")
    assert total == services["FWM 1"]["active"] + services["FWM 1"]["inactive"] == OPENED
    assert hops["ro"]["connections"] == OPENED
    assert hops["fw1"]["connections"] + hops["fw2"]["connections"] == OPENED
    counters = {row["name"]: row["value"] for row in json.loads(asked(lab, "counters", "--json"))}
    assert counters["forwarded_opening"] == OPENED


@pytest.mark.parametrize(
    ("noun", "words"),
    [
        ("status", ["lb1", "all well", "2 legs, all up"]),
        ("legs", ["outside", "firewalls", "edge", "tc", "up"]),
        ("services", ["FWM 1", "FWM 2", "wlc"]),
        ("servers", ["fw1", "fw2", "ro", "up"]),
        ("connections", ["FWM 1", "fw1", "203.0.113.80"]),
        ("hops", ["fw1", "fw2", "ro", "02:00:0a:00:01:0b"]),
        ("counters", ["forwarded_opening"]),
    ],
)
def test_a_noun_without_json_is_for_people(lab: Topology, noun: str, words: list[str]) -> None:
    shown = asked(lab, noun)
    assert not [word for word in words if word not in shown], shown
    assert "\x1b" not in shown, "colours stay out of pipes"


def test_a_director_can_be_named_by_a_variable(lab: Topology) -> None:
    done = lasthop("status", "--json", LASTHOP_DIRECTOR=lab.directors["lb2"].name)
    assert json.loads(done.stdout)["director"] == lab.directors["lb2"].name


def test_several_directors_are_a_choice_to_make(lab: Topology) -> None:
    done = lasthop("status")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lasthop: can't choose a director: ")
    assert lab.directors["lb1"].name in line
    assert line.endswith("; name one: --director NAME or LASTHOP_DIRECTOR=NAME")


@pytest.mark.parametrize("noun", ["status", "connections"])
def test_a_director_that_does_not_run_is_an_error(machine: Machine, noun: str) -> None:
    done = machine.lasthop("--director", "absent", noun)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "lasthop: can't reach director 'absent': it does not run; start one with: lasthop run FILE\n"
    )


@pytest.mark.parametrize("arguments", [["nonsense"], ["status", "--nonsense"], ["run"], ["check"], ["--director"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    done = lasthop(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_check_says_what_a_file_configures(machine: Machine) -> None:
    file = machine.write()
    done = machine.lasthop("check", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: ok: director lb, 2 legs, 2 services, 2 real servers\n"
    assert machine.directors() == []


def test_doctor_finds_nothing_to_mend_for_the_labs_file(lab: Topology) -> None:
    told = json.loads(
        lab.run("lb1", sys.executable, "-m", "lasthop", "doctor", "--json", str(lab.directors["lb1"].file))
    )
    assert all(list(each) == ["subject", "ok", "severity", "what", "remedy_command"] for each in told)
    assert {"kernel", "bpffs", "capabilities", "leg outside", "memory"} <= {each["subject"] for each in told}
    assert not [each for each in told if each["severity"] == "error"]


def test_doctor_fails_for_a_file_whose_interface_is_not_there(machine: Machine) -> None:
    file = machine.write(CONFIGURATION.replace('"eth1"', '"eth9"'))
    done = machine.lasthop("doctor", file)
    assert done.returncode == 1
    assert "there is no interface 'eth9'" in done.stdout
    told = machine.lasthop("doctor", "--json", file)
    assert told.returncode == 1
    assert [each["subject"] for each in json.loads(told.stdout) if each["severity"] == "error"] == ["leg firewalls"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_director_that_is_ended_leaves_forwarding_and_is_taken_up_again(
    lab: Topology, number: signal.Signals
) -> None:
    director, client, pairs = lab.directors["lb1"], lab.namespace("client"), lab.layout.outwards
    before = director.client.count_connections()
    assert director.end(number) == 0
    assert "the data plane goes on forwarding" in director.last_words()
    assert lasthop("--director", director.name, "status").returncode == 1
    assert all(attempt.completed for attempt in open_http(client, pairs, 5))
    director.start()
    director.wait_ready()
    assert director.client.count_connections() == before + 5


class TestDetach:
    """It takes the data plane out, whether its director runs or not."""

    def test_the_only_running_director_is_meant_and_ends(self, machine: Machine) -> None:
        process = machine.start(machine.write())
        done = machine.lasthop("detach")
        assert (done.returncode, done.stdout, done.stderr) == (0, "director lb detached\n", "")
        assert process.wait(PATIENCE_S) == 0
        assert not (machine.root / "run/lasthop/lb.sock").exists()
        assert_gone(machine)

    def test_the_only_pinned_director_is_meant_when_none_runs(self, machine: Machine) -> None:
        machine.end(machine.start(machine.write()), signal.SIGKILL)
        assert machine.attached("eth0") == ["lh_tc"]
        done = machine.lasthop("detach")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "director lb detached (it was not running)\n"
        assert_gone(machine)

    def test_a_director_is_named_where_there_are_several(self, machine: Machine) -> None:
        first = CONFIGURATION.partition("[[service]]")[0].replace('interface = "eth1"', 'interface = "bridge0"')
        second = first.replace('"lb"', '"other"').replace('"eth0"', '"eth1"').replace('"bridge0"', '"far-eth1"')
        services = '[[service]]\nmark = 1\nmatch = [{ leg = "outside" }]\n[[service.real_server]]\nname = "box"\n'
        machine.start(machine.write(first + services + 'address = "192.0.2.1"\n'))
        machine.start(machine.write(second + services + 'address = "10.0.1.11"\n', "other.toml"), "other")
        undecided = machine.lasthop("detach")
        assert undecided.returncode == 1
        assert "can't choose a director: 2 run here (lb, other)" in undecided.stderr
        assert machine.lasthop("--director", "lb", "detach").stdout == "director lb detached\n"
        assert machine.directors() == ["other"]
        assert machine.attached("eth1") == ["lh_tc"]
        assert machine.lasthop("detach").stdout == "director other detached\n"
        assert_gone(machine)

    def test_there_is_nothing_to_detach(self, machine: Machine) -> None:
        done = machine.lasthop("detach")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == ("lasthop: can't reach a director: none runs here; start one with: lasthop run FILE\n")
        named = machine.lasthop("--director", "absent", "detach")
        assert named.returncode == 1
        assert "can't reach director 'absent': it does not run" in named.stderr


def assert_gone(machine: Machine) -> None:
    assert machine.directors() == []
    for interface in ("eth0", "eth1", "bridge0", "far-eth1"):
        # The kernel takes a link out some time after its last pin went.
        assert wait_until(lambda interface=interface: machine.attached(interface) == [], timeout=PATIENCE_S)  # type: ignore[misc]


def test_a_director_that_is_told_to_stop_twice_stops_once(machine: Machine) -> None:
    process = machine.start(machine.write())
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert machine.lasthop("detach").returncode == 0
    assert_gone(machine)


def test_a_file_that_is_watched_is_applied_when_it_was_changed_and_a_bad_one_changes_nothing(machine: Machine) -> None:
    file = machine.write()
    machine.start(file, options=("--watch",))

    def marks() -> list[str]:
        return [each["service"] for each in json.loads(machine.lasthop("services", "--json").stdout)]

    machine.write(CONFIGURATION.replace("mark = 2", "mark = 7"))
    assert wait_until(lambda: marks() == ["FWM 1", "FWM 7"], timeout=PATIENCE_S)
    machine.write(CONFIGURATION.replace("mark = 2", "mark = 0"))
    log = machine.folder / "lb.log"
    assert wait_until(lambda: f"{file} was changed: nothing changed: " in log.read_text(), timeout=PATIENCE_S)
    assert marks() == ["FWM 1", "FWM 7"]
