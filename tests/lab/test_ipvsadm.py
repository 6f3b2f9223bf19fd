"""The set-up of 2012 as LVS people type it, on a director that has but legs, and real traffic through it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.namespace import environment
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import Continuous, open_http
from lasthop.lab.waiting import wait_until
from tests.lab.conversations import Held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.symmetry import Symmetry

PATIENCE_S = 20
HOSTS = Path("/etc/hosts")
NAMES = {"rs1": "10.0.1.11", "rs2": "10.0.1.12", "rs3": "10.0.1.13", "rs4": "10.0.1.14"}
PROGRAMS = ("lasthop", "ipvsadm", "ipvsadm-save", "ipvsadm-restore")
#: A mount namespace of its own has names that this machine does not know.
WITH_HOSTS = 'mount --bind "$0" /etc/hosts && exec sh -c "$1"'

MARK_RULE = "lasthop mark add --protocol tcp --destination-port 80 --mark 1 --leg outside"
SETUP = ["ipvsadm -A -f 1 -p", *(f"ipvsadm -a -f 1 -r {name}" for name in NAMES)]
SAVED = """\
-A -f 1 -s wlc -p 360
-a -f 1 -r 10.0.1.11:0 -g -w 1
-a -f 1 -r 10.0.1.12:0 -g -w 1
-a -f 1 -r 10.0.1.13:0 -g -w 1
-a -f 1 -r 10.0.1.14:0 -g -w 1
"""
LISTED = """\
IP Virtual Server version 1.2.1 (size=20000)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
FWM  1 wlc persistent 360
  -> 10.0.1.11:0                  Route   1      ACTIVE     INACTIVE
  -> 10.0.1.12:0                  Route   1      ACTIVE     INACTIVE
  -> 10.0.1.13:0                  Route   1      ACTIVE     INACTIVE
  -> 10.0.1.14:0                  Route   1      ACTIVE     INACTIVE
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    """The sandwich; its outer director has a file with legs, and no services."""
    with Topology(
        Blueprint(clients=8, balancing=Balancing(connections=20_000), offloads=False), start_directors=False
    ) as built:
        built.serve()
        director = built.directors["lb1"]
        legs, service, _ = director.file.read_text().partition("\n[[service]]")
        assert service
        director.file.write_text(legs)
        built.start_directors()
        yield built


