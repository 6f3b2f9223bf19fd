"""Thresholds under real load: a firewall is filled up to its upper threshold and no further, and nobody notices."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import PARALLEL, open_http
from lasthop.lab.waiting import wait_until
from tests.lab.conversations import Held
from tests.lab.settings import SHORT_TIMEOUTS, add_to_files, edit, wait_empty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from lasthop.api.client import Client
    from lasthop.lab.topology import Topology

PATIENCE_S = 15
SERVICE = "FWM 1"
UPPER = 24
PROGRAM = (sys.executable, "-m", "lasthop")
LOAD = 600
OTHERS = {"fw2", "fw3"}

pytestmark = pytest.mark.parametrize(
    "lab", [Blueprint(firewalls=3, clients=8, balancing=Balancing(connections=20_000))], indirect=True, scope="module"
)


@pytest.fixture(autouse=True, scope="module")
def forgetful(lab: Topology) -> Iterator[None]:
    add_to_files(lab, SHORT_TIMEOUTS)
    yield
    unexpected = {name for director in lab.directors.values() for name in director.client.status()["unexpected"]}
    assert unexpected <= {"drop_empty"}, "the connections that the last test has refused"


@pytest.fixture(autouse=True)
def unlimited(lab: Topology) -> None:
    """A test begins with an empty table, no thresholds and the scheduler rr."""
    wait_empty(lab)
    edit(lab, {"kind": "edit_service", "service": SERVICE, "scheduler": "rr"})
    limit(lab, 0)


def limit(lab: Topology, upper: int, lower: int = 0) -> None:
    """Give fw1 thresholds on every director, towards whichever side it is."""
    for place in lab.layout.directors:
        (side,) = place.sides
        client = lab.directors[place.name].client
        client.edit(
            [
                {
                    "kind": "edit_server",
                    "service": SERVICE,
                    "address": str(dict(side.firewalls)["fw1"]),
                    "upper_threshold": upper,
                    "lower_threshold": lower,
                }
            ]
        )


def report(client: Client, name: str = "fw1") -> dict[str, Any]:
    (found,) = (each for each in client.servers() if (each["service"], each["name"]) == (SERVICE, name))
    return found


def total(client: Client, name: str = "fw1") -> int:
    """Connections, active and inactive."""
    told = report(client, name)
    return int(told["active"] + told["inactive"])


class Sampled:
    """What a director says of fw1, asked again and again for the time of a `with` block."""

    def __init__(self, client: Client) -> None:
        self.reports: list[dict[str, Any]] = []
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        assert wait_until(lambda: self.reports, timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def most(self) -> int:
        return max(int(each["active"] + each["inactive"]) for each in self.reports)

    def _sample(self) -> None:
        while not self._over.is_set():
            self.reports.append(report(self._client))


@pytest.mark.parametrize("scheduler", ["rr", "wlc", "mh"])
@pytest.mark.parametrize("from_inside", [False, True], ids=["from outside", "from inside"])
def test_under_load_a_firewall_is_filled_to_its_threshold_and_no_further(
    lab: Topology, scheduler: str, from_inside: bool
) -> None:
    flags = ["mh-fallback", "mh-port"] if scheduler == "mh" else []
    edit(lab, {"kind": "edit_service", "service": SERVICE, "scheduler": scheduler, "scheduler_flags": flags})
    limit(lab, UPPER)
    client = lab.directors["lb2" if from_inside else "lb1"].client
    box, pairs = ("www", lab.layout.inwards) if from_inside else ("client", lab.layout.outwards)
    with Sampled(client) as sampled:
        attempts = open_http(lab.namespace(box), pairs, LOAD, parallel=PARALLEL)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    assert len(judged.firewall_of) == LOAD, "all requests are answered"
    assert sampled.most == UPPER, sampled.most
    assert len(sampled.reports) > 20
    assert {each["overloaded"] for each in sampled.reports} == {False, True}
    through = {name: list(judged.firewall_of.values()).count(name) for name in lab.layout.firewalls}
    assert counted(client, "drop_empty") == 0
    assert UPPER <= through["fw1"] < min(through[name] for name in OTHERS), through


def test_a_full_firewall_is_shown_as_full_and_takes_new_ones_when_connections_are_over(lab: Topology) -> None:
    limit(lab, 3)
    lb1 = lab.directors["lb1"]
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        held.open(9)
        told = report(lb1.client)
        assert (told["active"], told["inactive"], told["overloaded"]) == (3, 0, True)
        assert [total(lb1.client, name) for name in sorted(OTHERS)] == [3, 3]
        assert "full" in shown(lab).split()
        held.open(4)
        assert [total(lb1.client, name) for name in ("fw1", *sorted(OTHERS))] == [3, 6, 4], "fw2 has its turns"
        attempts = held.asked()
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    assert wait_until(lambda: not report(lb1.client)["overloaded"], timeout=PATIENCE_S)
    assert "full" not in shown(lab).split()
    again = symmetry.judge(lab, open_http(lab.namespace("client"), lab.layout.outwards, 9, parallel=1))
    assert again.holds, again.asymmetric[:5]
    assert set(again.firewall_of.values()) == {"fw1", *OTHERS}


def shown(lab: Topology) -> str:
    """The line of fw1 in what an operator sees."""
    lines = lab.run("lb1", *PROGRAM, "--director", lab.directors["lb1"].name, "servers").splitlines()
    return next(line for line in lines if "fw1" in line and SERVICE in line)


def test_a_full_firewall_waits_until_it_is_below_its_lower_threshold(lab: Topology) -> None:
    limit(lab, 6, lower=3)
    lb1 = lab.directors["lb1"].client
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        first, *rest = (held.open() for _ in range(18))
        mine = [port for (port,) in (first, *rest) if crosses_fw1(lb1, port)]
        assert (len(mine), report(lb1)["overloaded"]) == (6, True)
        attempts = []
        for left in (5, 4, 3):
            attempts += held.asked([mine.pop()])
            assert wait_until(lambda left=left: total(lb1) == left, timeout=PATIENCE_S)  # type: ignore[misc]
            assert report(lb1)["overloaded"], left
            held.open(3)
            assert total(lb1) == left, "none of three new ones"
        attempts += held.asked([mine.pop()])
        assert wait_until(lambda: total(lb1) == 2, timeout=PATIENCE_S)
        assert not report(lb1)["overloaded"]
        held.open(3)
        assert total(lb1) == 3, "every third one again"
        attempts += held.asked()
    assert [attempt.problem for attempt in attempts if not attempt.completed] == []


def crosses_fw1(client: Client, port: int) -> bool:
    (connection,) = [each for each in client.connections() if each["source_port"] == port]
    return bool(connection["real_server"] == "fw1")


def test_when_all_are_full_new_ones_are_dropped_and_counted_until_there_is_room(lab: Topology) -> None:
    edit(lab, *({"kind": "weigh", "server": name, "weight": 0, "service": SERVICE} for name in sorted(OTHERS)))
    limit(lab, 2)
    lb1 = lab.directors["lb1"].client
    try:
        with Held(lab.namespace("client"), lab.layout.outwards) as held:
            held.open(2)
            (refused,) = open_http(lab.namespace("client"), lab.layout.outwards, 1, timeout=0.3)
            assert not refused.completed
            assert counted(lb1, "drop_empty") > 0
            (attempt, _) = held.asked()
            assert attempt.completed
        assert wait_until(lambda: not report(lb1)["overloaded"], timeout=PATIENCE_S)
        (accepted,) = open_http(lab.namespace("client"), lab.layout.outwards, 1)
        assert accepted.completed
    finally:
        edit(lab, *({"kind": "weigh", "server": name, "weight": 1, "service": SERVICE} for name in sorted(OTHERS)))


def counted(client: Client, reason: str) -> int:
    return next(int(each["value"]) for each in client.counters() if each["name"] == reason)