class Keyboard:
    """A shell of somebody who has ipvsadm and lasthop in the PATH and the firewalls' names in /etc/hosts."""

    def __init__(self, folder: Path, director: str) -> None:
        self._hosts = folder / "hosts"
        lines = [f"{address} {name}" for name, address in NAMES.items()]
        self._hosts.write_text("\n".join([HOSTS.read_text(), *lines, ""]))
        for name in PROGRAMS:
            (folder / name).symlink_to(Path(sys.executable).with_name("lasthop"))
        self._variables = environment() | {
            "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)]),
            "LASTHOP_DIRECTOR": director,
        }

    def type(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type a line."""
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_HOSTS, str(self._hosts), line]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._variables, timeout=PATIENCE_S
        )

    def ask(self, line: str) -> str:
        """Type a line that is well; what it printed."""
        done = self.type(line)
        assert (done.returncode, done.stderr) == (0, ""), (line, done)
        return done.stdout


@pytest.fixture(scope="module")
def keyboard(lab: Topology, tmp_path_factory: pytest.TempPathFactory) -> Keyboard:
    return Keyboard(tmp_path_factory.mktemp("keyboard"), lab.directors["lb1"].name)


@pytest.fixture(autouse=True)
def bare(lab: Topology) -> None:
    """The director has legs again, and nothing else."""
    director = lab.directors["lb1"]
    director.client.apply(str(director.file), director.file.read_text())
    assert director.client.services() == []


def set_up(lab: Topology, keyboard: Keyboard) -> None:
    keyboard.ask(MARK_RULE)
    for line in SETUP:
        assert keyboard.ask(line) == ""
    lab.directors["lb1"].wait_ready()


def opened(lab: Topology, count: int) -> Symmetry:
    judged = symmetry.judge(lab, open_http(lab.namespace("client"), lab.layout.outwards, count))
    assert judged.holds, judged.asymmetric[:5]
    return judged


def refused(lab: Topology) -> bool:
    """Whether a new connection gets nowhere."""
    (attempt,) = open_http(lab.namespace("client"), lab.layout.outwards, 1, timeout=0.3)
    return not attempt.completed


def words_of(listed: str, start: str) -> list[str]:
    """The words of the one line that begins so, behind that."""
    (line,) = (line for line in listed.splitlines() if line.startswith(start))
    return line.removeprefix(start).split()


def through(keyboard: Keyboard) -> list[int]:
    """Connections, packets in and out, bytes in and out; who asks often gets the numbers of a moment ago."""
    return [int(word) for word in words_of(keyboard.ask("ipvsadm -Ln --stats --exact"), "FWM  1 ")]


def test_the_setup_of_2012_is_typed_and_persistent_clients_cross_one_firewall_each(
    lab: Topology, keyboard: Keyboard
) -> None:
    assert keyboard.ask(MARK_RULE) == "packets like that get mark 1\n"
    first, *rest = SETUP
    assert [keyboard.ask(line) for line in (first, *rest[:2])] == ["", "", ""]
    again = keyboard.type("ipvsadm -a -f 1 -r rs2")
    assert (again.returncode, again.stdout, again.stderr) == (255, "", "Destination already exists\n")
    assert [keyboard.ask(line) for line in rest[2:]] == ["", ""]
    director = lab.directors["lb1"]
    director.wait_ready()
    # Who was there before has its connections again, as with LVS: other tests may have left some.
    listed = re.sub(r"(?m)( Route +1 +)\d+ +\d+ +$", r"\1ACTIVE     INACTIVE", keyboard.ask("ipvsadm -Ln"))
    assert listed == LISTED
    assert [server["name"] for server in director.client.servers()] == list(NAMES)
    firewalls = defaultdict(set)
    for key, name in opened(lab, 80).firewall_of.items():
        firewalls[key[1]].add(name)
    assert len(firewalls) == len(lab.layout.clients)
    assert all(len(names) == 1 for names in firewalls.values()), firewalls
    assert set.union(*firewalls.values()) == set(lab.layout.firewalls)
    assert director.client.status()["unexpected"] == {}


def test_a_service_that_no_mark_rule_leads_to_is_added_with_a_warning(lab: Topology, keyboard: Keyboard) -> None:
    done = keyboard.type("ipvsadm -A -f 1 -p")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "lasthop: service FWM 1 gets no packets: no mark rule gives mark 1; add one, for instance: "
        "lasthop mark add --protocol tcp --destination-port 80 --mark 1 --leg outside\n"
    )
    keyboard.ask("ipvsadm -a -f 1 -r rs1")
    lab.directors["lb1"].wait_ready()
    assert refused(lab)
    told = done.stderr.partition("for instance: ")[2]
    keyboard.ask(told)
    assert set(opened(lab, 8).firewall_of.values()) == {"fw1"}


def test_the_lists_show_the_traffic_that_goes_through(lab: Topology, keyboard: Keyboard) -> None:
    set_up(lab, keyboard)
    keyboard.ask("ipvsadm -Z")
    clients = [str(client) for client in lab.layout.clients]
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        ports = held.open(len(clients))
        listed = keyboard.ask("ipvsadm -Lnc").splitlines()
        assert listed[:2] == [
            "IPVS connection entries",
            "pro expire state       source             virtual            destination",
        ]
        for client, port in zip(clients, ports, strict=True):
            (line,) = (line for line in listed if f" {client}:{port} " in line)
            assert re.fullmatch(rf"TCP \d+:\d\d +ESTABLISHED {client}:{port} +203.0.113.80:80 +10.0.1.1[1-4]:80", line)
            assert [
                each
                for each in listed
                if re.fullmatch(rf"IP  05:\d\d  ASSURED +{client}:0 +0.0.0.1:0 +10.0.1.1[1-4]:0", each)
            ], client
        active = words_of(keyboard.ask("ipvsadm -Ln"), "  -> 10.0.1.11:0 ")
        attempts = held.asked()
    assert int(active[2]) > 0
    assert all(attempt.completed for attempt in attempts)
    # SYN, ACK, request, ACK and FIN.
    assert wait_until(lambda: min(through(keyboard)[1:3]) >= 4 * len(clients), timeout=PATIENCE_S), through(keyboard)
    connections, packets_in, packets_out, bytes_in, bytes_out = through(keyboard)
    assert connections == len(clients)
    assert (bytes_in > 40 * packets_in, bytes_out > 40 * packets_out) == (True, True)
    bound = keyboard.ask("ipvsadm -Ln --persistent-conn")
    assert sum(int(words_of(bound, f"  -> {address}:0 ")[1]) for address in NAMES.values()) == len(clients)
    assert "TIME_WAIT" in keyboard.ask("ipvsadm -Lnc")


def test_rates_rise_while_connections_come_and_zeroed_statistics_begin_anew(lab: Topology, keyboard: Keyboard) -> None:
    set_up(lab, keyboard)
    with Continuous(lab.namespace("client"), lab.layout.outwards) as load:

        def rate() -> int:
            return int(words_of(keyboard.ask("ipvsadm -Ln --rate"), "FWM  1 ")[0])

        assert wait_until(lambda: rate() > 0, timeout=PATIENCE_S)
    assert all(attempt.completed for attempt in load.attempts)
    assert wait_until(lambda: through(keyboard)[0] == len(load.attempts), timeout=PATIENCE_S), through(keyboard)
    keyboard.ask("ipvsadm -Z")
    assert through(keyboard) == [0] * 5
    opened(lab, 10)
    assert wait_until(lambda: through(keyboard)[0] == 10, timeout=PATIENCE_S), through(keyboard)


def test_what_is_saved_is_restored_and_what_is_cleared_is_gone(lab: Topology, keyboard: Keyboard) -> None:
    set_up(lab, keyboard)
    saved = keyboard.ask("ipvsadm -S -n")
    assert saved == keyboard.ask("ipvsadm-save -n") == SAVED
    keyboard.ask("ipvsadm-save -n | ipvsadm-restore")
    assert keyboard.ask("ipvsadm -S -n") == saved
    full = keyboard.type("ipvsadm -S -n | ipvsadm -R")
    assert full.returncode == 255
    assert full.stderr == "line 1: -A -f 1 -s wlc -p 360: Service already exists\n"
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        held.open(8)
        keyboard.ask("ipvsadm -C")
        assert keyboard.ask("ipvsadm -S -n") == ""
        assert refused(lab)
        (one, *_) = held.asked(held.ports[:1])
        assert one.completed, "what was open goes on"
        assert keyboard.ask(f"printf '%s' '{saved}' | ipvsadm -R") == ""
        lab.directors["lb1"].wait_ready()
        assert keyboard.ask("ipvsadm -S -n") == saved
        opened(lab, 8)
        assert all(attempt.completed for attempt in held.asked())
    assert lab.directors["lb1"].client.status()["unexpected"] == {}


def test_names_are_shown_edited_and_deleted_as_they_were_typed(lab: Topology, keyboard: Keyboard) -> None:
    set_up(lab, keyboard)
    assert keyboard.ask("ipvsadm -S").splitlines()[1:] == [f"-a -f 1 -r {name}:0 -g -w 1" for name in NAMES]
    keyboard.ask("ipvsadm -e -f 1 -r rs2 -w 0")
    keyboard.ask("ipvsadm -d -f 1 -r rs3")
    keyboard.ask("ipvsadm -E -f 1 -s wrr")
    listed = keyboard.ask("ipvsadm -L -f 1").splitlines()
    assert [line.split()[:4] for line in listed[2:]] == [
        ["FWM", "1", "wrr"],
        ["->", "rs1:0", "Route", "1"],
        ["->", "rs2:0", "Route", "0"],
        ["->", "rs4:0", "Route", "1"],
    ]
    assert set(opened(lab, 12).firewall_of.values()) == {"fw1", "fw4"}
    gone = keyboard.type("ipvsadm -d -f 1 -r rs3")
    assert (gone.returncode, gone.stderr) == (255, "No such destination\n")
    unknown = keyboard.type("ipvsadm -a -f 1 -r rs9")
    assert unknown.returncode == 2
    assert keyboard.ask("ipvsadm -D -f 1") == ""
    assert keyboard.type("ipvsadm -D -f 1").stderr == "No such service\n"
